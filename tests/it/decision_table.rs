//! Every cell of the decision, against a table written by hand.
//!
//! `tests/decision_table.tsv` says what must come out; the policy file and the code under test are never asked for an
//! expected value. A column is a dimension: a cell of the table is `*`, a value, or values separated by `|`. The first
//! row that matches decides.

mod ceiling;
mod cells;
mod narrowing;
mod server;

use countersign::domain::{
    decide::{Decision, DenyReason, decide},
    policy::{Policy, Reach},
};

use cells::{Cell, DIMENSIONS};

const TABLE: &str = include_str!("../decision_table.tsv");

/// One line of the table.
struct Row {
    line: usize,
    /// For each dimension the values that match, a bit each.
    admits: [u64; DIMENSIONS.len()],
    expected: String,
}

impl Row {
    fn matches(&self, cell: &Cell) -> bool {
        self.admits
            .iter()
            .zip(cell.indexes)
            .all(|(admitted, index)| admitted >> index & 1 == 1)
    }
}

/// Reads the table. Panics at a value that its dimension does not have: a misspelt row would silently match nothing.
fn rows(table: &str) -> Vec<Row> {
    let mut lines = table
        .lines()
        .enumerate()
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    let (_, header) = lines.next().expect("the table has a header");
    let mut columns: Vec<&str> = DIMENSIONS.iter().map(|dimension| dimension.name).collect();
    columns.push("expected");
    assert_eq!(header.split('\t').collect::<Vec<_>>(), columns);
    lines.map(|(index, text)| row(index + 1, text)).collect()
}

fn row(line: usize, text: &str) -> Row {
    let fields: Vec<&str> = text.split('\t').collect();
    let (expected, patterns) = fields.split_last().expect("a line has fields");
    assert_eq!(patterns.len(), DIMENSIONS.len(), "line {line}: columns");
    let mut admits = [0; DIMENSIONS.len()];
    for ((admitted, dimension), pattern) in admits.iter_mut().zip(&DIMENSIONS).zip(patterns) {
        for word in pattern.split('|') {
            let index = dimension.values.iter().position(|value| *value == word);
            *admitted |= match index {
                Some(index) => 1 << index,
                None if word == "*" => u64::MAX,
                None => panic!("line {line}: `{word}` is no {}", dimension.name),
            };
        }
    }
    Row {
        line,
        admits,
        expected: (*expected).to_owned(),
    }
}

/// A decision in the table's words.
fn in_words(decision: Decision) -> String {
    match decision {
        Decision::Allow(Reach::Own) => "ALLOW OWN".to_owned(),
        Decision::Allow(Reach::Workspace) => "ALLOW WORKSPACE".to_owned(),
        Decision::Deny(reason) => format!("DENY {}", reason_in_words(reason)),
    }
}

fn reason_in_words(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::MalformedToken => "MALFORMED_TOKEN",
        DenyReason::UnknownToken => "UNKNOWN_TOKEN",
        DenyReason::WorkspaceDeleted => "WORKSPACE_DELETED",
        DenyReason::MemberRemoved => "MEMBER_REMOVED",
        DenyReason::RevokedToken => "REVOKED_TOKEN",
        DenyReason::ExpiredToken => "EXPIRED_TOKEN",
        DenyReason::WorkspaceSuspended => "WORKSPACE_SUSPENDED",
        DenyReason::MemberSuspended => "MEMBER_SUSPENDED",
        DenyReason::AddressNotAllowed => "ADDRESS_NOT_ALLOWED",
        DenyReason::Impersonation => "IMPERSONATION",
        DenyReason::AboveTokenCeiling => "ABOVE_TOKEN_CEILING",
        DenyReason::UnknownAction => "UNKNOWN_ACTION",
        DenyReason::WrongWorkspace => "WRONG_WORKSPACE",
        DenyReason::OutOfScope => "OUT_OF_SCOPE",
        DenyReason::RoleNotPermitted => "ROLE_NOT_PERMITTED",
        DenyReason::NotOwner => "NOT_OWNER",
    }
}

#[test]
fn every_cell_is_decided_as_the_table_says_and_every_row_decides_some() {
    let policy = Policy::embedded().expect("the default policy is good");
    let rows = rows(TABLE);
    let mut decided = vec![0_usize; rows.len()];
    let mut cells = 0_usize;
    let mut wrong = Vec::new();
    for cell in cells::all() {
        cells += 1;
        let Some(index) = rows.iter().position(|row| row.matches(&cell)) else {
            wrong.push(format!("{cell}: no row"));
            continue;
        };
        decided[index] += 1;
        let said = in_words(decide(&policy, &cell.presented(), &cell.ask(), cells::NOW));
        let row = &rows[index];
        if said != row.expected {
            let Row { line, expected, .. } = row;
            wrong.push(format!("{cell}: {said}, where line {line} says {expected}"));
        }
    }
    for (row, count) in rows.iter().zip(&decided) {
        if *count == 0 {
            wrong.push(format!("line {} decides nothing", row.line));
        }
    }
    println!("decision table: {cells} cells, {} rows", rows.len());
    let first = wrong
        .iter()
        .take(20)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(wrong.is_empty(), "{} wrong:\n{first}", wrong.len());
    // A dimension or a value that got lost would make every assertion above weaker, not red.
    assert_eq!(cells, 407_808);
}

#[test]
fn the_first_row_that_matches_decides() {
    let header = TABLE.lines().find(|line| line.starts_with("token\t"));
    let table = format!(
        "{}\n# a comment\nlive|expired\t*\t*\t*\t*\t*\t*\t*\t*\t*\tfirst\n*\t*\t*\t*\t*\t*\t*\t*\t*\t*\tsecond\n",
        header.expect("a header")
    );
    let rows = rows(&table);
    for cell in cells::all() {
        let row = rows.iter().find(|row| row.matches(&cell));
        let is_first = matches!(cell.value("token"), "live" | "expired");
        let expected = if is_first { "first" } else { "second" };
        assert_eq!(
            row.map(|row| row.expected.as_str()),
            Some(expected),
            "{cell}"
        );
    }
}

#[test]
#[should_panic(expected = "is no role")]
fn a_misspelt_value_is_refused() {
    row(1, "*\t*\t*\t*\t*\t*\t*\t*\tadmim\t*\tALLOW OWN");
}
