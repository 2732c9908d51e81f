//! `token inspect`: what it says of each kind of malformed token, without a server.

use countersign::domain::secret::TokenFormat;

use super::person::{Done, run};
use crate::support::process::countersign;

const GOOD: &str = "csn_pat_1lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO0S07fC";
const OTHER_PREFIX: &str = "k9_1anKWzoKRYJqGAD0qSLrrNxVOtbwqulqWniaqMtIwS1i32bbdL";

fn inspect(arguments: &str, stdin: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let words = ["token", "inspect"].into_iter();
    run(
        countersign(words.chain(arguments.split_whitespace()), &folder),
        stdin,
    )
}

#[test]
fn a_good_token_is_told_by_prefix_version_and_hint() {
    for presented in [
        GOOD.to_owned(),
        format!("{GOOD}\n"),
        format!("  Bearer {GOOD}\r\n"),
        format!("bEARER   {GOOD}"),
    ] {
        let done = inspect("", &presented);
        assert_eq!(done.code, Some(0), "{presented}");
        assert_eq!(
            done.stdout,
            "token    well formed\nprefix   csn_pat\nversion  1\nhint     …07fC\n"
        );
        assert_eq!(done.stderr, "");
    }
    let json = inspect("--output json", GOOD).json();
    let expected = r#"{"hint":"07fC","prefix":"csn_pat","version":"1","well_formed":true}"#;
    assert_eq!(json.to_string(), expected);
    let other = inspect("--prefix csn_pat --prefix k9", OTHER_PREFIX);
    assert!(other.stdout.contains("prefix   k9\n"), "{}", other.stdout);
    assert_eq!(inspect("--prefix UPPER", GOOD).code, Some(64));
}

#[test]
fn a_token_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, GOOD).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(inspect(&format!("--secret-file {path}"), "").code, Some(0));
    let missing = inspect("--secret-file nowhere", "");
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.starts_with("error: cannot read `nowhere`: "));
    let huge = inspect("", &"a".repeat(70_000));
    assert_eq!(huge.code, Some(1));
    assert!(huge.stderr.contains("more than 65536 bytes is no secret"));
}

#[test]
fn what_is_wrong_with_a_token_is_said_and_the_token_is_not() {
    let key = format!("csn_key_{}", "x".repeat(43));
    for (token, problem, message) in [
        ("", "EMPTY", "it is empty"),
        (
            "hunter2",
            "UNKNOWN_PREFIX",
            "it does not begin with `csn_pat_`",
        ),
        (
            OTHER_PREFIX,
            "UNKNOWN_PREFIX",
            "it does not begin with `csn_pat_`",
        ),
        (
            "CSN_PAT_1lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO1fzCAJ",
            "UNKNOWN_PREFIX",
            "it does not begin with `csn_pat_`",
        ),
        (
            "csn_pat1lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO4Pkuqx",
            "UNKNOWN_PREFIX",
            "it does not begin with `csn_pat_`",
        ),
        (
            &key,
            "SERVICE_KEY",
            "it is the service key of a caller (`csn_key_…`), not a personal access token",
        ),
        (
            "csn_pat_2lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO1sk2yG",
            "UNKNOWN_VERSION",
            "the version after `csn_pat_` is not `1`",
        ),
        (
            "csn_pat_",
            "UNKNOWN_VERSION",
            "the version after `csn_pat_` is not `1`",
        ),
        (
            "csn_pat_1",
            "WRONG_LENGTH",
            "it is 9 characters long, 49 fewer than the 58 of a token",
        ),
        (
            "csn_pat_1Di3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO4Rmus3",
            "WRONG_LENGTH",
            "it is 57 characters long, 1 fewer than the 58 of a token",
        ),
        (
            "csn_pat_10lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO1cLUSf",
            "WRONG_LENGTH",
            "it is 59 characters long, 1 more than the 58 of a token",
        ),
        (
            "csn_pat_1-Di3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO2pBwNa",
            "OUTSIDE_ALPHABET",
            "character 10 is a punctuation mark, not one of `0-9 A-Z a-z`",
        ),
        (
            "csn_pat_1_lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO3j1czn",
            "OUTSIDE_ALPHABET",
            "character 10 is an underscore, not one of `0-9 A-Z a-z`",
        ),
        (
            "csn_pat_1éi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO0qwXjd",
            "OUTSIDE_ALPHABET",
            "character 10 is outside ASCII, not one of `0-9 A-Z a-z`",
        ),
        (
            "csn_pat_1lDi3NB7Ht8b0ANJ74Jvlq2q EMKsxxuyKRA9zKK1jwWO0S07fC",
            "OUTSIDE_ALPHABET",
            "character 33 is white space, not one of `0-9 A-Z a-z`",
        ),
        (
            "csn_pat_1lDi3NB7Ht8b0ANJ74Jvlq2qEMKsxxuyKRA9zKK1jwWO000000",
            "WRONG_CHECKSUM",
            "its checksum does not fit: it was mistyped, cut, or is no token of this service",
        ),
        (
            "csn_pat_1yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp24EDTl7",
            "NUMBER_TOO_LARGE",
            "its digits write a number too large for a secret: it was not made by this service",
        ),
    ] {
        let done = inspect("", token);
        assert_eq!(done.code, Some(1), "{token}");
        assert_eq!(
            done.stdout,
            format!("token    malformed\nproblem  {message}\n"),
            "{token}"
        );
        assert_eq!(done.stderr, "");
        let json = inspect("--output json", token).json();
        assert_eq!(json["problem"], problem, "{token}");
        assert_eq!(json["message"], message, "{token}");
        assert_eq!(json["well_formed"], false);
        let digits = token.get(12..30).unwrap_or("hunter2");
        assert!(!done.stdout.contains(digits), "{}", done.stdout);
    }
}

#[test]
fn several_prefixes_are_all_told() {
    let done = inspect("--prefix acme --prefix csn_pat", "x");
    assert_eq!(
        done.stdout,
        "token    malformed\nproblem  it does not begin with `acme_` or `csn_pat_`\n"
    );
}

#[test]
fn diagnosing_and_parsing_agree_about_every_small_change() {
    let format = TokenFormat::new("csn_pat", &["csn".to_owned(), "k9".to_owned()]).unwrap();
    let mut seen = 0;
    for token in [GOOD, OTHER_PREFIX] {
        for place in 0..token.len() {
            for new in ["", "0", "z", "_", " ", "é", "00"] {
                let changed = format!("{}{new}{}", &token[..place], &token[place + 1..]);
                let is_parsed = format.parse(&changed).is_some();
                assert_eq!(format.diagnose(&changed).is_ok(), is_parsed, "{changed}");
                seen += usize::from(!is_parsed);
            }
        }
        assert!(format.diagnose(token).is_ok());
    }
    assert!(seen > 500, "{seen}");
}
