//! The addresses that a token may be used from. An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is the
//! IPv4 address, wherever it stands.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::error::{Problem, ProblemReason};

/// How many networks a token may be limited to.
pub const MAX_CIDRS: usize = 20;

/// The bits of an IPv6 address before those of an IPv4 one in it.
const MAPPED_BITS: u8 = 96;

const CIDR_FORM: &str =
    "must be an IPv4 or IPv6 network without zone, such as `192.0.2.0/24` or `2001:db8::/32`";

/// The address of whoever made a request to the calling service. Never a mapped one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(IpAddr);

/// A network: the addresses that begin with the same bits. Never one of mapped addresses; so `::/0` is every IPv6 address
/// and no IPv4 one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address: no bit after the prefix is set.
    first: IpAddr,
    prefix_bits: u8,
}

impl ClientIp {
    /// Takes an IPv4 or IPv6 address.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.to_canonical())),
            Err(_) => Err(Problem::new(
                ProblemReason::Malformed,
                "must be an IPv4 or IPv6 address, without port, brackets or zone",
            )),
        }
    }
}

impl Cidr {
    /// Takes an address, `/`, and how many of its bits count; an address alone is the network of that one. Bits after the
    /// ones that count must not be set: the mistake may be in either.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::required());
        }
        let malformed = || Problem::new(ProblemReason::Malformed, CIDR_FORM);
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix_bits = match bits.map(bit_count) {
            None => most,
            Some(Some(bits)) if bits <= most => bits,
            Some(Some(_)) => {
                let told = format!("must have at most {most} after the `/`");
                return Err(Problem::new(ProblemReason::OutOfRange, told).with("limit", most));
            }
            Some(None) => return Err(malformed()),
        };
        let network = Self {
            first: first(address, prefix_bits),
            prefix_bits,
        };
        if network.first != address {
            let told = format!("has bits set after its prefix: `{network}` has none");
            let problem = Problem::new(ProblemReason::Malformed, told);
            return Err(problem.with("network", network));
        }
        Ok(network.unmapped())
    }

    /// Whether the address is one of the network: whether so many bits at its beginning are the same.
    pub fn contains(&self, ClientIp(address): ClientIp) -> bool {
        let same = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        same >= u32::from(self.prefix_bits)
    }

    fn unmapped(self) -> Self {
        let bits = self.prefix_bits.checked_sub(MAPPED_BITS);
        match (self.first.to_canonical(), bits) {
            (IpAddr::V4(first), Some(prefix_bits)) if self.first.is_ipv6() => Self {
                first: first.into(),
                prefix_bits,
            },
            _ => self,
        }
    }
}

/// Up to three digits, as nobody writes them otherwise.
fn bit_count(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_no_zero_before = text.len() == 1 || !text.starts_with('0');
    let bits = text.parse::<u16>().ok()?;
    (is_plain && has_no_zero_before).then(|| u8::try_from(bits).unwrap_or(u8::MAX))
}

/// The first address of its network: with the bits after the prefix cleared.
fn first(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let cleared = 32_u32.saturating_sub(prefix_bits.into());
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let cleared = 128_u32.saturating_sub(prefix_bits.into());
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_bits)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As it is printed, or why it is refused.
    fn cidr(text: &str) -> Result<String, &'static str> {
        Cidr::parse(text)
            .map(|cidr| cidr.to_string())
            .map_err(|problem| problem.reason.as_str())
    }

    fn contains(network: &str, address: &str) -> Result<bool, Problem> {
        Ok(Cidr::parse(network)?.contains(ClientIp::parse(address)?))
    }

    #[test]
    fn a_network_is_an_address_with_nothing_set_after_its_prefix() {
        let good = [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("255.255.255.255/32", "255.255.255.255/32"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
            ("::/96", "::/96"),
            ("::fffe:0:0/95", "::fffe:0:0/95"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:c000:201/128", "192.0.2.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::192.0.2.0/120", "::c000:200/120"),
        ];
        for (text, printed) in good {
            assert_eq!(cidr(text), Ok(printed.to_owned()), "{text}");
            assert_eq!(cidr(printed), Ok(printed.to_owned()), "{text}");
        }
        let bad = [
            ("", "FIELD_REQUIRED"),
            ("192.0.2.0/33", "FIELD_OUT_OF_RANGE"),
            ("192.0.2.0/256", "FIELD_OUT_OF_RANGE"),
            ("2001:db8::/129", "FIELD_OUT_OF_RANGE"),
            ("::ffff:192.0.2.0/129", "FIELD_OUT_OF_RANGE"),
            ("192.0.2.1/24", "FIELD_MALFORMED"),
            ("192.0.2.1/31", "FIELD_MALFORMED"),
            ("0.0.0.1/0", "FIELD_MALFORMED"),
            ("2001:db8::1/127", "FIELD_MALFORMED"),
            ("::1/0", "FIELD_MALFORMED"),
            // `24` was meant for the IPv4 address, and is one of the IPv6 address that is written.
            ("::ffff:192.0.2.0/24", "FIELD_MALFORMED"),
            ("::ffff:0:0/95", "FIELD_MALFORMED"),
            ("192.0.2.0/", "FIELD_MALFORMED"),
            ("192.0.2.0/024", "FIELD_MALFORMED"),
            ("192.0.2.0/00", "FIELD_MALFORMED"),
            ("192.0.2.0/+24", "FIELD_MALFORMED"),
            ("192.0.2.0/-1", "FIELD_MALFORMED"),
            ("192.0.2.0/ 24", "FIELD_MALFORMED"),
            ("192.0.2.0/24/24", "FIELD_MALFORMED"),
            ("192.0.2.0/99999999999", "FIELD_MALFORMED"),
            ("192.0.2.0/255.255.255.0", "FIELD_MALFORMED"),
            ("192.0.2/24", "FIELD_MALFORMED"),
            ("192.0.2.00/24", "FIELD_MALFORMED"),
            ("192.0.2.0 ", "FIELD_MALFORMED"),
            ("/24", "FIELD_MALFORMED"),
            ("fe80::1%eth0", "FIELD_MALFORMED"),
            ("fe80::%eth0/64", "FIELD_MALFORMED"),
            ("[2001:db8::]/32", "FIELD_MALFORMED"),
            ("example.org", "FIELD_MALFORMED"),
        ];
        for (text, reason) in bad {
            assert_eq!(cidr(text), Err(reason), "{text:?}");
        }
        let told = Cidr::parse("192.0.2.77/24").map_err(|problem| problem.description);
        let expected = "has bits set after its prefix: `192.0.2.0/24` has none";
        assert_eq!(told, Err(expected.to_owned()));
    }

    #[test]
    fn a_client_address_is_one_address_and_nothing_else() {
        for (text, printed) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:C000:201", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::192.0.2.1", "::c000:201"),
        ] {
            let parsed = ClientIp::parse(text).map(|address| address.to_string());
            assert_eq!(parsed, Ok(printed.to_owned()));
        }
        for bad in [
            "",
            " ",
            "192.0.2.1 ",
            "192.0.2.1:443",
            "192.0.2.0/24",
            "192.0.2.256",
            "192.0.2.01",
            "192.0.2",
            "3221225985",
            "[2001:db8::1]",
            "2001:db8::1%eth0",
            "2001:db8::1::",
            "192.0.2.1, 192.0.2.2",
            "localhost",
        ] {
            assert!(ClientIp::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_edges_of_a_network_are_in_it_and_what_is_beside_them_is_not() {
        let cases = [
            ("0.0.0.0/0", "0.0.0.0", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::ffff:255.255.255.255", true),
            ("0.0.0.0/0", "::", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("128.0.0.0/1", "127.255.255.255", false),
            ("128.0.0.0/1", "128.0.0.0", true),
            ("192.0.2.0/24", "192.0.1.255", false),
            ("192.0.2.0/24", "192.0.2.0", true),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.2/31", "192.0.2.1", false),
            ("192.0.2.2/31", "192.0.2.2", true),
            ("192.0.2.2/31", "192.0.2.3", true),
            ("192.0.2.2/31", "192.0.2.4", false),
            ("192.0.2.2/32", "192.0.2.2", true),
            ("192.0.2.2/32", "192.0.2.3", false),
            ("192.0.2.2", "::ffff:192.0.2.2", true),
            ("::ffff:192.0.2.0/120", "192.0.2.9", true),
            ("::ffff:192.0.2.0/120", "192.0.3.0", false),
            ("::/0", "::", true),
            ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("::/0", "192.0.2.1", false),
            ("::/0", "::ffff:192.0.2.1", false),
            ("::fffe:0:0/95", "::ffff:192.0.2.1", false),
            (
                "2001:db8::/32",
                "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                false,
            ),
            (
                "2001:db8::/32",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                true,
            ),
            ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::2/127", "2001:db8::1", false),
            ("2001:db8::2/127", "2001:db8::3", true),
            ("2001:db8::2/127", "2001:db8::4", false),
            ("2001:db8::2/128", "2001:db8::2", true),
            ("2001:db8::2/128", "2001:db8::3", false),
        ];
        for (network, address, expected) in cases {
            assert_eq!(
                contains(network, address),
                Ok(expected),
                "{network} {address}"
            );
        }
    }

    /// Bit by bit, as the definition has it.
    fn begins_alike(network: &[u8], address: &[u8], bits: u8) -> bool {
        let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
        (0..usize::from(bits)).all(|i| bit(network, i) == bit(address, i))
    }

    proptest! {
        #[test]
        fn a_network_holds_what_begins_as_it_does(
            address in any::<[u8; 16]>(),
            flipped in 0..128_usize,
            bits in 0..=128_u8,
            is_ipv4 in any::<bool>(),
        ) {
            // Near the network: with one bit flipped, before or after the end of the prefix.
            let length = if is_ipv4 { 4 } else { 16 };
            let bits = if is_ipv4 { bits % 33 } else { bits };
            let own = address;
            let mut other = address;
            other[flipped / 8 % length] ^= 1 << (flipped % 8);
            let ip = |bytes: [u8; 16]| match is_ipv4 {
                true => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
                false => IpAddr::from(bytes),
            };
            prop_assume!(ip(own).to_canonical() == ip(own) && ip(other).to_canonical() == ip(other));
            let network = Cidr { first: first(ip(own), bits), prefix_bits: bits };
            prop_assert!(network.contains(ClientIp(ip(own))));
            let expected = begins_alike(&own[..length], &other[..length], bits);
            prop_assert_eq!(network.contains(ClientIp(ip(other))), expected);
            let printed = network.to_string();
            prop_assert_eq!(Cidr::parse(&printed), Ok(network.unmapped()), "{}", printed);
        }
    }
}
