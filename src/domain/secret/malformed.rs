//! What is wrong with a text that is no token, in words for people. Whether it is one is decided elsewhere: this is asked
//! only about texts that were refused, and never repeats any of them.

use super::{DIGITS, VERSION, is_checked, prefix_of};

/// Why a text is not a well-formed token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It is the key of a calling service.
    #[error("it is the service key of a caller (`csn_key_…`), not a personal access token")]
    ServiceKey,
    /// It begins with no prefix that is accepted.
    #[error("it does not begin with {}", told(.accepted))]
    UnknownPrefix {
        /// Those that are, as they stand in a token.
        accepted: Vec<String>,
    },
    /// The prefix is good, and what follows is no version that is known.
    #[error("the version after `{prefix}_` is not `{known}`")]
    UnknownVersion {
        /// The prefix.
        prefix: String,
        /// The version that is known.
        known: &'static str,
    },
    /// A character is not one of a token.
    #[error("character {position} {what}, not one of `0-9 A-Z a-z`")]
    OutsideAlphabet {
        /// Counted from 1, without the `Bearer` before the token.
        position: usize,
        /// What it is, as far as that can be said without showing it.
        what: &'static str,
    },
    /// It has another length than a token.
    #[error("it is {found} characters long, {} than the {expected} of a token", compared(*.found, *.expected))]
    Length {
        /// The length of a token with its prefix.
        expected: usize,
        /// Its own.
        found: usize,
    },
    /// The checksum is not of what is before it.
    #[error("its checksum does not fit: it was mistyped, cut, or is no token of this service")]
    Checksum,
    /// The number that the digits write is no secret.
    #[error("its digits write a number too large for a secret: it was not made by this service")]
    TooLarge,
}

impl Malformed {
    /// The stable name of the cause.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "EMPTY",
            Self::ServiceKey => "SERVICE_KEY",
            Self::UnknownPrefix { .. } => "UNKNOWN_PREFIX",
            Self::UnknownVersion { .. } => "UNKNOWN_VERSION",
            Self::OutsideAlphabet { .. } => "OUTSIDE_ALPHABET",
            Self::Length { .. } => "WRONG_LENGTH",
            Self::Checksum => "WRONG_CHECKSUM",
            Self::TooLarge => "NUMBER_TOO_LARGE",
        }
    }
}

/// The first thing that is wrong with a refused text, looked for from its beginning to its end.
pub(super) fn explain(heads: &[String], text: &str) -> Malformed {
    if text.is_empty() {
        return Malformed::Empty;
    }
    // Of several that it begins with, the one whose length it has, then the longest.
    let Some(head) = heads
        .iter()
        .filter(|head| text.starts_with(*head))
        .max_by_key(|head| (head.len() + DIGITS == text.len(), head.len()))
    else {
        return explain_head(heads, text);
    };
    let digits = text[head.len()..].chars().zip(head.len() + 1..);
    if let Some((c, position)) = digits.into_iter().find(|(c, _)| !c.is_ascii_alphanumeric()) {
        let what = match c {
            _ if c.is_whitespace() => "is white space",
            _ if c.is_control() => "is a control character",
            '_' => "is an underscore",
            _ if c.is_ascii() => "is a punctuation mark",
            _ => "is outside ASCII",
        };
        return Malformed::OutsideAlphabet { position, what };
    }
    let (expected, found) = (head.len() + DIGITS, text.len());
    if found != expected {
        return Malformed::Length { expected, found };
    }
    match is_checked(text) {
        Some(true) => Malformed::TooLarge,
        _ => Malformed::Checksum,
    }
}

fn explain_head(heads: &[String], text: &str) -> Malformed {
    // Before the versions, because an accepted prefix may be the beginning of a service key's.
    if text.starts_with("csn_key_") {
        return Malformed::ServiceKey;
    }
    let prefixes = || heads.iter().map(|head| prefix_of(head));
    let is_followed = |prefix: &&str| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('_'))
    };
    match prefixes().filter(is_followed).max_by_key(|p| p.len()) {
        Some(prefix) => Malformed::UnknownVersion {
            prefix: prefix.to_owned(),
            known: VERSION,
        },
        None => Malformed::UnknownPrefix {
            accepted: prefixes().map(|prefix| format!("{prefix}_")).collect(),
        },
    }
}

fn told(prefixes: &[String]) -> String {
    let quoted: Vec<_> = prefixes.iter().map(|p| format!("`{p}`")).collect();
    quoted.join(" or ")
}

fn compared(found: usize, expected: usize) -> String {
    match found < expected {
        true => format!("{} fewer", expected - found),
        false => format!("{} more", found - expected),
    }
}
