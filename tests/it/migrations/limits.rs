//! Rows with limits beside rows without, and what a version that knows one of them only makes of the other.

use countersign::pb::{Outcome, resource::Owner};
use sea_orm::{ConnectionTrait, Statement};
use tonic::Code;

use super::execute;
use crate::support::{
    client::{Client, authorize_request},
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    status::assert_status,
};

async fn acme(server: &TestServer) -> Client {
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    platform
}

async fn is_allowed(client: &Client, token: &str, action: &str) -> bool {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(token, action, "", owner).await;
    let decision = answer.decision.expect("a decision");
    decision.outcome() == Outcome::Allow
}

async fn a_token_of_before_there_were_limits_has_none(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let issued = acme(&server).await.issue("acme", "max", "old", None).await;
    server.stop().await.expect("it stops");
    execute(
        &database,
        &[
            "ALTER TABLE token DROP COLUMN scopes",
            "ALTER TABLE token DROP COLUMN allowed_cidrs",
            "DELETE FROM seaql_migrations WHERE version = 'm20261124_000003_limit_tokens'",
        ],
    )
    .await;
    let server = TestServer::start(&database).await;
    let platform = server.client(PLATFORM);
    assert!(is_allowed(&platform, &issued.secret, "bookings.read").await);
    let token = issued.token.expect("a token");
    let revoked = platform.revoke(&token.token_id).await;
    assert_eq!((revoked.scopes, revoked.allowed_cidrs), (vec![], vec![]));
}

async fn a_limited_token_is_stored_under_rules_that_older_versions_refuse(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    platform.issue("acme", "max", "plain", None).await;
    for (name, limits) in [
        ("scoped", [&["*.read"][..], &[]]),
        ("placed", [&[], &["192.0.2.1"]]),
        ("both", [&["*.read"], &["192.0.2.1"]]),
    ] {
        platform.issue_limited("acme", "max", name, limits).await;
    }
    let connection = database.connect().await;
    let sql = "SELECT name, rules_version FROM token ORDER BY created_at, name";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect("rows");
    let row = |row: &sea_orm::QueryResult| -> (String, i32) {
        let name = row.try_get("", "name").expect("a name");
        (name, row.try_get("", "rules_version").expect("a number"))
    };
    let mut rows: Vec<_> = rows.iter().map(row).collect();
    rows.sort();
    let expected = [("both", 2), ("placed", 2), ("plain", 1), ("scoped", 2)];
    assert_eq!(rows, expected.map(|(name, rules)| (name.to_owned(), rules)));
}

/// As by a version that wrote the columns of the other, or by hand: a limit that got lost is no reason to allow.
async fn a_row_that_is_half_limited_is_never_decided(database: TestDatabase) {
    let setup = Setup::default();
    let clock = setup.clock.clone();
    let server = setup.start(&database).await;
    let platform = acme(&server).await;
    let spoilt = [
        "scopes = NULL",
        "rules_version = 1",
        "scopes = ''",
        "scopes = '*.*'",
        "scopes = 'bookings.read '",
        "allowed_cidrs = ''",
        "allowed_cidrs = 'anywhere'",
        "rules_version = 3",
    ];
    let mut tokens = Vec::new();
    for (number, spoil) in spoilt.iter().enumerate() {
        let name = format!("token {number}");
        let limits: [&[&str]; 2] = [&["bookings.read"], &[]];
        let issued = platform.issue_limited("acme", "max", &name, limits).await;
        assert!(is_allowed(&platform, &issued.secret, "bookings.read").await);
        assert!(!is_allowed(&platform, &issued.secret, "bookings.list").await);
        let id = issued.token.expect("a token").token_id;
        let set = format!("UPDATE token SET {spoil} WHERE token_id = '{id}'");
        tokens.push((set, issued.secret));
    }
    server.stop().await.expect("it stops");
    let sets: Vec<&str> = tokens.iter().map(|(set, _)| set.as_str()).collect();
    execute(&database, &sets).await;
    let setup = Setup {
        clock,
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let platform = server.client(PLATFORM);
    for ((set, secret), spoil) in tokens.iter().zip(spoilt) {
        let reason = match spoil {
            "rules_version = 3" => "NEWER_RULES_NEEDED",
            _ => "UNAVAILABLE",
        };
        for action in ["bookings.read", "bookings.list"] {
            let request = authorize_request(secret, action, "", Some(Owner::Bearer(true)));
            let status = platform.authorization.clone().authorize(request).await;
            let status = status.expect_err(set);
            assert_status(&status, Code::Unavailable, reason, None);
        }
    }
}

on_both![
    a_token_of_before_there_were_limits_has_none,
    a_limited_token_is_stored_under_rules_that_older_versions_refuse,
    a_row_that_is_half_limited_is_never_decided,
];
