//! How a caller shows who it is: a service key in the metadata, once, and nothing else.

use std::{collections::BTreeSet, sync::Arc};

use countersign::{
    domain::caller::{ActsFor, Callers, Grant, KeyDigest},
    pb::{
        AuthorizeRequest, BatchAuthorizeRequest, CreateWorkspaceRequest, DeleteWorkspaceRequest,
        GetMemberRequest, GetTokenRequest, GetWorkspaceRequest, IssueTokenRequest,
        ListEventsRequest, ListMembersRequest, ListPermissionsRequest, ListTokensRequest,
        ListWorkspacesRequest, PutMemberRequest, RemoveMemberRequest, RevokeLeakedTokensRequest,
        RevokeTokenRequest, RevokeTokensRequest, RotateTokenRequest, SetMemberRoleRequest,
        SetMemberStateRequest, UpdateWorkspaceRequest,
    },
};
use tonic::{
    Code,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use super::world::{World, caller_name};
use crate::support::{
    call::{Call, credentials, rpcs},
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, caller, key_of},
    status::assert_status,
};

const KEY: &str = "x-countersign-key";
const AUTHORIZATION: &str = "authorization";

/// Every RPC. What is asked does not matter: nobody looks at it.
fn every_call() -> Vec<Call> {
    vec![
        AuthorizeRequest::default().into(),
        BatchAuthorizeRequest::default().into(),
        ListPermissionsRequest::default().into(),
        RevokeTokensRequest::default().into(),
        RotateTokenRequest::default().into(),
        RevokeLeakedTokensRequest::default().into(),
        IssueTokenRequest::default().into(),
        RevokeTokenRequest::default().into(),
        GetTokenRequest::default().into(),
        ListTokensRequest::default().into(),
        CreateWorkspaceRequest::default().into(),
        GetWorkspaceRequest::default().into(),
        UpdateWorkspaceRequest::default().into(),
        ListWorkspacesRequest::default().into(),
        DeleteWorkspaceRequest::default().into(),
        PutMemberRequest::default().into(),
        GetMemberRequest::default().into(),
        SetMemberRoleRequest::default().into(),
        SetMemberStateRequest::default().into(),
        RemoveMemberRequest::default().into(),
        ListMembersRequest::default().into(),
        ListEventsRequest::default().into(),
    ]
}

/// A name, what is shown, and the reason for which it is refused.
type BadCredential = (&'static str, MetadataMap, &'static str);

/// What does not authenticate a caller, and why not. `secret` is a live token's.
pub(super) fn bad_credentials(secret: &str) -> Vec<BadCredential> {
    let mut bad = invalid_credentials(secret);
    bad.extend(ambiguous_credentials(secret));
    bad
}

fn invalid_credentials(secret: &str) -> Vec<BadCredential> {
    let good = key_of(PLATFORM);
    let digest = KeyDigest::of(&good).to_string();
    let mut opaque = MetadataMap::new();
    let value = AsciiMetadataValue::try_from(&[0xff, 0xfe][..]).expect("a header value");
    opaque.insert(KEY, value);
    let bearer = format!("Bearer {secret}");
    let bearer_key = format!("Bearer {good}");
    let unprefixed = good.trim_start_matches("csn_key_").to_owned();
    let capital = good.to_uppercase();
    let huge = "k".repeat(8000);
    let missing = "CREDENTIAL_MISSING";
    let invalid = "CREDENTIAL_INVALID";
    vec![
        ("nothing", MetadataMap::new(), missing),
        (
            "the key elsewhere",
            credentials(&[("x-api-key", &good)]),
            missing,
        ),
        ("an empty key", credentials(&[(KEY, "")]), invalid),
        (
            "an unknown key",
            credentials(&[(KEY, &key_of("stranger"))]),
            invalid,
        ),
        (
            "the key cut short",
            credentials(&[(KEY, &good[..good.len() - 1])]),
            invalid,
        ),
        (
            "the key without its prefix",
            credentials(&[(KEY, &unprefixed)]),
            invalid,
        ),
        (
            "the key in capitals",
            credentials(&[(KEY, &capital)]),
            invalid,
        ),
        (
            "the key as a bearer",
            credentials(&[(KEY, &bearer_key)]),
            invalid,
        ),
        ("the key's digest", credentials(&[(KEY, &digest)]), invalid),
        ("a huge key", credentials(&[(KEY, &huge)]), invalid),
        ("a key that is no text", opaque, invalid),
        ("a token as the key", credentials(&[(KEY, secret)]), invalid),
        (
            "a bearer token as the key",
            credentials(&[(KEY, &bearer)]),
            invalid,
        ),
        ("a token", credentials(&[(AUTHORIZATION, &bearer)]), invalid),
        (
            "a bare token",
            credentials(&[(AUTHORIZATION, secret)]),
            invalid,
        ),
        (
            "the key in authorization",
            credentials(&[(AUTHORIZATION, &bearer_key)]),
            invalid,
        ),
        (
            "an empty authorization",
            credentials(&[(AUTHORIZATION, "")]),
            invalid,
        ),
    ]
}

fn ambiguous_credentials(secret: &str) -> Vec<BadCredential> {
    let good = key_of(PLATFORM);
    let other = key_of(&caller_name("all", "members"));
    let bearer = format!("Bearer {secret}");
    let ambiguous = "CREDENTIAL_AMBIGUOUS";
    vec![
        (
            "the key twice",
            credentials(&[(KEY, &good), (KEY, &good)]),
            ambiguous,
        ),
        (
            "two keys",
            credentials(&[(KEY, &good), (KEY, &other)]),
            ambiguous,
        ),
        (
            "a key and a bad one",
            credentials(&[(KEY, &good), (KEY, "x")]),
            ambiguous,
        ),
        (
            "a key and a token",
            credentials(&[(KEY, &good), (AUTHORIZATION, &bearer)]),
            ambiguous,
        ),
        (
            "a key and an empty authorization",
            credentials(&[(KEY, &good), (AUTHORIZATION, "")]),
            ambiguous,
        ),
        (
            "a bad key and a token",
            credentials(&[(KEY, "x"), (AUTHORIZATION, &bearer)]),
            ambiguous,
        ),
    ]
}

async fn no_rpc_is_answered_without_exactly_one_good_credential(database: TestDatabase) {
    let world = World::create(&database).await;
    let before = database.dump().await;
    let calls = every_call();
    let asked: BTreeSet<String> = calls.iter().map(|call| call.rpc().to_owned()).collect();
    assert_eq!(asked, rpcs());
    for (name, metadata, reason) in bad_credentials(&world.secret) {
        for call in &calls {
            let answer = call.send(&world.channel, &metadata).await;
            let Err(status) = answer else {
                panic!("{} with {name} passed", call.rpc());
            };
            let said = format!("{} with {name}", call.rpc());
            assert_eq!(status.code(), Code::Unauthenticated, "{said}: {status:?}");
            println!("{said}");
            assert_status(&status, Code::Unauthenticated, reason, None);
            // Failures are limited, which is another test's matter.
            world.wait();
        }
    }
    assert_eq!(database.dump().await, before);
}

async fn a_caller_may_have_several_keys_at_once(database: TestDatabase) {
    let (old, identity) = caller(PLATFORM, &Grant::ALL, ActsFor::Platform);
    let new = KeyDigest::of("csn_key_new");
    let setup = Setup {
        callers: Callers::keyed(vec![(old, Arc::clone(&identity)), (new, identity)]),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    for key in [&key_of(PLATFORM), "csn_key_new"] {
        let answer = Call::from(ListWorkspacesRequest::default())
            .send(&server.channel(), &credentials(&[(KEY, key)]))
            .await;
        assert!(answer.is_ok(), "{:?}", answer.err());
    }
}

on_both![
    no_rpc_is_answered_without_exactly_one_good_credential,
    a_caller_may_have_several_keys_at_once,
];
