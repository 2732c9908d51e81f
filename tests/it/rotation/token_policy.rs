//! What a workspace asks of its tokens it asks of successors too, and a token that it has ended is not rotated.

use std::time::Duration;

use countersign::pb::{DenyReason, RotateTokenRequest, TokenPolicy, rotate_token_request::Expiry};
use tonic::Code;

use super::{
    MILLISECOND, MINUTE, WEEK, acme, get, instant, issue, overlapping, refusal, rotate,
    rotate_request, rotated, set_policy, span,
};
use crate::support::{
    database::{TestDatabase, on_both},
    status::assert_status,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn a_successor_is_what_the_workspace_asks_for(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let (id, secret) = issue(&platform, "deploy", Some(WEEK)).await;
    let policy = TokenPolicy {
        require_expiry: true,
        max_lifetime: span(WEEK),
        ..Default::default()
    };
    set_policy(&platform, policy).await;
    let before = database.dump().await;
    let too_long = span(WEEK + MILLISECOND).expect("a span");
    for (expiry, reason) in [
        (None, "EXPIRY_REQUIRED"),
        (Some(Expiry::Never(true)), "EXPIRY_REQUIRED"),
        (Some(Expiry::Ttl(too_long)), "LIFETIME_TOO_LONG"),
    ] {
        let request = RotateTokenRequest {
            expiry,
            ..rotate_request(&id)
        };
        let refused = rotate(&platform, request).await;
        let refused = refused.expect_err("the workspace does not admit it");
        assert_status(&refused, Code::FailedPrecondition, reason, None);
    }
    assert_eq!(database.dump().await, before);
    assert_eq!(refusal(&platform, &secret).await, None);

    // Without an expiry it lives as long as the workspace says.
    let policy = TokenPolicy {
        default_lifetime: span(HOUR),
        ..policy
    };
    set_policy(&platform, policy).await;
    let answer = rotated(&platform, overlapping(&id, MINUTE)).await;
    let end = server.clock().now().plus(HOUR);
    let successor = answer.token.expect("a token");
    assert_eq!(successor.expires_at, instant(end));
    server.clock().advance(MINUTE);
    let expired = Some(DenyReason::ExpiredToken);
    assert_eq!(refusal(&platform, &secret).await, expired);
    server.clock().advance(HOUR - MINUTE - MILLISECOND);
    assert_eq!(refusal(&platform, &answer.secret).await, None);
    server.clock().advance(MILLISECOND);
    assert_eq!(refusal(&platform, &answer.secret).await, expired);
}

async fn a_token_that_the_workspace_has_ended_is_not_rotated(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let (id, secret) = issue(&platform, "deploy", None).await;
    let (overlapped, old_secret) = issue(&platform, "other", Some(WEEK)).await;
    rotated(&platform, overlapping(&overlapped, WEEK)).await;
    server.clock().advance(MINUTE);
    let policy = TokenPolicy {
        max_lifetime: span(MINUTE),
        ..Default::default()
    };
    set_policy(&platform, policy).await;
    let expired = Some(DenyReason::ExpiredToken);
    // One that overlaps is ended as well, though its overlap is not over.
    for secret in [&secret, &old_secret] {
        assert_eq!(refusal(&platform, secret).await, expired);
    }
    let refused = rotate(&platform, rotate_request(&id)).await;
    let refused = refused.expect_err("it has ended");
    assert_status(&refused, Code::FailedPrecondition, "TOKEN_EXPIRED", None);
    // Loosened, both are back, and the one can be rotated.
    set_policy(&platform, TokenPolicy::default()).await;
    for secret in [&secret, &old_secret] {
        assert_eq!(refusal(&platform, secret).await, None);
    }
    let answer = rotated(&platform, rotate_request(&id)).await;
    let successor_id = answer.token.expect("a token").token_id;
    assert_eq!(get(&platform, &successor_id).await.predecessor_id, id);
}

on_both![
    a_successor_is_what_the_workspace_asks_for,
    a_token_that_the_workspace_has_ended_is_not_rotated,
];
