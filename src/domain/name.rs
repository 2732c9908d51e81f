//! Names that people give: how they are cleaned, and when two of them are the same.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

use super::error::{Problem, ProblemReason};

/// The longest name, in characters (Unicode scalar values).
pub const MAX_NAME_LENGTH: usize = 100;
/// The longest reason, in characters.
pub const MAX_REASON_LENGTH: usize = 500;

/// A name, and the key under which it is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    key: String,
}

impl Name {
    /// Trims outer white space, then takes 1 to 100 characters. Refuses what cannot be seen: control, format, line and
    /// paragraph separator, and default-ignorable characters.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Problem::required());
        }
        if text.chars().count() > MAX_NAME_LENGTH {
            return Err(Problem::too_long(MAX_NAME_LENGTH, "characters"));
        }
        if let Some(invisible) = text.chars().find(|&c| is_invisible(c)) {
            return Err(not_allowed(invisible));
        }
        Ok(Self {
            text: text.to_owned(),
            key: key(text),
        })
    }

    /// The name as given, trimmed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is equal for equal names.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks the words given for a change: at most 500 characters, no control characters but tab and line feed.
pub fn parse_reason(text: &str) -> Result<String, Problem> {
    parse_words(text, MAX_REASON_LENGTH)
}

/// Checks the words that tell where something was found: the same, but for at most 100 characters.
pub fn parse_source(text: &str) -> Result<String, Problem> {
    parse_words(text, MAX_NAME_LENGTH)
}

fn parse_words(text: &str, limit: usize) -> Result<String, Problem> {
    if text.chars().count() > limit {
        return Err(Problem::too_long(limit, "characters"));
    }
    match text
        .chars()
        .find(|&c| c.is_control() && c != '\t' && c != '\n')
    {
        Some(control) => Err(not_allowed(control)),
        None => Ok(text.to_owned()),
    }
}

fn not_allowed(character: char) -> Problem {
    let code_point = format!("U+{:04X}", u32::from(character));
    Problem::new(
        ProblemReason::Malformed,
        format!("must not contain the character {code_point}"),
    )
    .with("code_point", code_point)
}

fn is_invisible(character: char) -> bool {
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(character),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// The compatibility caseless match of the Unicode Standard, section 3.13, definition D146:
/// `NFKC(toCasefold(NFKC(toCasefold(NFD(X)))))`.
fn key(text: &str) -> String {
    let case = CaseMapper::new();
    let nfkc = ComposingNormalizer::new_nfkc();
    let decomposed = DecomposingNormalizer::new_nfd()
        .normalize(text)
        .into_owned();
    let once = nfkc.normalize(&case.fold_string(&decomposed)).into_owned();
    nfkc.normalize(&case.fold_string(&once)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed_key(text: &str) -> Option<String> {
        Name::parse(text).ok().map(|name| name.key)
    }

    #[test]
    fn names_that_look_alike_have_one_key() {
        let alike = [
            ["Deploy", " deploy "],
            ["deploy", "ＤＥＰＬＯＹ"],
            ["straße", "STRASSE"],
            ["caf\u{e9}", "CAFE\u{301}"],
            ["ﬁle", "FILE"],
            ["Ⅳ", "iv"],
            ["a\u{a0}b", "A b"],
        ];
        for [one, other] in alike {
            assert!(parsed_key(one).is_some(), "{one}");
            assert_eq!(parsed_key(one), parsed_key(other), "{one} and {other}");
        }
        assert_ne!(parsed_key("deploy"), parsed_key("deploy2"));
        assert_ne!(parsed_key("ı"), parsed_key("i"));
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for hidden in [
            '\0',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{3164}',
            '\u{115f}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let name = format!("a{hidden}b");
            assert_eq!(parsed_key(&name), None, "U+{:04X}", u32::from(hidden));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_its_own_key(text in "\\PC{1,100}") {
            let once = key(&text);
            proptest::prop_assert_eq!(key(&once), once);
        }
    }
}
