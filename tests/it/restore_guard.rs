//! `countersign restore-guard`: after it, no token that a backup brought back works.

use std::fs;

use countersign::pb::DenyReason;
use serde_json::{Value, json};

use crate::support::{
    client::refusal,
    database::{Backend, TestDatabase, on_both},
    process::countersign,
    server::{PEPPER, PLATFORM, TestServer},
};

/// Runs the command on this database: its exit code, output and complaints.
pub(crate) fn guard(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peppers = folder.path().join("peppers");
    fs::write(&peppers, PEPPER).expect("the file is written");
    let output = countersign(["restore-guard"].iter().chain(arguments), &folder)
        .env("COUNTERSIGN_DATABASE_URL", database.url())
        .env("COUNTERSIGN_PEPPERS_FILE", &peppers)
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

async fn the_tokens_of_all_or_of_named_workspaces_end(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let mut tokens = Vec::new();
    for workspace_id in ["acme", "other", "third"] {
        client.create_workspace(workspace_id).await;
        client.put_member(workspace_id, "max", "member").await;
        for name in ["a", "b"] {
            tokens.push(client.issue(workspace_id, "max", name, None).await.secret);
        }
    }
    if database.backend() == Backend::Sqlite {
        // While the server has it, nobody else changes an embedded database.
        let (code, printed, complaints) = guard(&database, &["--all"]);
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{complaints}");
        assert!(
            complaints.contains("in use by another process"),
            "{complaints}"
        );
    }
    server.stop().await.expect("it stops");

    let named = ["--workspace", "acme", "--output", "json"];
    let (code, printed, complaints) = guard(&database, &named);
    assert_eq!(code, Some(0), "{complaints}");
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(
        told,
        json!([{"workspace_id": "acme", "live_tokens_ended": 2}])
    );
    let (code, printed, _) = guard(&database, &["--all"]);
    assert_eq!(code, Some(0));
    let rows: Vec<Vec<&str>> = printed
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1..], [["acme", "0"], ["other", "2"], ["third", "2"]]);

    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    for token in &tokens {
        assert_eq!(
            refusal(&client, token).await,
            Some(DenyReason::RevokedToken)
        );
    }
    let fresh = client.issue("acme", "max", "a", None).await.secret;
    assert_eq!(refusal(&client, &fresh).await, None);
}

async fn where_there_is_nothing_to_end_that_is_told(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    server.stop().await.expect("it stops");
    for (arguments, told) in [
        (&["--all"][..], "there is no workspace\n"),
        (&["--all", "--output", "json"], "[]\n"),
    ] {
        let (code, printed, complaints) = guard(&database, arguments);
        assert_eq!((code, printed.as_str()), (Some(0), told), "{complaints}");
    }
}

async fn it_must_be_told_what_to_end_and_why(database: TestDatabase) {
    let too_long = "x".repeat(501);
    for (arguments, told) in [
        (&[][..], "--all"),
        (&["--all", "--workspace", "acme"][..], "cannot be used with"),
        (
            &["--workspace", "a b"][..],
            "workspace `a b` must consist of",
        ),
        (
            &["--all", "--reason", &too_long][..],
            "the reason must be at most 500 characters",
        ),
    ] {
        let (code, printed, complaints) = guard(&database, arguments);
        assert_eq!((code, printed.as_str()), (Some(64), ""), "{complaints}");
        assert!(complaints.contains(told), "{complaints}");
    }
}

on_both![
    the_tokens_of_all_or_of_named_workspaces_end,
    it_must_be_told_what_to_end_and_why,
    where_there_is_nothing_to_end_that_is_told,
];
