//! Limits on trying: requests by secret, per caller, and failed authentications, per peer.

use std::time::Duration;

use countersign::pb::{
    GetTokenRequest, ListWorkspacesRequest, RevokeTokenRequest,
    get_token_request::Target as GetTarget, revoke_token_request::Target as RevokeTarget,
};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::StatusExt;

use super::world::{World, caller_name};
use crate::support::{
    call::{Call, as_caller, credentials, unknown_secret},
    database::{TestDatabase, on_both},
    server::PLATFORM,
    status::assert_status,
};

#[track_caller]
fn assert_limited(status: &Status, retry_after: Duration) {
    assert_status(status, Code::ResourceExhausted, "TOO_MANY_REQUESTS", None);
    let details = status.get_error_details();
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(retry, Some(retry_after));
}

async fn refused(world: &World, call: &Call, metadata: &MetadataMap) -> Option<Status> {
    call.send(&world.channel, metadata).await.err()
}

async fn a_caller_makes_twenty_requests_by_secret_in_a_second(database: TestDatabase) {
    let world = World::create(&database).await;
    let get = |secret: String| {
        Call::from(GetTokenRequest {
            target: Some(GetTarget::Secret(secret)),
            actor: None,
        })
    };
    let revoke = |secret: String| {
        Call::from(RevokeTokenRequest {
            target: Some(RevokeTarget::Secret(secret)),
            ..Default::default()
        })
    };
    let me = as_caller(&caller_name("all", "members"));
    let other = as_caller(&caller_name("all", "platform"));
    // Reading and revoking count alike, and so do known, unknown and malformed ones.
    let before = database.dump().await;
    for number in 0..20 {
        let call = match number % 4 {
            0 => get(world.secret.clone()),
            1 => get(unknown_secret()),
            2 => revoke(unknown_secret()),
            _ => revoke("nonsense".to_owned()),
        };
        let status = refused(&world, &call, &me).await;
        assert!(status.is_none(), "number {number}: {status:?}");
    }
    for call in [
        get(world.secret.clone()),
        revoke(world.secret.clone()),
        get(String::new()),
    ] {
        let status = refused(&world, &call, &me).await;
        let status = status.unwrap_or_else(|| panic!("{} is one too many", call.rpc()));
        assert_limited(&status, Duration::from_millis(50));
    }
    assert_eq!(
        database.dump().await,
        before,
        "nothing was revoked past the limit"
    );

    // By id there is no limit, and nobody else is affected.
    let by_id = GetTokenRequest {
        target: Some(GetTarget::TokenId(world.token_id.clone())),
        actor: super::world::actor("self"),
    };
    assert!(refused(&world, &by_id.into(), &me).await.is_none());
    let call = get(world.secret.clone());
    assert!(refused(&world, &call, &other).await.is_none());

    let clock = world.server.clock();
    clock.advance(Duration::from_millis(49));
    let status = refused(&world, &call, &me).await.expect("it is too early");
    assert_limited(&status, Duration::from_millis(1));
    clock.advance(Duration::from_millis(1));
    assert!(refused(&world, &call, &me).await.is_none());
    assert!(refused(&world, &call, &me).await.is_some(), "one only");
    clock.advance(Duration::from_secs(3600));
    for number in 0..20 {
        assert!(
            refused(&world, &call, &me).await.is_none(),
            "number {number}"
        );
    }
    assert!(
        refused(&world, &call, &me).await.is_some(),
        "an hour saves up no more"
    );
}

async fn a_peer_fails_to_authenticate_ten_times_in_a_second(database: TestDatabase) {
    let world = World::create(&database).await;
    let call = Call::from(ListWorkspacesRequest::default());
    // Every kind of failure counts.
    let failures = super::credentials::bad_credentials(&world.secret);
    let wrong = credentials(&[("x-countersign-key", "csn_key_wrong")]);
    for (name, metadata, reason) in failures.iter().rev().take(10) {
        let status = refused(&world, &call, metadata).await;
        let status = status.unwrap_or_else(|| panic!("{name} passed"));
        assert_status(&status, Code::Unauthenticated, reason, None);
    }
    for metadata in [&wrong, &MetadataMap::new()] {
        let status = refused(&world, &call, metadata)
            .await
            .expect("it is refused");
        assert_limited(&status, Duration::from_millis(100));
    }
    // Who has a good key is not shut out by a peer's failures.
    for _ in 0..20 {
        assert!(refused(&world, &call, &as_caller(PLATFORM)).await.is_none());
    }
    let clock = world.server.clock();
    clock.advance(Duration::from_millis(99));
    let status = refused(&world, &call, &wrong).await.expect("it is refused");
    assert_limited(&status, Duration::from_millis(1));
    clock.advance(Duration::from_millis(1));
    let status = refused(&world, &call, &wrong).await.expect("it is refused");
    assert_status(&status, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
    let status = refused(&world, &call, &wrong).await.expect("it is refused");
    assert_limited(&status, Duration::from_millis(100));
}

async fn a_missing_grant_is_no_failed_authentication(database: TestDatabase) {
    let world = World::create(&database).await;
    let call = Call::from(ListWorkspacesRequest::default());
    let nobody = as_caller(&caller_name("none", "members"));
    for _ in 0..15 {
        let status = refused(&world, &call, &nobody)
            .await
            .expect("it is refused");
        assert_status(&status, Code::PermissionDenied, "GRANT_MISSING", None);
    }
}

on_both![
    a_caller_makes_twenty_requests_by_secret_in_a_second,
    a_peer_fails_to_authenticate_ten_times_in_a_second,
    a_missing_grant_is_no_failed_authentication,
];
