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
        let dot = text.bytes().position(|b| b == b'.');
        let words = dot.map(|dot| (&text[..dot], &text[dot + 1..]));
        match words {
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
            resource_type => is_type_above_token_ceiling(resource_type),
        }
    }

    /// Whether it is one of those that a pattern stands for: `bookings.read` for itself, `bookings.*` for all of a type,
    /// `*.read` for all of a verb. Of any other form it stands for none; so does `*.*`: who wants everything must say of
    /// what. Decisions ask this up to 50 times each, so it compares texts as they are.
    pub fn is_one_of(&self, pattern: &str) -> bool {
        match (pattern.strip_suffix(".*"), pattern.strip_prefix("*.")) {
            (Some(types), _) => self.resource_type() == types,
            (_, Some(verbs)) => self.verb() == verbs,
            (None, None) => self.text == pattern,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether no token may ever do anything to resources of this type.
pub fn is_type_above_token_ceiling(resource_type: &str) -> bool {
    matches!(resource_type, "tokens" | "members")
}

/// Whether a word is `[a-z][a-z0-9]*(-[a-z0-9]+)*`.
pub fn is_kebab(word: &str) -> bool {
    let bytes = word.as_bytes();
    let mut is_within_part = false;
    for byte in bytes {
        is_within_part = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' if is_within_part => false,
            _ => return false,
        };
    }
    is_within_part && bytes[0].is_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All words of up to four of these, against the pattern of the documentation read word by word.
    #[test]
    fn a_word_is_kebab_where_its_parts_are() {
        let by_parts = |word: &str| {
            let is_part = |part: &str| {
                let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                !part.is_empty() && part.bytes().all(is_inner)
            };
            word.starts_with(|c: char| c.is_ascii_lowercase()) && word.split('-').all(is_part)
        };
        let mut words = vec![String::new()];
        for _ in 0..4 {
            let longer = |word: &String| {
                ["a", "z", "0", "9", "-", "A", ".", "ä"].map(|end| format!("{word}{end}"))
            };
            words = words.iter().flat_map(longer).collect();
            for word in &words {
                assert_eq!(is_kebab(word), by_parts(word), "{word}");
            }
        }
        assert!(!is_kebab(""));
    }
}
