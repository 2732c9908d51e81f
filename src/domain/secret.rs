//! The secret of a personal access token and its printed form, `<prefix>_1<43 digits><6 digits of checksum>`.
//!
//! A [`Secret`] is what is hashed; a [`SecretText`] is what the bearer holds. Neither prints itself, both are wiped when
//! dropped, and parsing touches nothing but its input.

mod malformed;

pub use malformed::Malformed;
use zeroize::Zeroizing;

use super::{base62, ids::random_bytes};

const VERSION: &str = "1";
/// The digits after the prefix and the version: the secret and its checksum.
const DIGITS: usize = base62::DIGITS_256 + base62::DIGITS_32;
/// How many of the last characters a token's hint shows. They are all of the checksum.
const HINT_LENGTH: usize = 4;

/// The 32 random bytes that authenticate a bearer.
pub struct Secret(Zeroizing<[u8; 32]>);

/// A secret as it is shown, once, and presented.
pub struct SecretText(Zeroizing<String>);

impl Secret {
    /// A new secret from the operating system's generator.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(Zeroizing::new(random_bytes()?)))
    }

    /// The bytes, for hashing.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SecretText {
    /// The text, for the one answer it belongs in.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be stored and shown of it.
    pub fn hint(&self) -> Hint {
        let mut hint = [0; HINT_LENGTH];
        hint.copy_from_slice(&self.0.as_bytes()[self.0.len() - HINT_LENGTH..]);
        Hint(hint)
    }
}

/// The last four characters of a token's printed form, by which its holder may know it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint([u8; HINT_LENGTH]);

impl Hint {
    /// Takes four characters of ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let hint = text.as_bytes().try_into().ok()?;
        text.is_ascii().then_some(Self(hint))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// How tokens are printed and which printed forms are accepted.
#[derive(Debug, Clone)]
pub struct TokenFormat {
    /// The prefix of new tokens, then the retired ones that are still accepted, each with its `_1_`.
    heads: Vec<String>,
}

/// The default prefix of new tokens.
pub const DEFAULT_PREFIX: &str = "csn_pat";

impl Default for TokenFormat {
    fn default() -> Self {
        Self {
            heads: vec![format!("{DEFAULT_PREFIX}_{VERSION}")],
        }
    }
}

impl TokenFormat {
    /// Prints with `prefix` and accepts it and `retired`. Refuses a prefix that is not `[a-z][a-z0-9_]{0,18}[a-z0-9]`,
    /// telling which.
    pub fn new(prefix: &str, retired: &[String]) -> Result<Self, String> {
        let heads = std::iter::once(prefix)
            .chain(retired.iter().map(String::as_str))
            .map(|prefix| match is_prefix(prefix) {
                true => Ok(format!("{prefix}_{VERSION}")),
                false => Err(format!(
                    "token prefix `{prefix}` is not of the form [a-z][a-z0-9_]{{0,18}}[a-z0-9]"
                )),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { heads })
    }

    /// The printed form of a secret.
    pub fn print(&self, secret: &Secret) -> SecretText {
        let head = &self.heads[0];
        // Sized up front: growing would leave copies of the secret behind that nothing wipes.
        let mut text = Zeroizing::new(String::with_capacity(head.len() + DIGITS));
        text.push_str(head);
        let digits = Zeroizing::new(base62::encode32(secret.expose()));
        text.extend(digits.iter().map(|&digit| char::from(digit)));
        let checksum = crc32fast::hash(text.as_bytes());
        text.extend(base62::encode_u32(checksum).map(char::from));
        SecretText(text)
    }

    /// Whether this has a token's prefix and length, though it may be none. Whoever holds it by mistake must not repeat it.
    pub fn resembles(&self, text: &str) -> bool {
        let fits = |head: &String| text.len() == head.len() + DIGITS && text.starts_with(head);
        self.heads.iter().any(fits)
    }

    /// Reads what a bearer presented: the printed form, bare or after `Bearer` in any case. Anything else is malformed.
    pub fn parse(&self, presented: &str) -> Option<Secret> {
        self.read(without_scheme(presented))
            .map(|(_, secret)| secret)
    }

    /// Tells of what a bearer presented what may be shown of a token, or what is wrong with it, for people. It is `Ok`
    /// exactly where [`Self::parse`] gives a secret, because both ask the same function; only the words come after.
    pub fn diagnose<'a>(&'a self, presented: &'a str) -> Result<WellFormed<'a>, Malformed> {
        let text = without_scheme(presented);
        match self.read(text) {
            Some((head, _)) => Ok(WellFormed {
                prefix: prefix_of(head),
                version: VERSION,
                hint: &text[text.len() - HINT_LENGTH..],
            }),
            None => Err(malformed::explain(&self.heads, text)),
        }
    }

    /// The secret in a printed form, and the head it is printed with.
    fn read(&self, text: &str) -> Option<(&str, Secret)> {
        let fits = |head: &&String| text.len() == head.len() + DIGITS && text.starts_with(*head);
        let head = self.heads.iter().find(fits)?;
        if !is_checked(text)? {
            return None;
        }
        let digits = &text.as_bytes()[head.len()..head.len() + base62::DIGITS_256];
        let bytes = base62::decode32(digits)?;
        Some((head, Secret(Zeroizing::new(bytes))))
    }
}

/// What may be shown of a well-formed token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WellFormed<'a> {
    /// The prefix it begins with.
    pub prefix: &'a str,
    /// The version of its form.
    pub version: &'static str,
    /// Its last four characters.
    pub hint: &'a str,
}

/// Whether the last six characters are the checksum of those before. None where there are not so many.
fn is_checked(text: &str) -> Option<bool> {
    let (body, checksum) = text
        .as_bytes()
        .split_at_checked(text.len().checked_sub(base62::DIGITS_32)?)?;
    Some(base62::encode_u32(crc32fast::hash(body)) == checksum)
}

/// The prefix that a head was made from.
fn prefix_of(head: &str) -> &str {
    head.strip_suffix(VERSION)
        .and_then(|head| head.strip_suffix('_'))
        .unwrap_or(head)
}

/// Removes the `Bearer` of an `Authorization` header value (RFC 6750, section 2.1; the scheme's case does not matter).
pub fn without_scheme(presented: &str) -> &str {
    const SCHEME: usize = "Bearer ".len();
    match presented.split_at_checked(SCHEME) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("Bearer ") => {
            rest.trim_start_matches(' ')
        }
        _ => presented,
    }
}

fn is_prefix(prefix: &str) -> bool {
    let bytes = prefix.as_bytes();
    let lower = |b: &u8| b.is_ascii_lowercase();
    let lower_or_digit = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (2..=20).contains(&bytes.len())
        && bytes.first().is_some_and(lower)
        && bytes.last().is_some_and(lower_or_digit)
        && bytes.iter().all(|b| lower_or_digit(b) || *b == b'_')
}
