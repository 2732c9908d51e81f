//! As many tokens as are wanted, each from its number alone, so that nothing needs to remember them.

use countersign::domain::{
    base62,
    pepper::{Digest, PepperRing},
    secret::TokenFormat,
};

/// The length of a token's printed form.
pub(crate) const LENGTH: usize = HEAD.len() + base62::DIGITS_256 + base62::DIGITS_32;
/// Tokens of one member.
pub(crate) const PER_MEMBER: u64 = 10;
/// Tokens of one workspace.
pub(crate) const PER_WORKSPACE: u64 = 10_000;
/// The pepper of every database here.
pub(crate) const PEPPER: &str = "p1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const HEAD: &[u8] = b"csn_pat_1";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A sequence of choices (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// How long until something happens that happens once in a while by chance, where one is the mean.
    pub(crate) fn exponential(&mut self) -> f64 {
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        -(-fraction).ln_1p()
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The printed form of the token with this number.
pub(crate) fn text(number: u64) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    let body = LENGTH - base62::DIGITS_32;
    text[..HEAD.len()].copy_from_slice(HEAD);
    // The first digit is a zero, so that the number is below 2^256.
    text[HEAD.len()] = b'0';
    let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    for digits in text[HEAD.len() + 1..body].chunks_mut(10) {
        let mut bits = random.next();
        for digit in digits {
            *digit = ALPHABET[usize::try_from(bits % 62).expect("a digit")];
            bits /= 62;
        }
    }
    let checksum = crc32fast::hash(&text[..body]);
    text[body..].copy_from_slice(&base62::encode_u32(checksum));
    text
}

/// The service's id of it: 26 characters, of which those after `tok_` look random, as they do elsewhere.
pub(crate) fn token_id(number: u64) -> String {
    let mut random = Random(number);
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    format!("tok_{}", base62::encode16(bits.to_be_bytes()))
}

/// What is stored of it.
pub(crate) fn digest(format: &TokenFormat, ring: &PepperRing, number: u64) -> Digest {
    let text = text(number);
    let text = str::from_utf8(&text).expect("it is ASCII");
    let secret = format.parse(text).expect("it is a token");
    ring.active().digest(&secret)
}

/// The workspace and the member of a token.
pub(crate) fn owner(number: u64) -> (String, String) {
    let workspace_id = format!("w-{}", number / PER_WORKSPACE);
    (workspace_id, format!("m-{}", number / PER_MEMBER))
}
