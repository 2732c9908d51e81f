//! Texts that are mostly short, where a place of their own in memory for each of millions would be one more to read.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

/// How many bytes are kept in place: with the rest of it as many as four words.
const MOST_IN_PLACE: usize = 30;

/// A text that does not change. Up to 30 bytes of it are where the record is that has it.
#[derive(Clone)]
pub struct ShortText(Form);

#[derive(Clone)]
enum Form {
    InPlace {
        length: u8,
        bytes: [u8; MOST_IN_PLACE],
    },
    Elsewhere(Box<str>),
}

const _: () = assert!(size_of::<ShortText>() == 32);

impl ShortText {
    /// Its bytes, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::InPlace { length, bytes } => &bytes[..usize::from(*length)],
            Form::Elsewhere(text) => text.as_bytes(),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // They were taken from a text, so that there is no error.
            Form::InPlace { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Form::Elsewhere(text) => text,
        }
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        let mut bytes = [0; MOST_IN_PLACE];
        let form = match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Form::InPlace { length, bytes }
            }
            _ => Form::Elsewhere(text.into()),
        };
        Self(form)
    }
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ShortText {}

impl PartialOrd for ShortText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of UTF-8 texts is that of their bytes.
impl Ord for ShortText {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_text_it_was_made_of(one in "\\PC{0,40}", other in "\\PC{0,40}") {
            let (short, other_short) = (ShortText::from(&*one), ShortText::from(&*other));
            prop_assert_eq!(&*short, &*one);
            prop_assert_eq!(short.as_bytes(), one.as_bytes());
            prop_assert_eq!(short.cmp(&other_short), one.cmp(&other));
            prop_assert_eq!(short == other_short, one == other);
            prop_assert_eq!(&short, &short.clone());
            prop_assert_eq!(short.to_string(), one);
        }
    }

    #[test]
    fn what_fits_is_in_place_and_nothing_is_cut_off() {
        for length in 0..=2 * MOST_IN_PLACE {
            let text = "x".repeat(length);
            let short = ShortText::from(&*text);
            let is_in_place = matches!(short.0, Form::InPlace { .. });
            assert_eq!(is_in_place, length <= MOST_IN_PLACE, "{length}");
            assert_eq!(short.as_str(), text);
        }
    }
}
