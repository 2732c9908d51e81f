//! A pooler between: one that breaks prepared statements is refused at the start, any other serves.

use std::time::Duration;

use countersign::{
    domain::{database_url::DatabaseUrl, pepper::PepperRing, time::Clock},
    server::StartError,
    store::{self, Store, StoreError},
};

use super::{ask, is_allowed, issue, until, warm};
use crate::support::{
    database::{Backend, TestDatabase},
    pgbouncer::PgBouncer,
    server::{PEPPER, PLATFORM, Setup},
};

/// What becomes of a server that reaches its database through a pooler.
async fn start_through(
    database: &TestDatabase,
    pooler: &PgBouncer,
    direct_url: Option<String>,
) -> Result<(), StartError> {
    let setup = Setup {
        database_url: Some(database.through(pooler.address()).url().to_owned()),
        database_direct_url: direct_url,
        ..Setup::default()
    };
    // The database is migrated, at its own address.
    let server = setup.start(database).await;
    server.stop().await
}

fn must_name_the_pooler(outcome: Result<(), StartError>) {
    let error = outcome.expect_err("it does not start");
    let StartError::Store(StoreError::Pooler(_)) = &error else {
        panic!("{error}");
    };
    let told = error.to_string();
    assert!(!told.contains("correct-horse"), "{told}");
    for word in [
        "pooler",
        "prepared statements",
        "session mode",
        "`database_direct_url`",
    ] {
        assert!(told.contains(word), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_breaks_prepared_statements_is_refused_at_the_start() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    // Each way of choosing the session of the next transaction, and hardly any or many to choose from.
    for mode in ["transaction", "statement"] {
        for more in [
            "",
            "server_round_robin = 1",
            "min_pool_size = 20\nserver_round_robin = 1",
            "min_pool_size = 20",
            "default_pool_size = 1",
        ] {
            let Some(pooler) = PgBouncer::start(&database, mode, more) else {
                return;
            };
            // Every time, not by chance.
            for _ in 0..3 {
                must_name_the_pooler(start_through(&database, &pooler, None).await);
                let direct = Some(database.url().to_owned());
                must_name_the_pooler(start_through(&database, &pooler, direct).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_serves() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let Some(pooler) = PgBouncer::start(&database, "session", "") else {
        return;
    };
    for direct_url in [None, Some(database.url().to_owned())] {
        let name = direct_url.as_ref().map_or("pooled", |_| "direct");
        let setup = Setup {
            database_url: Some(database.through(pooler.address()).url().to_owned()),
            database_direct_url: direct_url,
            ..Setup::default()
        };
        let server = setup.start(&database).await;
        let client = server.client(PLATFORM);
        if name == "pooled" {
            warm(&client, &issue(&client, 5).await).await;
        }
        let issued = client.issue("acme", "m0", name, None).await;
        assert!(is_allowed(&client, &issued.secret).await);
        let token_id = issued.token.expect("the answer carries it").token_id;
        client.revoke(&token_id).await;
        assert!(!is_allowed(&client, &issued.secret).await);
        // Changes are followed: another server's is seen here.
        let other = Setup::default().start(&database).await;
        let platform = other.client(PLATFORM);
        let issued = platform.issue("acme", "m0", "another", None).await;
        assert!(is_allowed(&client, &issued.secret).await);
        let token_id = issued.token.expect("the answer carries it").token_id;
        platform.revoke(&token_id).await;
        until("it is denied", || async {
            let answer = ask(&client, &issued.secret).await;
            answer.is_ok_and(|answer| !super::allows(&answer))
        })
        .await;
        other.stop().await.expect("it ends well");
        server.stop().await.expect("it ends well");
    }
    assert!(!pooler.log().contains("ERROR"), "{}", pooler.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_without_a_session_to_spare_is_not_taken_for_one_that_breaks_statements() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let more = "default_pool_size = 1\nquery_wait_timeout = 1";
    let Some(pooler) = PgBouncer::start(&database, "session", more) else {
        return;
    };
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url).await.expect("it is migrated");
    let through = database.through(pooler.address());
    let url = DatabaseUrl::parse(through.url()).expect("an address");
    let ring = PepperRing::parse(PEPPER).expect("peppers");
    let opened = Store::open(&url, &ring, Clock::system());
    let opened = tokio::time::timeout(Duration::from_secs(30), opened).await;
    let error = opened.expect("it ends").err().expect("it cannot be used");
    assert!(matches!(error, StoreError::Database(..)), "{error}");
}
