//! `countersign events` says that there was more.

use tokio::task::block_in_place;

use super::{DAY, acme, age, change, until_dropped};
use crate::support::{
    clock::{TestClock, instant},
    database::{TestDatabase, on_both},
    process::countersign,
    server::{PLATFORM, TestServer, key_of},
};

const DROPPED: &str = ": older events were dropped\n";

/// What it prints.
fn events(server: &TestServer, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = countersign(["events"].iter().chain(arguments), &folder);
    command
        .env("COUNTERSIGN_SERVER", server.address().to_string())
        .env("COUNTERSIGN_KEY", key_of(PLATFORM));
    let output = block_in_place(|| command.output());
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

async fn a_list_that_begins_later_than_asked_says_so(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    change(&platform, 6).await;
    let whole = events(&server, &[]);
    assert!(!whole.contains("dropped"), "{whole}");
    age(&database, 0..=5).await;
    until_dropped(&platform, 5).await;
    // By the clock of the test, before event 5 was made old.
    let began = server.clock().now().0 - i64::try_from((400 * DAY).as_millis()).expect("a time");
    let clock = TestClock::default();
    let at = |millis: i64| {
        clock.set(countersign::domain::time::Timestamp(began + millis));
        instant(clock.now()).to_string()
    };
    for arguments in [&[][..], &["--limit", "4"], &["--workspace", "other"]] {
        let told = events(&server, arguments);
        let end = format!("\nThe trail begins at {}{DROPPED}", at(0));
        assert!(told.ends_with(&end), "{told}");
    }
    let (before, after) = (at(-1), at(1));
    for (arguments, is_told) in [
        (&["--since", &before][..], true),
        (&["--since", &at(0)][..], true),
        (&["--since", &after][..], false),
        // There is more to see first.
        (&["--limit", "3"][..], false),
    ] {
        let told = events(&server, arguments);
        assert_eq!(told.contains("dropped"), is_told, "{arguments:?}: {told}");
    }
    let json = events(&server, &["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["trail_start"]["occurred_at"], at(0));
    let oldest = json["events"][3]["revision"].clone();
    assert_eq!(json["trail_start"]["revision"], oldest);
}

on_both![a_list_that_begins_later_than_asked_says_so];
