//! How the real process ends: without warning, in the middle of everything, and orderly.

mod shutdown;
mod startup;

use std::{sync::Arc, time::Duration};

use countersign::{domain::database_url::DatabaseUrl, store};

use crate::support::{
    client::Client,
    database::{Backend, TestDatabase, on_both},
    ledger::Ledger,
    process::Process,
    random::Random,
    server::{PLATFORM, key_of},
};

const ISSUES: usize = 1000;
const KILLS: usize = 3;
const WORKERS: usize = 8;

/// Issues until so many are acknowledged, or an issue fails. True: the latter.
async fn issue_until(ledger: &Ledger, client: &Client, target: usize) -> bool {
    while ledger.len() < target {
        if ledger.issue(client).await.is_err() {
            return true;
        }
    }
    false
}

/// Migrates the database where that is not done at start.
async fn migrate(database: &TestDatabase) {
    if database.backend() == Backend::Postgres {
        let url = DatabaseUrl::parse(database.url()).expect("an address");
        let migrated = store::migrate(&url).await;
        migrated.expect("the database is migrated");
    }
}

async fn all_that_was_acknowledged_outlives_a_kill(database: TestDatabase) {
    migrate(&database).await;
    let mut random = Random::seeded();
    let mut kills: Vec<usize> = (0..KILLS).map(|_| random.below(ISSUES)).collect();
    kills.sort_unstable();
    let ledger = Arc::new(Ledger::default());
    let mut process = Process::serve(&database, "");
    let mut client = process.client_with_key(Some(&key_of(PLATFORM)));
    Ledger::create_members(&client).await;
    for kill in kills {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (ledger, client) = (Arc::clone(&ledger), client.clone());
                tokio::spawn(async move { issue_until(&ledger, &client, ISSUES).await })
            })
            .collect();
        while ledger.len() < kill {
            assert!(!workers.iter().any(tokio::task::JoinHandle::is_finished));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::block_in_place(|| process.signal("KILL"));
        for worker in workers {
            let was_cut_off = worker.await.expect("the worker does not panic");
            assert!(was_cut_off || ledger.len() >= ISSUES);
        }
        process = Process::serve(&database, "");
        client = process.client_with_key(Some(&key_of(PLATFORM)));
        ledger.assert_kept(&database, &client).await;
    }
    let was_cut_off = issue_until(&ledger, &client, ISSUES).await;
    assert!(!was_cut_off, "{}", process.log());
    ledger.assert_kept(&database, &client).await;
}

on_both![all_that_was_acknowledged_outlives_a_kill];
