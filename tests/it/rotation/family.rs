//! Where the workspace says so, a rotated token that is presented after its overlap takes along what lives of its family.

use std::{collections::BTreeSet, time::Duration};

use countersign::pb::{DenyReason, Event, TokenPolicy, TokenState, event::Details};

use super::{
    WEEK, acme, events, get, issue, overlapping, refusal, rotate_request, rotated, set_policy,
};
use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    history::History,
    server::BOOKINGS,
};

const EXPIRED: Option<DenyReason> = Some(DenyReason::ExpiredToken);
const REVOKED: Option<DenyReason> = Some(DenyReason::RevokedToken);

/// Rotates a token again and again, with these overlaps: the ids and secrets, the first token's first.
async fn line(client: &Client, name: &str, overlaps: &[Duration]) -> Vec<(String, String)> {
    let mut line = vec![issue(client, name, None).await];
    for overlap in overlaps {
        let (id, _) = line.last().expect("there is one");
        let request = match overlap.is_zero() {
            true => rotate_request(id),
            false => overlapping(id, *overlap),
        };
        let answer = rotated(client, request).await;
        line.push((answer.token.expect("a token").token_id, answer.secret));
    }
    line
}

/// Waits until this event was told, and answers all after it and itself, oldest first.
async fn since_reuse(client: &Client, token_id: &str) -> Vec<Event> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let mut events = events(client).await;
        let is_it = |event: &Event| {
            event.token_id == token_id && matches!(event.details, Some(Details::TokenReused(_)))
        };
        if let Some(place) = events.iter().position(is_it) {
            events.truncate(place + 1);
            events.reverse();
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "it is told");
    }
}

async fn what_lives_of_the_family_is_revoked_and_nothing_else(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let bookings = server.client(BOOKINGS);
    let policy = TokenPolicy {
        revoke_family_on_reuse: true,
        ..Default::default()
    };
    set_policy(&platform, policy).await;
    let none = Duration::ZERO;
    let line = line(&platform, "deploy", &[WEEK, none, none, none, WEEK]).await;
    let (other_id, other) = issue(&platform, "other", None).await;
    // One of the family was revoked before, which stays as it was.
    let [first, reused, .., revoked, last] = &line[..] else {
        panic!("{line:?}");
    };
    platform.revoke(&revoked.0).await;
    for secret in [&first.1, &last.1, &other] {
        assert_eq!(refusal(&platform, secret).await, None);
    }
    assert_eq!(refusal(&bookings, &reused.1).await, EXPIRED);
    let told = since_reuse(&platform, &reused.0).await;
    let of_family: BTreeSet<&str> = told[1..]
        .iter()
        .map(|event| {
            assert_eq!(event.caller, BOOKINGS);
            match &event.details {
                Some(Details::TokenRevoked(revoked)) => {
                    assert!(revoked.reason.contains("presented after its overlap"));
                }
                other => panic!("{other:?}"),
            }
            event.token_id.as_str()
        })
        .collect();
    assert_eq!(of_family, BTreeSet::from([first.0.as_str(), &last.0]));
    for secret in [&first.1, &last.1] {
        assert_eq!(refusal(&platform, secret).await, REVOKED);
    }
    let told = get(&platform, &last.0).await;
    assert_eq!(told.state(), TokenState::Revoked);
    assert!(told.revoke_reason.contains("presented after its overlap"));
    let before = get(&platform, &revoked.0).await.revoke_reason;
    assert_eq!(before, "no longer needed");
    assert_eq!(refusal(&platform, &other).await, None);
    assert_eq!(get(&platform, &other_id).await.state(), TokenState::Active);
    History::read(&database).await.assert_sound(&[]);
}

async fn a_policy_that_ended_one_of_the_family_may_be_loosened_so_it_is_revoked(
    database: TestDatabase,
) {
    let (_server, platform) = acme(&database).await;
    let line = line(&platform, "deploy", &[Duration::ZERO]).await;
    let [reused, successor] = &line[..] else {
        panic!("{line:?}");
    };
    let policy = TokenPolicy {
        require_expiry: true,
        revoke_family_on_reuse: true,
        ..Default::default()
    };
    set_policy(&platform, policy).await;
    assert_eq!(refusal(&platform, &successor.1).await, EXPIRED);
    assert_eq!(refusal(&platform, &reused.1).await, EXPIRED);
    assert_eq!(since_reuse(&platform, &reused.0).await.len(), 2);
    set_policy(&platform, TokenPolicy::default()).await;
    assert_eq!(refusal(&platform, &successor.1).await, REVOKED);
}

async fn where_the_workspace_does_not_say_so_the_successor_goes_on(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let line = line(&platform, "deploy", &[Duration::ZERO]).await;
    let [reused, successor] = &line[..] else {
        panic!("{line:?}");
    };
    assert_eq!(refusal(&platform, &reused.1).await, EXPIRED);
    assert_eq!(since_reuse(&platform, &reused.0).await.len(), 1);
    assert_eq!(refusal(&platform, &successor.1).await, None);
}

on_both![
    what_lives_of_the_family_is_revoked_and_nothing_else,
    a_policy_that_ended_one_of_the_family_may_be_loosened_so_it_is_revoked,
    where_the_workspace_does_not_say_so_the_successor_goes_on,
];
