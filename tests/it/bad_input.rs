//! Bad input: one table of requests that are refused, each with its code, reason and fields, none of which leaves a trace
//! in the store; and the requests just inside of each limit, which are not refused.

mod authorization;
mod bearer;
mod directory;
mod edges;
mod lists;
mod pages;
mod rotation;
mod targets;
mod tokens;
mod world;

use std::collections::{BTreeSet, HashSet};

use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    call::{Call, as_caller, rpcs},
    database::{TestDatabase, on_both},
    server::PLATFORM,
    status::bad_fields,
};
use world::World;

/// A bad request and how it is refused.
struct Case {
    name: String,
    call: Call,
    code: Code,
    reason: &'static str,
    /// The fields named in BadRequest, all of them, in order.
    fields: Vec<&'static str>,
}

/// A request that is refused as a whole.
fn refused(
    name: impl Into<String>,
    request: impl Into<Call>,
    code: Code,
    reason: &'static str,
) -> Case {
    Case {
        name: name.into(),
        call: request.into(),
        code,
        reason,
        fields: Vec::new(),
    }
}

/// A request refused with INVALID_ARGUMENT for these fields.
fn invalid(
    name: impl Into<String>,
    request: impl Into<Call>,
    reason: &'static str,
    fields: &[&'static str],
) -> Case {
    Case {
        fields: fields.to_vec(),
        ..refused(name, request, Code::InvalidArgument, reason)
    }
}

const REQUIRED: &str = "FIELD_REQUIRED";
const TOO_LONG: &str = "FIELD_TOO_LONG";
const MALFORMED: &str = "FIELD_MALFORMED";
const OUT_OF_RANGE: &str = "FIELD_OUT_OF_RANGE";

/// What is wrong with an id, in every way there is.
fn bad_ids() -> Vec<(String, String, &'static str)> {
    let mut ids = vec![
        ("empty".to_owned(), String::new(), REQUIRED),
        ("of 65 characters".to_owned(), "i".repeat(65), TOO_LONG),
    ];
    for odd in [
        ' ', '/', '@', '+', '%', '~', '*', '\'', '"', '\\', '\0', '\n', '\t', '\u{7f}', 'é', 'Ａ',
        '٣', '😀', '\u{200b}',
    ] {
        let code_point = u32::from(odd);
        ids.push((
            format!("with U+{code_point:04X}"),
            format!("a{odd}b"),
            MALFORMED,
        ));
    }
    ids
}

/// What is wrong with a name, in every way there is.
fn bad_names() -> Vec<(String, String, &'static str)> {
    let mut names = vec![
        ("empty".to_owned(), String::new(), REQUIRED),
        (
            "of white space".to_owned(),
            " \t\n\u{3000}".to_owned(),
            REQUIRED,
        ),
        ("of 101 letters".to_owned(), "n".repeat(101), TOO_LONG),
        ("of 101 emoji".to_owned(), "😀".repeat(101), TOO_LONG),
    ];
    // Control (C0, DEL, C1), format, line and paragraph separators, and default-ignorable characters of other categories:
    // letters, marks, variation selectors, tags, and code points that are not assigned.
    for invisible in [
        '\0',
        '\t',
        '\n',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9f}',
        '\u{ad}',
        '\u{600}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{feff}',
        '\u{fff9}',
        '\u{2028}',
        '\u{2029}',
        '\u{34f}',
        '\u{115f}',
        '\u{17b4}',
        '\u{180b}',
        '\u{2065}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{ffa0}',
        '\u{fff0}',
        '\u{1bca0}',
        '\u{1d173}',
        '\u{e0001}',
        '\u{e0041}',
        '\u{e0100}',
        '\u{e0fff}',
    ] {
        let code_point = u32::from(invisible);
        names.push((
            format!("with U+{code_point:04X}"),
            format!("a{invisible}b"),
            MALFORMED,
        ));
    }
    names
}

/// One of each kind of fault, for where the same code reads the field.
fn briefly(
    faults: Vec<(String, String, &'static str)>,
) -> impl Iterator<Item = (String, String, &'static str)> {
    let mut kinds = HashSet::new();
    faults
        .into_iter()
        .filter(move |(_, _, reason)| kinds.insert(*reason))
}

fn table(world: &World) -> Vec<Case> {
    let mut cases = tokens::cases(world);
    cases.extend(targets::cases(world));
    cases.extend(rotation::cases(world));
    cases.extend(authorization::cases(world));
    cases.extend(directory::cases(world));
    cases.extend(lists::cases(world));
    cases
}

async fn a_bad_request_is_refused_with_its_fields_and_changes_nothing(database: TestDatabase) {
    let world = World::create(&database).await;
    let cases = table(&world);
    assert!(cases.len() >= 80, "{} cases", cases.len());
    let asked: BTreeSet<String> = cases
        .iter()
        .map(|case| case.call.rpc().to_owned())
        .collect();
    assert_eq!(asked, rpcs(), "every RPC has a case");
    println!("{} bad requests", cases.len());
    let mut faults = Vec::new();
    let connection = database.connect().await;
    let mut before = database.dump_over(&connection).await;
    for case in &cases {
        let answer = case.call.send(&world.channel, &as_caller(PLATFORM)).await;
        let after = database.dump_over(&connection).await;
        if let Err(fault) = verify(case, answer.map(drop), before == after) {
            faults.push(format!("{} {}: {fault}", case.call.rpc(), case.name));
        }
        before = after;
    }
    assert!(faults.is_empty(), "{}\n", faults.join("\n"));
}

/// What differs from what the case expects.
fn verify(case: &Case, answer: Result<(), tonic::Status>, unchanged: bool) -> Result<(), String> {
    let Err(status) = answer else {
        return Err("was accepted".to_owned());
    };
    let details = status.get_error_details();
    let said = details
        .error_info()
        .map(|info| (info.domain.as_str(), info.reason.as_str()));
    if (status.code(), said) != (case.code, Some(("countersign", case.reason))) {
        return Err(format!(
            "{:?} {said:?} is not {:?} {}",
            status.code(),
            case.code,
            case.reason
        ));
    }
    if bad_fields(&status) != case.fields {
        return Err(format!(
            "{:?} are not {:?}",
            bad_fields(&status),
            case.fields
        ));
    }
    match unchanged {
        true => Ok(()),
        false => Err("the store has changed".to_owned()),
    }
}

on_both![a_bad_request_is_refused_with_its_fields_and_changes_nothing];
