//! Actions, `<resource type>.<verb>`, and the ceiling above which no token reaches.

use std::fmt;

use super::error::{Problem, ProblemReason};

/// The longest action, in characters.
pub const MAX_ACTION_LENGTH: usize = 128;

/// Something that may be done to a type of resource, such as `bookings.read`. Well formed; whether any policy declares it
/// is another question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Action {
    text: String,
    dot: usize,
}

impl Action {
    /// Takes two words in lower-case kebab with a full stop between them, at most 128 characters.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::required());
        }
        if text.len() > MAX_ACTION_LENGTH {
            return Err(Problem::too_long(MAX_ACTION_LENGTH, "characters"));
        }
        match text.split_once('.') {
            Some((resource_type, verb)) if is_kebab(resource_type) && is_kebab(verb) => Ok(Self {
                text: text.to_owned(),
                dot: resource_type.len(),
            }),
            _ => Err(Problem::new(
                ProblemReason::Malformed,
                "must be `<resource type>.<verb>` in lower-case kebab, such as `bookings.read`",
            )),
        }
    }

    /// The part before the full stop.
    pub fn resource_type(&self) -> &str {
        &self.text[..self.dot]
    }

    /// The part after the full stop.
    pub fn verb(&self) -> &str {
        &self.text[self.dot + 1..]
    }

    /// The whole.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether no token of any role may ever do this. The ceiling is here, in code, so that no policy can lift it: tokens
    /// read users at most, and never touch tokens or members.
    pub fn is_above_token_ceiling(&self) -> bool {
        match self.resource_type() {
            "users" => !matches!(self.verb(), "list" | "read"),
            "tokens" | "members" => true,
            _ => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a word is `[a-z][a-z0-9]*(-[a-z0-9]+)*`.
pub fn is_kebab(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}
