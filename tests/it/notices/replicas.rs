//! Each notice is told once, however many replicas look for what is due, and whatever becomes of them meanwhile.

use std::collections::BTreeMap;

use countersign::domain::time::Timestamp;
use sea_orm::ConnectionTrait;

use super::{DAY, acme, before, events, notice, start, swept};
use crate::support::{
    client::Client,
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    history::History,
    server::PLATFORM,
};

const WORKSPACES: [&str; 3] = ["acme", "globex", "initech"];
const MEMBERS: [&str; 2] = ["ada", "max"];
/// Of each member: together more than are looked at together, and so are those of a workspace.
const TOKENS: usize = 40;
const ALL: usize = WORKSPACES.len() * MEMBERS.len() * TOKENS;

/// Many tokens that expire at the same instant, or a millisecond or so later.
async fn issue_many(client: &Client, clock: &TestClock) -> Timestamp {
    for workspace_id in WORKSPACES {
        if workspace_id != "acme" {
            client.create_workspace(workspace_id).await;
        }
        for member_id in MEMBERS {
            client.put_member(workspace_id, member_id, "member").await;
            for number in 0..TOKENS {
                let ttl = 40 * DAY + super::MILLISECOND * (u32::try_from(number).unwrap_or(0) % 3);
                let name = format!("{number}");
                client
                    .issue(workspace_id, member_id, &name, Some(ttl))
                    .await;
            }
        }
    }
    clock.now().plus(40 * DAY)
}

/// How often each notice was told of each token.
async fn counted(client: &Client) -> BTreeMap<u32, BTreeMap<String, usize>> {
    let mut counts: BTreeMap<u32, BTreeMap<String, usize>> = BTreeMap::new();
    let events = events(client).await;
    let many = events
        .iter()
        .filter(|event| WORKSPACES.contains(&event.workspace_id.as_str()));
    for (token_id, days, _) in many.filter_map(notice) {
        *counts.entry(days).or_default().entry(token_id).or_default() += 1;
    }
    counts
}

/// Fails unless these notices were told of every token, each once, and no other.
async fn assert_each_once(client: &Client, expected: &[u32]) {
    let counts = counted(client).await;
    let days: Vec<u32> = counts.keys().copied().collect();
    assert_eq!(days, expected);
    for (days, tokens) in counts {
        assert_eq!(tokens.len(), ALL, "{days}");
        assert!(
            tokens.values().all(|&count| count == 1),
            "{days}: {tokens:?}"
        );
    }
}

async fn many_that_are_due_at_once_are_all_told(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let end = issue_many(&platform, clock).await;
    let last = |days| before(end, days).plus(super::MILLISECOND * 3);
    for (days, expected) in [(30, vec![30]), (7, vec![7, 30]), (0, vec![0, 7, 30])] {
        clock.set(last(days));
        swept(&platform, clock).await;
        assert_each_once(&platform, &expected).await;
    }
    History::read(&database).await.assert_sound(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_tell_each_once_though_one_ends_and_connections_break() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let (first, platform) = acme(&database).await;
    let clock = first.clock().clone();
    let second = start(&database, &clock).await;
    let client = second.client(PLATFORM);
    let end = issue_many(&platform, &clock).await;
    let last = |days| before(end, days).plus(super::MILLISECOND * 3);
    clock.set(last(30));
    swept(&platform, &clock).await;
    assert_each_once(&client, &[30]).await;

    // In the middle of telling, one of them is gone.
    clock.set(last(7));
    while !counted(&client).await.contains_key(&7) {}
    first.abandon().await;
    swept(&client, &clock).await;
    assert_each_once(&client, &[7, 30]).await;

    // All connections break, again and again, while two tell; some in the middle of a change.
    let third = start(&database, &clock).await;
    let connection = database.connect().await;
    clock.set(last(1));
    for _ in 0..20 {
        let broken = connection
            .execute_unprepared(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        broken.expect("they are broken");
        tokio::time::sleep(super::MILLISECOND * 10).await;
    }
    connection.close().await.expect("it closes");
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while counted(&client).await.get(&1).map_or(0, BTreeMap::len) < ALL {
        assert!(tokio::time::Instant::now() < deadline, "all are told");
    }
    swept(&client, &clock).await;
    assert_each_once(&client, &[1, 7, 30]).await;
    History::read(&database).await.assert_sound(&[]);
    drop((second, third));
}

on_both![many_that_are_due_at_once_are_all_told];
