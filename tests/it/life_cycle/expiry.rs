//! Expiry, to the millisecond: live just before the instant, dead at it.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{DenyReason, IssueTokenRequest, TokenState, WarningKind, issue_token_request::Expiry},
};
use tonic::Code;

use super::{acme, ask_own, get, instant, list};
use crate::support::{
    client::issue_request,
    database::{TestDatabase, on_both},
    status::assert_status,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn until(name: &str, expiry: Expiry) -> IssueTokenRequest {
    IssueTokenRequest {
        expiry: Some(expiry),
        ..issue_request("acme", "max", name, None)
    }
}

async fn a_token_lives_until_the_millisecond_before_its_expiry(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock().clone();
    let mut tokens = platform.tokens.clone();
    let start = clock.now();
    let end = start.plus(Duration::from_millis(1_234));
    // Finer than a millisecond is truncated, in an instant as in a span.
    let mut exact = instant(end);
    exact.nanos += 999_999;
    let span = prost_types::Duration {
        seconds: 1,
        nanos: 234_999_999,
    };
    let mut issued = Vec::new();
    for (name, expiry) in [
        ("instant", Expiry::ExpiresAt(exact)),
        ("span", Expiry::Ttl(span)),
    ] {
        let answer = tokens
            .issue_token(until(name, expiry))
            .await
            .expect("it is issued");
        let answer = answer.into_inner();
        assert_eq!(answer.warnings, []);
        let token = answer.token.expect("the answer carries it");
        assert_eq!(token.expires_at, Some(instant(end)));
        assert_eq!(token.created_at, Some(instant(start)));
        issued.push((name, answer.secret, token));
    }

    clock.set(Timestamp(end.0 - 1));
    for (name, secret, token) in &issued {
        let answer = ask_own(&platform, secret).await.expect("it is allowed");
        let principal = answer.principal.expect("an allow tells whose it is");
        assert_eq!(principal.expires_at, Some(instant(end)));
        assert_eq!(
            get(&platform, &token.token_id).await.state(),
            TokenState::Active
        );
        let again = tokens.issue_token(until(name, Expiry::Never(true))).await;
        let taken = again.expect_err("the name is taken");
        assert_status(&taken, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    }
    assert_eq!(
        list(&platform, "max", &[TokenState::Active], 0).await.len(),
        2
    );
    assert_eq!(list(&platform, "max", &[TokenState::Expired], 0).await, []);

    clock.set(end);
    assert_eq!(list(&platform, "max", &[TokenState::Active], 0).await, []);
    assert_eq!(
        list(&platform, "max", &[TokenState::Expired], 0)
            .await
            .len(),
        2
    );
    for (name, secret, token) in &issued {
        assert_eq!(
            ask_own(&platform, secret).await,
            Err(DenyReason::ExpiredToken)
        );
        assert_eq!(
            get(&platform, &token.token_id).await.state(),
            TokenState::Expired
        );
        let again = tokens.issue_token(until(name, Expiry::Never(true))).await;
        let again = again.expect("the name is free").into_inner();
        assert!(ask_own(&platform, &again.secret).await.is_ok());
        assert_eq!(
            ask_own(&platform, secret).await,
            Err(DenyReason::ExpiredToken)
        );
        assert_eq!(
            get(&platform, &token.token_id).await.state(),
            TokenState::Expired
        );
    }
}

async fn an_expiry_must_be_ahead_by_a_millisecond(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let mut tokens = platform.tokens.clone();
    let now = server.clock().now();
    let mut just_before_the_next = instant(now);
    just_before_the_next.nanos += 999_999;
    for at in [
        instant(Timestamp(now.0 - 1)),
        instant(now),
        just_before_the_next,
    ] {
        let refused = tokens
            .issue_token(until("late", Expiry::ExpiresAt(at)))
            .await;
        let refused = refused.expect_err("it is over");
        let (code, field) = (Code::InvalidArgument, Some("expires_at"));
        assert_status(&refused, code, "FIELD_OUT_OF_RANGE", field);
    }
    let next = instant(now.plus(MILLISECOND));
    let issued = tokens
        .issue_token(until("short", Expiry::ExpiresAt(next)))
        .await;
    let secret = issued.expect("it is issued").into_inner().secret;
    assert!(ask_own(&platform, &secret).await.is_ok());
    server.clock().advance(MILLISECOND);
    assert_eq!(
        ask_own(&platform, &secret).await,
        Err(DenyReason::ExpiredToken)
    );
}

async fn a_token_without_an_expiry_carries_a_warning_and_lives(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let mut tokens = platform.tokens.clone();
    for (name, expiry) in [("never", Some(Expiry::Never(true))), ("unset", None)] {
        let request = IssueTokenRequest {
            expiry,
            ..issue_request("acme", "max", name, None)
        };
        let issued = tokens
            .issue_token(request)
            .await
            .expect("it is issued")
            .into_inner();
        let kinds: Vec<WarningKind> = issued
            .warnings
            .iter()
            .map(|warning| warning.kind())
            .collect();
        assert_eq!(kinds, [WarningKind::NoExpiry]);
        assert!(!issued.warnings[0].message.is_empty());
        assert_eq!(
            issued.token.expect("the answer carries it").expires_at,
            None
        );
        server
            .clock()
            .advance(Duration::from_secs(400 * 24 * 60 * 60));
        assert!(ask_own(&platform, &issued.secret).await.is_ok());
    }
}

on_both![
    a_token_lives_until_the_millisecond_before_its_expiry,
    an_expiry_must_be_ahead_by_a_millisecond,
    a_token_without_an_expiry_carries_a_warning_and_lives,
];
