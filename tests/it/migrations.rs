//! The schema: who changes it, who refuses to run without it, and how a release lives beside a newer one. And whatever
//! else a server refuses to start from.

mod limits;
mod peppers;

use std::process::{Output, Stdio};

use countersign::{
    domain::database_url::DatabaseUrl,
    pb::{GetTokenRequest, ListTokensRequest, Outcome, get_token_request::Target, resource::Owner},
    store,
};
use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use tonic::Code;

use crate::support::{
    client::authorize_request,
    database::{Backend, TestDatabase, on_both},
    process::{Process, countersign},
    server::{PLATFORM, Setup, TestServer, key_of},
    status::assert_status,
};

/// The migrations of this version.
const MIGRATIONS: &str = "m20261124_000001_create_core\n\
    m20261124_000002_bound_staleness\n\
    m20261124_000003_limit_tokens\n\
    m20261124_000004_rotate_tokens\n\
    m20261124_000005_token_policy\n\
    m20261124_000006_token_use\n\
    m20261124_000007_notices\n\
    m20261124_000008_idle_limit\n\
    m20261124_000009_find_events\n\
    m20261126_000001_drop_events\n";
const NOTHING: &str = "nothing to do\n";

/// Runs `countersign migrate` and more of these at once, with these arguments besides the database.
fn migrate(database: &TestDatabase, arguments: &[&str], count: usize) -> Vec<Output> {
    let folder = TempDir::new().expect("a temporary folder");
    let running: Vec<_> = (0..count)
        .map(|_| {
            countersign(["migrate", "--database-url", database.url()], &folder)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary runs")
        })
        .collect();
    let ended = running.into_iter().map(|child| {
        let output = child.wait_with_output();
        output.expect("it ends")
    });
    ended.collect()
}

/// Runs one, and what it said with its exit code.
fn migrate_once(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let output = migrate(database, arguments, 1).remove(0);
    let said = String::from_utf8(output.stdout).expect("it is text");
    (output.status.code(), said)
}

async fn execute(database: &TestDatabase, statements: &[&str]) {
    let connection = database.connect().await;
    for statement in statements {
        let done = connection.execute_unprepared(statement).await;
        done.expect("the statement runs");
    }
    connection.close().await.expect("the connection closes");
}

async fn migrate_applies_and_names_what_is_pending_once(database: TestDatabase) {
    let pending = (Some(1), MIGRATIONS.to_owned());
    let nothing = (Some(0), NOTHING.to_owned());
    assert_eq!(migrate_once(&database, &["--check"]), pending);
    assert_eq!(migrate_once(&database, &["--check"]), pending, "it checks");
    let applied = (Some(0), MIGRATIONS.to_owned());
    assert_eq!(migrate_once(&database, &[]), applied);
    assert_eq!(migrate_once(&database, &[]), nothing);
    assert_eq!(migrate_once(&database, &["--check"]), nothing);
    let server = Setup::default().start_unmigrated(&database).await;
    server.client(PLATFORM).create_workspace("acme").await;
    server.stop().await.expect("it served");
}

async fn a_server_starts_from_a_schema_of_a_newer_version(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let before = client.issue("acme", "max", "before", None).await;
    server.stop().await.expect("it stops");
    execute(
        &database,
        &[
            "CREATE TABLE not_yet_thought_of (id bigint PRIMARY KEY)",
            "ALTER TABLE token ADD COLUMN not_yet_thought_of text",
            "ALTER TABLE event ADD COLUMN not_yet_thought_of bigint NOT NULL DEFAULT 7",
            "INSERT INTO seaql_migrations (version, applied_at) \
             VALUES ('m29991231_000001_add_the_unthought_of', 1)",
        ],
    )
    .await;
    // Rolled back to this version.
    assert_eq!(migrate_once(&database, &[]), (Some(0), NOTHING.to_owned()));
    assert_eq!(
        migrate_once(&database, &["--check"]),
        (Some(0), NOTHING.to_owned())
    );
    let server = Setup::default().start_unmigrated(&database).await;
    let client = server.client(PLATFORM);
    let after = client.issue("acme", "max", "after", None).await;
    for issued in [&before, &after] {
        let owner = Some(Owner::Bearer(true));
        let answer = client
            .authorize(&issued.secret, "bookings.read", "", owner)
            .await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Allow);
        client
            .revoke(&issued.token.as_ref().expect("a token").token_id)
            .await;
    }
    server.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_serve_refuses_pending_migrations_and_says_what_to_run() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let refused = || {
        let (code, said) = Process::refused(&database);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("run `countersign migrate` first"), "{said}");
        assert!(MIGRATIONS.lines().all(|name| said.contains(name)), "{said}");
    };
    refused();
    // A database of which only the newest migration is missing is no better than an empty one.
    migrate_once(&database, &[]);
    execute(&database, &["DELETE FROM seaql_migrations"]).await;
    refused();
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    let pending = store::pending_migrations(&url).await;
    let number = MIGRATIONS.lines().count();
    assert_eq!(
        pending.expect("it is told").len(),
        number,
        "serve applied none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_serve_migrates_by_itself() {
    let Some(database) = TestDatabase::create(Backend::Sqlite).await else {
        return;
    };
    assert_eq!(
        migrate_once(&database, &["--check"]).0,
        Some(1),
        "it is not there"
    );
    let process = Process::serve(&database, "");
    let client = process.client_with_key(Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    // Reading does not disturb the server; migrating would.
    assert_eq!(
        migrate_once(&database, &["--check"]),
        (Some(0), NOTHING.to_owned())
    );
    assert_eq!(migrate_once(&database, &[]).0, Some(1), "it is in use");
    drop(process);
    assert_eq!(migrate_once(&database, &[]), (Some(0), NOTHING.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_migrate_one_postgres_at_once_one_does_and_all_succeed() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let mut said: Vec<String> = migrate(&database, &[], 5)
        .into_iter()
        .map(|output| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{stderr}");
            String::from_utf8(output.stdout).expect("it is text")
        })
        .collect();
    said.sort();
    assert_eq!(said[0], MIGRATIONS);
    assert!(said[1..].iter().all(|said| said == NOTHING), "{said:?}");
    drop(Process::serve(&database, ""));
}

async fn a_token_under_rules_of_a_newer_version_is_never_decided(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let newer = client.issue("acme", "max", "newer", None).await;
    let newer_id = newer.token.expect("a token").token_id;
    let known = client.issue("acme", "max", "known", None).await;
    let set = format!("UPDATE token SET rules_version = 3 WHERE token_id = '{newer_id}'");
    execute(&database, &[&set]).await;
    let bearer = || Some(Owner::Bearer(true));
    for action in ["bookings.read", "users.create", "no.such-action"] {
        let request = authorize_request(&newer.secret, action, "", bearer());
        let status = client.authorization.clone().authorize(request).await;
        let status = status.expect_err("it cannot be decided");
        assert_status(&status, Code::Unavailable, "NEWER_RULES_NEEDED", None);
    }
    let request = GetTokenRequest {
        target: Some(Target::TokenId(newer_id)),
        ..Default::default()
    };
    let status = client.tokens.clone().get_token(request).await;
    let status = status.expect_err("it cannot be shown");
    assert_status(&status, Code::Unavailable, "NEWER_RULES_NEEDED", None);
    let request = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        ..Default::default()
    };
    let status = client.tokens.clone().list_tokens(request).await;
    let status = status.expect_err("nor can a list with it");
    assert_status(&status, Code::Unavailable, "NEWER_RULES_NEEDED", None);
    // The others are none the worse.
    let answer = client
        .authorize(&known.secret, "bookings.read", "", bearer())
        .await;
    let decision = answer.decision.expect("a decision");
    assert_eq!(decision.outcome(), Outcome::Allow);
}

on_both![
    migrate_applies_and_names_what_is_pending_once,
    a_server_starts_from_a_schema_of_a_newer_version,
    a_token_under_rules_of_a_newer_version_is_never_decided,
];
