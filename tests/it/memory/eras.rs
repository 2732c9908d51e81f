//! A lookup that began before the peppers were replaced: what it finds is of those that were, and is not remembered.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{BOUND, ask, is_allowed, issue, until};
use crate::support::{
    database::{Backend, TestDatabase},
    http::Scrape,
    proxy::{Mode, Proxy},
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup, TestServer},
};

const TOKENS: usize = 20;

async fn metric(server: &TestServer, name: &str) -> f64 {
    let scrape = Scrape::of(server.metrics_address()).await;
    scrape.get(name).expect("it is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unknown_under_the_old_peppers_is_known_at_once_under_the_new() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let both = format!("{NEXT_PEPPER},{PEPPER}");
    let with = |peppers: &str| Setup {
        peppers: peppers.to_owned(),
        ..Setup::default()
    };
    // A replica that has the new pepper already.
    let there = with(&both).start(&database).await;
    let proxy = Proxy::start(database.address(), Mode::Pass).await;
    let setup = Setup {
        // Its feed alone can be held up: then every lookup waits for that, and for nothing else.
        database_url: Some(database.url().to_owned()),
        database_direct_url: Some(database.through(proxy.address()).url().to_owned()),
        ..with(PEPPER)
    };
    let here = setup.start(&database).await;
    let client = here.client(PLATFORM);
    let secrets = issue(&there.client(PLATFORM), TOKENS).await;

    proxy.set(Mode::Stall);
    until("the view is too old", || async {
        metric(&here, "countersign_view_age_seconds").await > BOUND.as_secs_f64()
    })
    .await;
    let mut calls = JoinSet::new();
    for secret in secrets.clone() {
        let client = client.clone();
        calls.spawn(async move { ask(&client, &secret).await });
    }
    until("all of them wait", || async {
        metric(&here, "countersign_rpc_calls_in_flight").await >= TOKENS as f64
    })
    .await;
    // They have begun; their messages, which came with their headers, are read by now as well.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(here.reload(with(&both)).await, "it is taken");
    proxy.set(Mode::Pass);
    for answer in calls.join_all().await {
        // Under which peppers it began matters to it alone.
        answer.expect("a decision");
    }
    for secret in &secrets {
        assert!(is_allowed(&client, secret).await, "it is known");
    }
}
