//! Many old events, servers that drop them at once, and one that was away while it happened.

use std::time::Duration;

use countersign::pb::{DenyReason, Outcome, resource::Owner};
use sea_orm::{ConnectionTrait, Statement};
use tokio::time::{Instant, sleep};

use super::{PATIENCE, WEEK, acme, add_old_events, age, change, kept, setup, until_dropped};
use crate::support::{
    client::{Client, authorize_request},
    database::{Backend, TestDatabase, on_both},
    history::History,
    http::{Scrape, scrape_until},
    process::Process,
    server::{PLATFORM, TestServer, key_of},
};

/// Several times as many as are dropped at once, and not a multiple.
const MANY: i64 = 2345;
const OLDEST: &str = "countersign_feed_oldest_revision";
const DROPPED: &str = "countersign_events_dropped_total";
const RESYNCS: &str = r#"countersign_view_feed_reads_total{result="RESYNC"}"#;

/// The number in the first column of the only row.
async fn told(database: &TestDatabase, sql: &str) -> i64 {
    let connection = database.connect().await;
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

async fn many_are_dropped_each_once_while_changes_go_on(database: TestDatabase) {
    let (first, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "laptop", None).await;
    first.stop().await.expect("it stops");
    age(&database, 0..=3).await;
    add_old_events(&database, 3, MANY).await;
    let count = match database.backend() {
        Backend::Sqlite => 1,
        Backend::Postgres => 3,
    };
    let mut servers: Vec<TestServer> = Vec::new();
    for _ in 0..count {
        servers.push(setup(Some(WEEK)).start(&database).await);
    }
    let clients: Vec<Client> = servers.iter().map(|it| it.client(PLATFORM)).collect();
    let last = 3 + MANY;
    let changing = change(&clients[0], 20);
    let dropping = async {
        for client in &clients {
            until_dropped(client, last).await;
        }
    };
    tokio::join!(changing, dropping);
    assert_eq!(
        kept(&platform_of(&servers)).await,
        Vec::from_iter(last..=last + 20)
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut dropped = 0.0;
        for server in &servers {
            let has_seen = |scrape: &Scrape| scrape.get(OLDEST) == Some(last as f64);
            let scrape = scrape_until(server.metrics_address(), has_seen).await;
            dropped += scrape.get(DROPPED).expect("it is counted");
        }
        // Who dropped them says so a moment after they are gone.
        if dropped == last as f64 {
            break;
        }
        assert!(
            Instant::now() < deadline && dropped < last as f64,
            "{dropped}"
        );
    }
    // The name of each is left, of a row none.
    let names = "SELECT sum(length(names)) / 8 FROM dropped_event";
    let names = match database.backend() {
        Backend::Sqlite => names.to_owned(),
        Backend::Postgres => format!("SELECT (({names}))::bigint"),
    };
    assert_eq!(told(&database, &names).await, last);
    for client in &clients {
        let owner = Some(Owner::Bearer(true));
        let answer = client.authorize(&issued.secret, "bookings.read", "", owner);
        let decision = answer.await.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Allow);
    }
}

fn platform_of(servers: &[TestServer]) -> Client {
    servers[0].client(PLATFORM)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_stopped_until_its_place_was_dropped_allows_nothing_that_was_revoked() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let (_server, platform) = acme(&database).await;
    let process = tokio::task::block_in_place(|| Process::serve(&database, ""));
    let stopped = process.client_with_key(Some(&key_of(PLATFORM)));
    let ask = |secret: &str| {
        let (mut client, owner) = (stopped.authorization.clone(), Some(Owner::Bearer(true)));
        let request = authorize_request(secret, "bookings.read", "", owner);
        async move { client.authorize(request).await }
    };
    let mut tokens = Vec::new();
    for name in ["kept", "revoked"] {
        let issued = platform.issue("acme", "max", name, None).await;
        let owner = Some(Owner::Bearer(true));
        let warm = stopped.authorize(&issued.secret, "bookings.read", "", owner);
        let decision = warm.await.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Allow);
        tokens.push(issued);
    }
    let before = Scrape::of(process.metrics_address()).await;
    process.send("STOP");
    let revoked = tokens[1].token.as_ref().expect("a token");
    platform.revoke(&revoked.token_id).await;
    change(&platform, 20).await;
    age(&database, 0..=25).await;
    until_dropped(&platform, 25).await;
    // Longer than the bound: whoever revoked it may rely on that.
    sleep(Duration::from_secs(1)).await;
    process.send("CONT");
    let deadline = Instant::now() + PATIENCE;
    for (issued, expected) in [
        (&tokens[1], DenyReason::RevokedToken),
        (&tokens[0], DenyReason::Unspecified),
    ] {
        loop {
            match ask(&issued.secret).await {
                Ok(answer) => {
                    let decision = answer.into_inner().decision.expect("a decision");
                    assert_eq!(decision.reason(), expected);
                    break;
                }
                Err(status) => assert!(Instant::now() < deadline, "{status:?}"),
            }
        }
    }
    let is_behind = |scrape: &Scrape| scrape.get(RESYNCS) > before.get(RESYNCS);
    scrape_until(process.metrics_address(), is_behind).await;
    // It follows again.
    let kept = tokens[0].token.as_ref().expect("a token");
    platform.revoke(&kept.token_id).await;
    loop {
        match ask(&tokens[0].secret).await {
            Ok(answer) => {
                let decision = answer.into_inner().decision.expect("a decision");
                if decision.reason() == DenyReason::RevokedToken {
                    break;
                }
            }
            Err(status) => assert!(Instant::now() < deadline, "{status:?}"),
        }
        assert!(Instant::now() < deadline, "it goes on allowing");
    }
    assert_eq!(History::read(&database).await.events.len(), 2);
}

on_both![many_are_dropped_each_once_while_changes_go_on];
