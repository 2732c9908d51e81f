//! Rotation: a token hands its name and its place to a successor, and lives on for as long as was asked, to the
//! millisecond.

mod crowd;
mod family;
mod limits;
mod reuse;
mod token_policy;

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{
        DenyReason, MemberState, RotateTokenRequest, RotateTokenResponse, TokenPolicy, TokenState,
        WarningKind, WorkspaceState, event::Details, rotate_token_request::Expiry,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    client::{Client, events, get, issue_request, policy_request, refusal, rotate_request},
    clock::{self, TestClock},
    database::{Backend, TestDatabase, on_both},
    history::History,
    server::{PLATFORM, Setup, TestServer},
    status::assert_status,
};

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

async fn acme(database: &TestDatabase) -> (TestServer, Client) {
    let server = TestServer::start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    (server, platform)
}

/// A token of `max`, its id and its secret.
async fn issue(client: &Client, name: &str, ttl: Option<Duration>) -> (String, String) {
    let issued = client.issue("acme", "max", name, ttl).await;
    (issued.token.expect("a token").token_id, issued.secret)
}

async fn set_policy(client: &Client, policy: TokenPolicy) {
    let request = policy_request("acme", policy, &["token_policy"]);
    let answer = client.directory.clone().update_workspace(request).await;
    let told = answer.expect("it is changed").into_inner().workspace;
    assert_eq!(told.and_then(|told| told.token_policy), Some(policy));
}

fn span(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration::try_from(duration).expect("in range"))
}

fn overlapping(token_id: &str, overlap: Duration) -> RotateTokenRequest {
    RotateTokenRequest {
        overlap: span(overlap),
        ..rotate_request(token_id)
    }
}

async fn rotate(
    client: &Client,
    request: RotateTokenRequest,
) -> Result<RotateTokenResponse, Status> {
    let answer = client.tokens.clone().rotate_token(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn rotated(client: &Client, request: RotateTokenRequest) -> RotateTokenResponse {
    rotate(client, request).await.expect("it is rotated")
}

fn instant(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(clock::instant(at))
}

async fn a_successor_takes_name_and_place_and_has_a_secret_of_its_own(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let (old_id, old_secret) = issue(&platform, "Deploy", None).await;
    server.clock().advance(MINUTE);
    let now = server.clock().now();
    let request = RotateTokenRequest {
        expiry: Some(Expiry::Ttl(span(WEEK).expect("a span"))),
        ..overlapping(&old_id, MINUTE)
    };
    let answer = rotated(&platform, request).await;
    assert!(!answer.replayed);
    assert_eq!(answer.warnings, []);
    let successor = answer.token.expect("the successor");
    assert_eq!(successor.name, "Deploy");
    assert_eq!(successor.member_id, "max");
    assert_eq!(successor.predecessor_id, old_id);
    assert_eq!(successor.created_at, instant(now));
    assert_eq!(successor.expires_at, instant(now.plus(WEEK)));
    assert!(answer.secret.ends_with(&successor.hint));
    assert_ne!(answer.secret, old_secret);
    let predecessor = answer.predecessor.expect("the predecessor");
    assert_eq!(predecessor.token_id, old_id);
    assert_eq!(predecessor.state(), TokenState::Active);
    assert_eq!(predecessor.expires_at, instant(now.plus(MINUTE)));
    assert_eq!(get(&platform, &old_id).await, predecessor);
    assert_eq!(get(&platform, &successor.token_id).await, successor);
    for secret in [&old_secret, &answer.secret] {
        assert_eq!(refusal(&platform, secret).await, None);
    }
    // The name is the successor's at once.
    let taken = issue_request("acme", "max", "deploy", None);
    let taken = platform.tokens.clone().issue_token(taken).await;
    let taken = taken.expect_err("the name is taken");
    assert_status(&taken, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    platform.revoke(&successor.token_id).await;
    issue(&platform, "deploy", None).await;
    assert_eq!(refusal(&platform, &old_secret).await, None, "it overlaps");

    // Both are told: the successor as any token that came to be, then what became of the other.
    let events = events(&platform).await;
    let told = events
        .iter()
        .position(|event| event.revision == answer.revision);
    let [of_old, of_new] = &events[told.expect("the answer's revision")..][..2] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (&of_old.token_id, &of_new.token_id),
        (&old_id, &successor.token_id)
    );
    match (&of_new.details, &of_old.details) {
        (Some(Details::TokenIssued(issued)), Some(Details::TokenRotated(rotated))) => {
            assert_eq!(issued.predecessor_id, old_id);
            assert_eq!(issued.expires_at, successor.expires_at);
            assert_eq!(rotated.successor_id, successor.token_id);
            assert_eq!(rotated.expires_at, predecessor.expires_at);
        }
        other => panic!("{other:?}"),
    }
    History::read(&database).await.assert_sound(&[]);
}

async fn a_predecessor_lives_to_the_millisecond_before_its_overlap_ends(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock().clone();
    // (its own lifetime, the overlap, how long it lives after the rotation)
    let cases = [
        (None, Duration::ZERO, Duration::ZERO),
        (None, MILLISECOND, MILLISECOND),
        (None, WEEK, WEEK),
        (Some(2 * MINUTE), MINUTE, MINUTE),
        (Some(MINUTE), MINUTE, MINUTE),
        (Some(MINUTE), MINUTE + MILLISECOND, MINUTE),
    ];
    for (number, (ttl, overlap, expected)) in cases.into_iter().enumerate() {
        let (old_id, old_secret) = issue(&platform, &format!("{number}"), ttl).await;
        assert_eq!(refusal(&platform, &old_secret).await, None);
        let mut request = overlapping(&old_id, overlap);
        // Finer than a millisecond is cut off.
        let finer = request.overlap.as_mut().expect("an overlap");
        finer.nanos += if overlap == WEEK { 0 } else { 999_999 };
        let start = clock.now();
        let answer = rotated(&platform, request).await;
        let end = start.plus(expected);
        let told = answer.predecessor.expect("the predecessor").expires_at;
        assert_eq!(told, instant(end), "{number}");
        if expected > Duration::ZERO {
            clock.set(Timestamp(end.0 - 1));
            assert_eq!(refusal(&platform, &old_secret).await, None, "{number}");
            let state = get(&platform, &old_id).await.state();
            assert_eq!(state, TokenState::Active, "{number}");
        }
        clock.set(end);
        let reason = refusal(&platform, &old_secret).await;
        assert_eq!(reason, Some(DenyReason::ExpiredToken), "{number}");
        let state = get(&platform, &old_id).await.state();
        assert_eq!(state, TokenState::Expired, "{number}");
        assert_eq!(refusal(&platform, &answer.secret).await, None, "{number}");
    }
}

async fn a_successors_expiry_is_exact_and_none_is_warned_of(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock().clone();
    let end = clock.now().plus(MINUTE);
    let mut last = issue(&platform, "deploy", None).await.0;
    let at = instant(end).expect("an instant");
    let ttl = span(MINUTE).expect("a span");
    for expiry in [Expiry::ExpiresAt(at), Expiry::Ttl(ttl)] {
        let request = RotateTokenRequest {
            expiry: Some(expiry),
            ..rotate_request(&last)
        };
        let answer = rotated(&platform, request).await;
        last = answer.token.expect("a token").token_id;
        assert_eq!(get(&platform, &last).await.expires_at, instant(end));
        assert_eq!(answer.warnings, []);
    }
    for expiry in [None, Some(Expiry::Never(true))] {
        let request = RotateTokenRequest {
            expiry,
            ..rotate_request(&last)
        };
        let answer = rotated(&platform, request).await;
        last = answer.token.expect("a token").token_id;
        assert_eq!(get(&platform, &last).await.expires_at, None);
        let kinds: Vec<_> = answer
            .warnings
            .iter()
            .map(|warning| warning.kind())
            .collect();
        assert_eq!(kinds, [WarningKind::NoExpiry]);
    }
    let request = RotateTokenRequest {
        expiry: Some(Expiry::Ttl(ttl)),
        ..rotate_request(&last)
    };
    let secret = rotated(&platform, request).await.secret;
    clock.set(Timestamp(end.0 - 1));
    assert_eq!(refusal(&platform, &secret).await, None);
    clock.set(end);
    let expired = Some(DenyReason::ExpiredToken);
    assert_eq!(refusal(&platform, &secret).await, expired);
}

async fn only_a_live_token_is_rotated_and_once(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let refused = async |token_id: &str, code, reason| {
        let before = database.dump().await;
        let status = rotate(&platform, rotate_request(token_id)).await;
        let status = status.expect_err("it is refused");
        assert_status(&status, code, reason, None);
        assert_eq!(database.dump().await, before, "{reason}");
        let details = status.get_error_details();
        details.error_info().expect("it has one").metadata.clone()
    };
    let failed = Code::FailedPrecondition;
    refused("tok_none", Code::NotFound, "TOKEN_NOT_FOUND").await;
    let (revoked, _) = issue(&platform, "revoked", None).await;
    platform.revoke(&revoked).await;
    let metadata = refused(&revoked, failed, "TOKEN_REVOKED").await;
    assert_eq!(metadata["token_id"], revoked);
    let (expired, _) = issue(&platform, "expired", Some(MINUTE)).await;
    server.clock().advance(MINUTE);
    refused(&expired, failed, "TOKEN_EXPIRED").await;

    // Rotated, while it overlaps, after that, and once it is revoked: the first successor is told, and stays.
    let (old, _) = issue(&platform, "deploy", None).await;
    let first = rotated(&platform, overlapping(&old, MINUTE)).await;
    let successor_id = first.token.expect("a token").token_id;
    let metadata = refused(&old, failed, "TOKEN_ROTATED").await;
    assert_eq!(metadata["successor_id"], successor_id);
    server.clock().advance(MINUTE);
    refused(&old, failed, "TOKEN_ROTATED").await;
    platform.revoke(&old).await;
    refused(&old, failed, "TOKEN_ROTATED").await;
    assert_eq!(refusal(&platform, &first.secret).await, None);
    // The successor itself can be.
    rotated(&platform, rotate_request(&successor_id)).await;

    let (held, _) = issue(&platform, "held", None).await;
    for state in [MemberState::Suspended, MemberState::Active] {
        platform.set_member_state("acme", "max", state).await;
        if state == MemberState::Suspended {
            refused(&held, failed, "MEMBER_SUSPENDED").await;
        }
    }
    for state in [WorkspaceState::Suspended, WorkspaceState::Active] {
        platform.set_workspace_state("acme", state).await;
        if state == WorkspaceState::Suspended {
            refused(&held, failed, "WORKSPACE_SUSPENDED").await;
        }
    }
    platform.remove_member("acme", "max").await;
    refused(&held, failed, "TOKEN_REVOKED").await;
    platform.delete_workspace("acme").await;
    refused(&held, failed, "TOKEN_REVOKED").await;
    History::read(&database).await.assert_sound(&[]);
}

async fn a_rotation_takes_no_place_of_the_fifty(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(issue(&platform, &format!("{number}"), None).await.0);
    }
    for id in &ids[..3] {
        rotated(&platform, overlapping(id, WEEK)).await;
    }
    let refused = platform.tokens.clone();
    let refused = async |name: &str| {
        let request = issue_request("acme", "max", name, None);
        refused.clone().issue_token(request).await.err()
    };
    let full = refused("one more").await.expect("all places are taken");
    assert_status(&full, Code::FailedPrecondition, "TOKEN_LIMIT_REACHED", None);
    // One that overlaps has no place to give.
    platform.revoke(&ids[0]).await;
    assert!(refused("one more").await.is_some());
    platform.revoke(&ids[3]).await;
    assert!(refused("one more").await.is_none());
    assert!(refused("and another").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_every_server_sees_the_shortened_expiry() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let clock = TestClock::default();
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..2 {
        let clock = clock.clone();
        let server = Setup {
            clock,
            ..Setup::default()
        };
        let server = server.start(&database).await;
        clients.push(server.client(PLATFORM));
        servers.push(server);
    }
    clients[0].create_workspace("acme").await;
    clients[0].put_member("acme", "max", "member").await;
    for number in 0..20 {
        let (id, secret) = issue(&clients[0], &format!("{number}"), None).await;
        for client in &clients {
            assert_eq!(refusal(client, &secret).await, None);
        }
        let since = std::time::Instant::now();
        rotated(&clients[0], rotate_request(&id)).await;
        let expired = Some(DenyReason::ExpiredToken);
        assert_eq!(refusal(&clients[0], &secret).await, expired);
        let bound = Duration::from_secs(1);
        loop {
            let asked = since.elapsed();
            match refusal(&clients[1], &secret).await {
                None => assert!(asked <= bound, "allowed after {asked:?}"),
                reason => break assert_eq!(reason, expired),
            }
        }
    }
}

on_both![
    a_successor_takes_name_and_place_and_has_a_secret_of_its_own,
    a_predecessor_lives_to_the_millisecond_before_its_overlap_ends,
    a_successors_expiry_is_exact_and_none_is_warned_of,
    only_a_live_token_is_rotated_and_once,
    a_rotation_takes_no_place_of_the_fifty,
];
