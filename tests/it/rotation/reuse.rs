//! A rotated token that is presented when its overlap is over: denied, and told once, beside the decision.

use std::time::Duration;

use countersign::pb::{DenyReason, Event, event::Details};

use super::{
    MILLISECOND, MINUTE, acme, events, issue, overlapping, refusal, rotate_request, rotated,
};
use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    history::History,
    http::Scrape,
    server::{BOOKINGS, PLATFORM, Setup, TestServer},
    statements::Statements,
};

const EXPIRED: Option<DenyReason> = Some(DenyReason::ExpiredToken);

fn reuses(events: &[Event]) -> Vec<&Event> {
    let is_reuse = |event: &&Event| matches!(event.details, Some(Details::TokenReused(_)));
    events.iter().filter(is_reuse).collect()
}

/// Waits until this many were told.
async fn told(client: &Client, expected: usize) -> Vec<Event> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let events = events(client).await;
        let found = reuses(&events).len();
        assert!(found <= expected, "{found} were told");
        if found == expected {
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found} were told");
    }
}

async fn reuse_is_told_once_of_each_token(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let bookings = server.client(BOOKINGS);
    let (old_id, old_secret) = issue(&platform, "deploy", None).await;
    let answer = rotated(&platform, overlapping(&old_id, MINUTE)).await;
    let successor_id = answer.token.expect("a token").token_id;
    server.clock().advance(MINUTE - MILLISECOND);
    assert_eq!(refusal(&bookings, &old_secret).await, None);
    server.clock().advance(MILLISECOND);
    // A token that expires and was never rotated is nobody's business.
    let (_, plain) = issue(&platform, "plain", Some(MINUTE)).await;
    server.clock().advance(MINUTE);
    assert_eq!(refusal(&bookings, &plain).await, EXPIRED);
    assert_eq!(reuses(&events(&platform).await), Vec::<&Event>::new());

    assert_eq!(refusal(&bookings, &old_secret).await, EXPIRED);
    let events = told(&platform, 1).await;
    let event = reuses(&events)[0];
    assert_eq!(
        (&event.token_id, event.caller.as_str()),
        (&old_id, BOOKINGS)
    );
    assert_eq!(event.member_id, "max");
    match &event.details {
        Some(Details::TokenReused(reused)) => assert_eq!(reused.successor_id, successor_id),
        other => panic!("{other:?}"),
    }
    for _ in 0..20 {
        assert_eq!(refusal(&bookings, &old_secret).await, EXPIRED);
    }
    // Another that is told after it shows that nothing of the first is still to come.
    let (other_id, other_secret) = issue(&platform, "other", None).await;
    rotated(&platform, rotate_request(&other_id)).await;
    assert_eq!(refusal(&bookings, &other_secret).await, EXPIRED);
    let events = told(&platform, 2).await;
    assert_eq!(reuses(&events)[0].token_id, other_id);
    assert_eq!(
        refusal(&platform, &answer.secret).await,
        None,
        "it lives on"
    );
    let scrape = Scrape::of(server.metrics_address()).await;
    for (what, count) in [("rotated", 2.0), ("reused", 2.0), ("issued", 5.0)] {
        let name = format!("countersign_tokens_{what}_total");
        assert_eq!(scrape.get(&name), Some(count), "{name}");
    }
    History::read(&database).await.assert_sound(&[]);
}

async fn no_more_than_twenty_a_second_are_told(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let mut secrets = Vec::new();
    for number in 0..25 {
        let (id, secret) = issue(&platform, &format!("{number}"), None).await;
        rotated(&platform, rotate_request(&id)).await;
        secrets.push(secret);
    }
    for secret in &secrets {
        assert_eq!(refusal(&platform, secret).await, EXPIRED);
    }
    told(&platform, 20).await;
    // What was left out is told when it is presented again.
    server.clock().advance(Duration::from_secs(1));
    for secret in &secrets {
        assert_eq!(refusal(&platform, secret).await, EXPIRED);
    }
    told(&platform, 25).await;
}

async fn a_decision_that_is_told_of_takes_no_statement_of_its_own(database: TestDatabase) {
    let statements = Statements::default();
    let setup = Setup {
        statements: Some(statements.clone()),
        ..Setup::default()
    };
    let server: TestServer = setup.start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let (id, secret) = issue(&platform, "deploy", None).await;
    rotated(&platform, overlapping(&id, MINUTE)).await;
    assert_eq!(refusal(&platform, &secret).await, None);
    server.clock().advance(MINUTE);
    statements.take();
    // Known and expired: the token is not looked up, it is only told of.
    assert_eq!(refusal(&platform, &secret).await, EXPIRED);
    told(&platform, 1).await;
    assert_eq!(statements.take_lookups(), 0);
    // That was a change of the token, so it is read once more, and then no more.
    assert_eq!(refusal(&platform, &secret).await, EXPIRED);
    assert_eq!(statements.take_lookups(), 1);
    assert_eq!(refusal(&platform, &secret).await, EXPIRED);
    assert_eq!(statements.take(), [""; 0]);
}

on_both![
    reuse_is_told_once_of_each_token,
    no_more_than_twenty_a_second_are_told,
    a_decision_that_is_told_of_takes_no_statement_of_its_own,
];
