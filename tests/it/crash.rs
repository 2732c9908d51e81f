//! How the real process ends: without warning, in the middle of everything, and orderly.

mod shutdown;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::{
    domain::database_url::DatabaseUrl,
    pb::{Outcome, resource::Owner},
    store,
};

use crate::support::{
    client::{Client, issue_request},
    database::{Backend, TestDatabase, on_both},
    history::{Acknowledged, History, subject},
    process::Process,
    random::Random,
    server::{PLATFORM, key_of},
};

const ISSUES: usize = 1000;
const KILLS: usize = 3;
const WORKERS: usize = 8;
/// Enough for all tokens under the cap of 50, even if every issue that a kill cut off was carried out.
const MEMBERS: usize = 24;

/// What the server acknowledged, kept where no kill of it can reach.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<Vec<(Acknowledged, String)>>,
    /// Names for the next issue.
    names: AtomicUsize,
}

impl Ledger {
    fn len(&self) -> usize {
        self.acknowledged.lock().expect("the ledger").len()
    }

    /// Issues until so many are acknowledged, or an issue fails. True: the latter.
    async fn issue_until(&self, client: &Client, target: usize) -> bool {
        while self.len() < target {
            let name = self.names.fetch_add(1, Ordering::Relaxed);
            let member_id = format!("m{}", name % MEMBERS);
            let request = issue_request("acme", &member_id, &format!("token {name}"), None);
            let Ok(response) = client.tokens.clone().issue_token(request).await else {
                return true;
            };
            let response = response.into_inner();
            let token_id = response.token.expect("a token").token_id;
            let acknowledged = Acknowledged {
                revision: response.revision,
                kind: "TOKEN_ISSUED",
                subject: subject("acme", &member_id, &token_id),
            };
            let mut ledger = self.acknowledged.lock().expect("the ledger");
            ledger.push((acknowledged, response.secret));
        }
        false
    }

    /// Fails unless every acknowledged token authorizes and the database is sound.
    async fn assert_kept(&self, database: &TestDatabase, client: &Client) {
        let (acknowledged, secrets): (Vec<_>, Vec<_>) = {
            let ledger = self.acknowledged.lock().expect("the ledger");
            ledger.iter().cloned().unzip()
        };
        History::read(database).await.assert_sound(&acknowledged);
        let checks: Vec<_> = secrets
            .chunks(secrets.len().div_ceil(WORKERS).max(1))
            .map(|secrets| {
                let (secrets, client) = (secrets.to_vec(), client.clone());
                tokio::spawn(async move {
                    for secret in secrets {
                        let owner = Some(Owner::Bearer(true));
                        let answer = client.authorize(&secret, "bookings.read", "", owner).await;
                        let decision = answer.decision.expect("a decision");
                        assert_eq!(decision.outcome(), Outcome::Allow, "{}", decision.message);
                    }
                })
            })
            .collect();
        for check in checks {
            check.await.expect("every token authorizes");
        }
    }
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
    client.create_workspace("acme").await;
    for member in 0..MEMBERS {
        let member_id = format!("m{member}");
        client.put_member("acme", &member_id, "member").await;
    }
    for kill in kills {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (ledger, client) = (Arc::clone(&ledger), client.clone());
                tokio::spawn(async move { ledger.issue_until(&client, ISSUES).await })
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
    let was_cut_off = ledger.issue_until(&client, ISSUES).await;
    assert!(!was_cut_off, "{}", process.log());
    ledger.assert_kept(&database, &client).await;
}

on_both![all_that_was_acknowledged_outlives_a_kill];
