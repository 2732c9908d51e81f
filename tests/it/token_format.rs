//! The printed form of tokens: what is a token, by vectors made without this code, and what is none, by every small change
//! of one that is.

use countersign::domain::{
    pepper::PepperRing,
    secret::{Secret, TokenFormat},
};

use crate::support::server::{NEXT_PEPPER, PEPPER};

const VECTORS: &str = include_str!("../token_vectors.tsv");
const DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters that a token may not have, or only in its prefix: of one byte and of more, printable and not.
const OTHERS: &str = "_-+/=. \t\n\0\"'%é٣Ａ０😀";

/// A line of the vectors.
struct Vector {
    kind: &'static str,
    prefix: &'static str,
    token: &'static str,
    secret_or_cause: &'static str,
}

fn vectors(kind: &str) -> Vec<Vector> {
    let all = VECTORS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| match *line.split('\t').collect::<Vec<_>>() {
            [kind, prefix, token, secret_or_cause] => Vector {
                kind,
                prefix,
                token,
                secret_or_cause,
            },
            _ => panic!("`{line}` has not four columns"),
        });
    let chosen: Vec<Vector> = all.filter(|vector| vector.kind == kind).collect();
    assert!(chosen.len() >= 8, "there are {kind} vectors");
    chosen
}

fn format_with(prefix: &str) -> TokenFormat {
    TokenFormat::new(prefix, &[]).expect("a prefix")
}

/// The secret in hexadecimal, or none where the token is refused.
fn parse(format: &TokenFormat, presented: &str) -> Option<String> {
    let hex = |secret: Secret| {
        let bytes = secret.expose().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    };
    format.parse(presented).map(hex)
}

/// The tokens whose every change is tried, each good before it is changed: with few digits set and with many.
fn tokens() -> impl Iterator<Item = (TokenFormat, &'static str)> {
    vectors("valid").into_iter().map(|vector| {
        let format = format_with(vector.prefix);
        assert!(format.parse(vector.token).is_some(), "{}", vector.token);
        (format, vector.token)
    })
}

#[test]
fn the_published_tokens_are_read_and_printed_as_their_secrets() {
    for vector in vectors("valid") {
        let Vector {
            prefix,
            token,
            secret_or_cause: hex,
            ..
        } = vector;
        let format = format_with(prefix);
        assert_eq!(parse(&format, token).as_deref(), Some(hex), "{token}");
        let secret = format.parse(token).expect("it is a token");
        assert_eq!(format.print(&secret).expose(), token);
    }
}

#[test]
fn the_published_counterfeits_are_refused() {
    for vector in vectors("invalid") {
        let format = format_with(vector.prefix);
        let cause = vector.secret_or_cause;
        assert_eq!(
            parse(&format, vector.token),
            None,
            "{}: {cause}",
            vector.token
        );
    }
}

#[test]
fn the_default_form_is_the_one_that_secret_scanners_look_for() {
    // csn_pat_1[0-9A-Za-z]{49}
    for _ in 0..100 {
        let format = TokenFormat::default();
        let text = format.print(&Secret::random().expect("random bytes"));
        let digits = text.expose().strip_prefix("csn_pat_1").expect("its head");
        assert_eq!(digits.len(), 49);
        assert!(digits.chars().all(|digit| DIGITS.contains(digit)));
        assert!(text.expose().ends_with(text.hint().as_str()));
        assert_eq!(text.hint().as_str().len(), 4);
    }
}

#[test]
fn every_change_of_one_character_is_refused() {
    for (format, token) in tokens() {
        for (place, old) in token.char_indices() {
            let (before, after) = (&token[..place], &token[place + 1..]);
            for new in DIGITS
                .chars()
                .chain(OTHERS.chars())
                .filter(|new| *new != old)
            {
                let changed = format!("{before}{new}{after}");
                assert_eq!(parse(&format, &changed), None, "{changed:?} for {token}");
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for (format, token) in tokens() {
        for place in 0..token.len() {
            assert_eq!(parse(&format, &token[..place]), None, "{token} to {place}");
            if place > 0 {
                assert_eq!(
                    parse(&format, &token[place..]),
                    None,
                    "{token} from {place}"
                );
            }
            let without = format!("{}{}", &token[..place], &token[place + 1..]);
            assert_eq!(parse(&format, &without), None, "{token} without {place}");
        }
    }
}

#[test]
fn every_extension_by_one_character_is_refused() {
    for (format, token) in tokens() {
        for new in DIGITS.chars().chain(OTHERS.chars()) {
            for place in 0..=token.len() {
                let longer = format!("{}{new}{}", &token[..place], &token[place..]);
                assert_eq!(parse(&format, &longer), None, "{longer:?} for {token}");
            }
        }
    }
}

#[test]
fn every_swap_of_unequal_neighbours_is_refused() {
    for (format, token) in tokens() {
        for place in 1..token.len() {
            let mut characters: Vec<char> = token.chars().collect();
            characters.swap(place - 1, place);
            let swapped: String = characters.iter().collect();
            if swapped != token {
                assert_eq!(parse(&format, &swapped), None, "{swapped} for {token}");
            }
        }
    }
}

#[test]
fn the_header_value_is_a_token_as_well_in_any_case_of_its_scheme() {
    for (format, token) in tokens() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let header = format!("{scheme} {token}");
            assert_eq!(parse(&format, &header), parse(&format, token), "{header}");
        }
        for other in [
            format!("Basic {token}"),
            format!("Bearer{token}"),
            format!("Bearer\t{token}"),
            format!("Bearer Bearer {token}"),
            format!("Bearer {token} "),
            format!("{token} Bearer"),
            "Bearer ".to_owned(),
            "Bearer".to_owned(),
        ] {
            assert_eq!(parse(&format, &other), None, "{other:?}");
        }
    }
}

#[test]
fn retired_prefixes_are_read_and_no_longer_printed() {
    let renamed = TokenFormat::new("acme_pat", &["csn_pat".to_owned(), "k9".to_owned()]);
    let renamed = renamed.expect("prefixes");
    for vector in vectors("valid") {
        let is_known = matches!(vector.prefix, "csn_pat" | "k9");
        let expected = is_known.then_some(vector.secret_or_cause);
        assert_eq!(parse(&renamed, vector.token).as_deref(), expected);
        if let Some(secret) = renamed.parse(vector.token) {
            let printed = renamed.print(&secret);
            assert!(printed.expose().starts_with("acme_pat_1"));
            assert_eq!(parse(&renamed, printed.expose()).as_deref(), expected);
        }
    }
}

#[test]
fn a_prefix_that_begins_like_another_hides_none_of_its_tokens() {
    let prefixes = ["csn", "csn_pat", "csn_pat_1", "csn_pat_10"];
    let retired = prefixes.map(str::to_owned);
    for first in prefixes {
        let format = TokenFormat::new(first, &retired).expect("prefixes");
        for prefix in prefixes {
            let secret = Secret::random().expect("random bytes");
            let printed = format_with(prefix).print(&secret);
            let read = format.parse(printed.expose());
            let read = read.unwrap_or_else(|| panic!("a token with the prefix {prefix} is read"));
            assert_eq!(read.expose(), secret.expose(), "{prefix}");
        }
    }
}

#[test]
fn a_prefix_is_2_to_20_lower_case_characters_that_begin_with_a_letter_and_end_with_no_underscore() {
    let longest = "a".repeat(20);
    for good in ["ab", "a1", "a_b", "a__b", "csn_pat", longest.as_str()] {
        assert!(TokenFormat::new(good, &[]).is_ok(), "{good}");
        assert!(TokenFormat::new("ok", &[good.to_owned()]).is_ok(), "{good}");
    }
    let too_long = "a".repeat(21);
    for bad in [
        "",
        "a",
        "1a",
        "_a",
        "a_",
        "aB",
        "a-b",
        "a.b",
        "é1",
        "a b",
        too_long.as_str(),
    ] {
        assert!(TokenFormat::new(bad, &[]).is_err(), "{bad}");
        assert!(TokenFormat::new("ok", &[bad.to_owned()]).is_err(), "{bad}");
    }
}

#[test]
fn digests_differ_under_different_peppers_and_for_different_secrets() {
    let ring = PepperRing::parse(PEPPER).expect("a pepper");
    let other = PepperRing::parse(NEXT_PEPPER).expect("a pepper");
    let mut seen = Vec::new();
    for vector in vectors("valid") {
        let secret = format_with(vector.prefix).parse(vector.token);
        let secret = secret.expect("it is a token");
        for pepper in [ring.active(), other.active()] {
            let digest = pepper.digest(&secret).0;
            assert_ne!(&digest, secret.expose());
            assert!(!seen.contains(&digest), "{}", vector.token);
            seen.push(digest);
        }
    }
}

#[test]
fn a_ring_of_two_verifies_what_was_stored_under_either_and_stores_under_the_first() {
    let [first, next] =
        [PEPPER, NEXT_PEPPER].map(|pepper| PepperRing::parse(pepper).expect("a pepper"));
    let both = PepperRing::parse(&format!("{NEXT_PEPPER},{PEPPER}")).expect("a ring");
    assert_eq!(both.active().id(), next.active().id());
    let secret = Secret::random().expect("random bytes");
    let looked_up = both.digests(&secret);
    assert_eq!(looked_up.len(), 2);
    for ring in [&first, &next] {
        assert!(looked_up.contains(&ring.active().digest(&secret)));
    }
    assert!(both.active().digest(&secret) == next.active().digest(&secret));
    // A prefix that changes changes no digest.
    let renamed = format_with("acme_pat").print(&secret);
    let read = format_with("acme_pat")
        .parse(renamed.expose())
        .expect("a token");
    assert!(both.digests(&read) == looked_up);
}
