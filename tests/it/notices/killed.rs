//! Each notice is told once though the processes that tell are killed in the middle of it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::{
    task::{JoinSet, block_in_place},
    time::{Instant, sleep},
};

use super::{DAY, MILLISECOND, PATIENCE};
use crate::support::{
    child,
    client::Client,
    database::{Backend, TestDatabase},
    history::History,
    process::Process,
    random::Random,
    server::{PLATFORM, key_of},
};

const KILLS: usize = 6;
const MEMBERS: usize = 4;
/// Of each member, for each kill: all of them are too many for one change.
const TOKENS: usize = 16;
/// From the issue of a token to its notice.
const AHEAD: Duration = Duration::from_secs(1);

/// By token and kind, how often it was told.
async fn told(database: &TestDatabase) -> BTreeMap<(String, String), usize> {
    let mut told = BTreeMap::new();
    for event in History::read(database).await.events {
        let kind = match event.kind.as_str() {
            "TOKEN_EXPIRED" => event.kind,
            "TOKEN_EXPIRING" => {
                let details: Value = serde_json::from_str(&event.details).expect("JSON");
                format!("{} of {} days", event.kind, details["days"])
            }
            _ => continue,
        };
        *told.entry((event.subject, kind)).or_default() += 1;
    }
    told
}

fn client(process: &Process) -> Client {
    process.client_with_key(Some(&key_of(PLATFORM)))
}

/// Tokens of this name and lifetime, of every member at once. Answers how many.
async fn issue_many(client: &Client, name: &str, ttl: Duration) -> usize {
    let mut issues = JoinSet::new();
    for member in 0..MEMBERS {
        let (client, name) = (client.clone(), name.to_owned());
        issues.spawn(async move {
            for number in 0..TOKENS {
                let (member_id, name) = (format!("m{member}"), format!("{name} {number}"));
                client.issue("acme", &member_id, &name, Some(ttl)).await;
            }
        });
    }
    issues.join_all().await;
    MEMBERS * TOKENS
}

/// Waits until at least so many notices were told.
async fn until_told(database: &TestDatabase, expected: usize) {
    let deadline = Instant::now() + PATIENCE;
    while told(database).await.len() < expected {
        assert!(Instant::now() < deadline, "they are told");
        sleep(MILLISECOND).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_are_killed_tell_each_notice_once() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let mut random = Random::seeded();
    let start = || block_in_place(|| child::start(&database));
    let mut processes = [start(), start()];
    let platform = client(&processes[0]);
    platform.create_workspace("acme").await;
    for member in 0..MEMBERS {
        let member_id = format!("m{member}");
        platform.put_member("acme", &member_id, "member").await;
    }
    let mut expected = 0;
    for kill in 0..KILLS {
        // Those of a day ahead stay, and there is room for 50 of a member.
        let ttl = match kill % 3 {
            0 => AHEAD + DAY,
            _ => AHEAD,
        };
        let killed = random.below(2);
        let issued = issue_many(&client(&processes[0]), &format!("kill {kill}"), ttl).await;
        until_told(&database, expected + 1).await;
        sleep(MILLISECOND * u32::try_from(random.below(150)).expect("short")).await;
        block_in_place(|| processes[killed].signal("KILL"));
        processes[killed] = start();
        expected += issued;
        until_told(&database, expected).await;
    }
    // Whoever would tell again looks first at what is due longest: one that is due now is told of after that.
    for _ in 0..2 {
        for process in &processes {
            let client = client(process);
            client.issue("acme", "m0", "last", Some(MILLISECOND)).await;
            expected += 1;
            until_told(&database, expected).await;
        }
    }
    let told = told(&database).await;
    assert_eq!(told.len(), expected, "{told:?}");
    assert!(told.values().all(|&times| times == 1), "{told:?}");
    History::read(&database).await.assert_sound(&[]);
}
