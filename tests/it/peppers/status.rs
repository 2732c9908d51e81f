//! `countersign pepper status`: which pepper is active, which verify, which are missing, and how many live tokens hang on
//! each.

use std::{process::Output, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    process::countersign,
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup},
};

/// Runs it with these peppers, and more arguments.
async fn status(database: &TestDatabase, peppers: &[&str], arguments: &[&str]) -> Output {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let mut command = countersign([&["pepper", "status"], arguments].concat(), &folder);
    command
        .env("COUNTERSIGN_DATABASE_URL", database.url())
        .env("COUNTERSIGN_PEPPERS", peppers.join(","));
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    output.expect("it ends").expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

/// Its table, with a code that tells whether any is missing.
async fn table(database: &TestDatabase, peppers: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = status(database, peppers, &[]).await;
    assert_eq!(text(&output.stderr), "");
    let lines = text(&output.stdout).lines().map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        cells.join(" ")
    });
    (output.status.code(), lines.collect())
}

const HEAD: &str = "PEPPER STANDING LIVE TOKENS";

/// A server whose tokens expire before the commands are run, if they ever do.
fn setup(peppers: &[&str]) -> Setup {
    let clock = TestClock::default();
    clock.set(countersign::domain::time::Timestamp(1_500_000_000_000));
    Setup {
        peppers: peppers.join(","),
        clock,
        ..Setup::default()
    }
}

async fn the_status_counts_the_live_tokens_of_each_pepper_beside_a_running_server(
    database: TestDatabase,
) {
    let server = setup(&[PEPPER, NEXT_PEPPER]).start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    for member in ["max", "ada"] {
        client.put_member("acme", member, "member").await;
    }
    let (code, lines) = table(&database, &[PEPPER]).await;
    assert_eq!(
        (code, &*lines),
        (Some(0), &[HEAD, "p1 ACTIVE 0"].map(String::from)[..])
    );

    // Live: three of max. Not: one revoked, one expired, one of a removed member.
    let hour = Some(Duration::from_secs(3600));
    for name in ["laptop", "phone", "tablet"] {
        client.issue("acme", "max", name, None).await;
    }
    let revoked = client.issue("acme", "max", "revoked", None).await;
    client
        .revoke(&revoked.token.expect("a token").token_id)
        .await;
    client.issue("acme", "max", "expired", hour).await;
    client.issue("acme", "ada", "removed", None).await;
    client.remove_member("acme", "ada").await;
    let mut next = setup(&[NEXT_PEPPER, PEPPER]);
    next.clock = server.clock().clone();
    assert!(server.reload(next).await);
    client.issue("acme", "max", "of the next", None).await;

    let before = database.dump().await;
    for (peppers, code, expected) in [
        (
            &[PEPPER, NEXT_PEPPER][..],
            0,
            &["p1 ACTIVE 3", "p2 VERIFIES 1"][..],
        ),
        (&[NEXT_PEPPER, PEPPER], 0, &["p2 ACTIVE 1", "p1 VERIFIES 3"]),
        (&[NEXT_PEPPER], 1, &["p2 ACTIVE 1", "p1 MISSING 3"]),
        (
            &["p3:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="],
            1,
            &["p3 ACTIVE 0", "p1 MISSING 3", "p2 MISSING 1"],
        ),
    ] {
        let expected = [&[HEAD], expected].concat();
        let (exit, lines) = table(&database, peppers).await;
        assert_eq!(
            (exit, lines),
            (
                Some(code),
                expected.iter().map(|&line| line.to_owned()).collect()
            )
        );
    }
    let output = status(&database, &[NEXT_PEPPER], &["--output", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = json!([
        {"pepper_id": "p2", "standing": "ACTIVE", "live_tokens": 1},
        {"pepper_id": "p1", "standing": "MISSING", "live_tokens": 3},
    ]);
    assert_eq!(told, expected);
    assert_eq!(database.dump().await, before, "it reads only");
    // It is there all the while.
    client.issue("acme", "max", "afterwards", None).await;
}

async fn the_status_of_a_database_without_tables_says_what_to_do(database: TestDatabase) {
    let output = status(&database, &[PEPPER], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    for told in [
        "lacks migrations: run `countersign migrate` first",
        "error: ",
    ] {
        assert!(said.contains(told), "{said}");
    }
    assert!(!said.contains("correct-horse-battery"), "{said}");
    if database.backend() == Backend::Sqlite {
        let files = database.folder().read_dir().expect("a folder").count();
        assert_eq!(files, 0, "it makes no database");
    }
}

on_both![
    the_status_counts_the_live_tokens_of_each_pepper_beside_a_running_server,
    the_status_of_a_database_without_tables_says_what_to_do,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_status_without_peppers_or_with_a_bad_one_is_wrong_usage() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("the embedded one is always there");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = countersign(["pepper", "status"], &folder).output();
    let missing = missing.expect("the binary runs");
    let bad = status(&database, &["p1:c2VjcmV0"], &[]).await;
    for (output, told) in [
        (missing, "peppers (not set): "),
        (
            bad,
            "peppers (COUNTERSIGN_PEPPERS): pepper `p1` is not 32 bytes long",
        ),
    ] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(!said.contains("c2VjcmV0"), "{said}");
    }
}
