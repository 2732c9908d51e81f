//! Counts are right after a session: calls by method and code, decisions, and of changes those only that were committed.

use std::{collections::BTreeMap, time::Duration};

use countersign::pb::{
    AuthorizeRequest, DenyReason, IssueTokenRequest, ListTokensRequest, resource::Owner,
};
use tonic::{Code, Request, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    client::{authorize_request, issue_request, revoke_request},
    database::{TestDatabase, hold_the_counter, on_both},
    http::{Scrape, scrape_until, wait_for_status},
    server::{BOOKINGS, PLATFORM, TestServer, key_of},
};

on_both![
    every_call_is_counted_once_and_as_what_it_was,
    a_change_is_counted_when_it_is_committed_and_only_then,
    a_call_that_its_client_abandons_is_counted_as_cancelled,
];

const AUTHORIZE: &str = "countersign.v1.AuthorizationService/Authorize";
const ISSUE: &str = "countersign.v1.TokenService/IssueToken";
const REVOKE: &str = "countersign.v1.TokenService/RevokeToken";
const LIST: &str = "countersign.v1.TokenService/ListTokens";
const WATCH: &str = "grpc.health.v1.Health/Watch";

fn call(method: &str, code: &str) -> String {
    format!("rpc_server_call_duration_seconds_count{{code=\"{code}\",rpc_method=\"{method}\"}}")
}

fn decision(outcome: &str, reason: &str) -> String {
    format!("countersign_authorize_decisions_total{{outcome=\"{outcome}\",reason=\"{reason}\"}}")
}

fn failure(reason: &str) -> String {
    format!("countersign_authentication_failures_total{{reason=\"{reason}\"}}")
}

#[track_caller]
fn assert_grew(after: &Scrape, before: &Scrape, expected: &[(String, f64)]) {
    let expected: BTreeMap<&str, f64> = expected
        .iter()
        .map(|(name, by)| (name.as_str(), *by))
        .collect();
    assert_eq!(after.growth(before), expected);
}

/// A workspace with a member, and what a scrape says then.
async fn prepared(database: &TestDatabase) -> (TestServer, Scrape) {
    let server = TestServer::start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    wait_for_status(server.metrics_address(), "/readyz", 200).await;
    let scrape = Scrape::of(server.metrics_address()).await;
    (server, scrape)
}

async fn every_call_is_counted_once_and_as_what_it_was(database: TestDatabase) {
    let (server, before) = prepared(&database).await;
    let platform = server.client(PLATFORM);
    let issued = platform.issue("acme", "max", "laptop", None).await;
    let bookings = server.client(BOOKINGS);
    let own = || Some(Owner::Bearer(true));
    let secret = issued.secret.as_str();
    for _ in 0..3 {
        bookings
            .authorize(secret, "bookings.read", "acme", own())
            .await;
    }
    let denied = bookings
        .authorize(secret, "users.list", "acme", Some(Owner::Collection(true)))
        .await;
    let reason = denied.decision.expect("a decision").reason();
    assert_eq!(reason, DenyReason::RoleNotPermitted);
    bookings
        .authorize("nonsense", "bookings.read", "acme", own())
        .await;

    let invalid = AuthorizeRequest::default();
    let refused = bookings.authorization.clone().authorize(invalid).await;
    assert_eq!(code(refused), Code::InvalidArgument);
    let mut tokens = bookings.tokens.clone();
    let listed = tokens.list_tokens(ListTokensRequest::default()).await;
    assert_eq!(code(listed), Code::PermissionDenied);
    for (key, times) in [(None, 2), (Some("csn_key_wrong"), 1)] {
        for _ in 0..times {
            let mut stranger = server.client_with_key(key).authorization;
            let asked =
                stranger.authorize(authorize_request(secret, "bookings.read", "acme", None));
            assert_eq!(code(asked.await), Code::Unauthenticated);
        }
    }
    let unknown = "/countersign.v1.TokenService/csn_pat_1x";
    assert_eq!(code(call_path(&server, unknown).await), Code::Unimplemented);

    let after = Scrape::of(server.metrics_address()).await;
    let expected = [
        (call(ISSUE, "OK"), 1.0),
        (call(AUTHORIZE, "OK"), 5.0),
        (call(AUTHORIZE, "INVALID_ARGUMENT"), 1.0),
        (call(AUTHORIZE, "UNAUTHENTICATED"), 3.0),
        (call(LIST, "PERMISSION_DENIED"), 1.0),
        (call("_OTHER", "UNIMPLEMENTED"), 1.0),
        (decision("ALLOW", "NONE"), 3.0),
        (decision("DENY", "ROLE_NOT_PERMITTED"), 1.0),
        (decision("DENY", "MALFORMED_TOKEN"), 1.0),
        (failure("CREDENTIAL_MISSING"), 2.0),
        (failure("CREDENTIAL_INVALID"), 1.0),
        ("countersign_tokens_issued_total".to_owned(), 1.0),
    ];
    assert_grew(&after, &before, &expected);
    assert_eq!(after.get("countersign_rpc_calls_in_flight"), Some(0.0));
    // What is unknown is not repeated, whoever may have put a secret there.
    assert!(!after.text.contains("csn_pat"), "{}", after.text);
}

async fn a_change_is_counted_when_it_is_committed_and_only_then(database: TestDatabase) {
    let (server, before) = prepared(&database).await;
    let platform = server.client(PLATFORM);
    let head = |scrape: &Scrape| scrape.get("countersign_feed_head_revision");
    // Event 0 is the migration's, and there is a workspace with a member.
    assert_eq!(head(&before), Some(2.0));
    let one = platform.issue("acme", "max", "one", None).await;
    platform.issue("acme", "max", "two", None).await;
    // Rolled back.
    let taken = issue_request("acme", "max", "one", None);
    let refused = platform.tokens.clone().issue_token(taken).await;
    assert_eq!(code(refused), Code::AlreadyExists);
    let id = one.token.expect("a token").token_id;
    platform.revoke(&id).await;
    // Changes nothing any more.
    platform.revoke(&id).await;
    let unknown = revoke_request("tok_0000000000000000000000");
    let nobody = code(platform.tokens.clone().revoke_token(unknown).await);
    assert_ne!(nobody, Code::Ok);
    let after = Scrape::of(server.metrics_address()).await;
    let nobody = match nobody {
        Code::NotFound => "NOT_FOUND",
        _ => "INVALID_ARGUMENT",
    };
    let expected = [
        (call(ISSUE, "OK"), 2.0),
        (call(ISSUE, "ALREADY_EXISTS"), 1.0),
        (call(REVOKE, "OK"), 2.0),
        (call(REVOKE, nobody), 1.0),
        ("countersign_tokens_issued_total".to_owned(), 2.0),
        ("countersign_tokens_revoked_total".to_owned(), 1.0),
    ];
    assert_grew(&after, &before, &expected);
    assert_eq!(head(&after), Some(5.0));
    assert_eq!(after.get("countersign_feed_oldest_revision"), Some(0.0));
}

async fn a_call_that_its_client_abandons_is_counted_as_cancelled(database: TestDatabase) {
    let (server, before) = prepared(&database).await;
    let address = server.metrics_address();
    let in_flight = |scrape: &Scrape| scrape.get("countersign_rpc_calls_in_flight");

    // A stream whose client is gone.
    let mut health = HealthClient::new(server.channel());
    let watch = health.watch(HealthCheckRequest::default()).await;
    let stream = watch.expect("a stream");
    scrape_until(address, |scrape| in_flight(scrape) == Some(1.0)).await;
    drop(stream);
    scrape_until(address, |scrape| {
        scrape.calls(WATCH, "CANCELLED") == Some(1.0)
    })
    .await;

    // A call that waits for a lock when its client gives up. The change is made all the same, and counted.
    let blocker = database.connect().await;
    let lock = hold_the_counter(&blocker).await;
    let mut tokens = server.client(PLATFORM).tokens;
    let request: IssueTokenRequest = issue_request("acme", "max", "laptop", None);
    let issuing = tokio::spawn(async move { tokens.issue_token(Request::new(request)).await });
    scrape_until(address, |scrape| in_flight(scrape) == Some(1.0)).await;
    issuing.abort();
    scrape_until(address, |scrape| {
        scrape.calls(ISSUE, "CANCELLED") == Some(1.0)
    })
    .await;
    lock.rollback().await.expect("the lock is released");
    let is_issued = |scrape: &Scrape| scrape.get("countersign_tokens_issued_total") == Some(1.0);
    let after = scrape_until(address, is_issued).await;
    blocker.close().await.expect("the connection closes");
    let expected = [
        (call(WATCH, "CANCELLED"), 1.0),
        (call(ISSUE, "CANCELLED"), 1.0),
        ("countersign_tokens_issued_total".to_owned(), 1.0),
    ];
    assert_grew(&after, &before, &expected);
    assert_eq!(in_flight(&after), Some(0.0));
    tokio::time::timeout(Duration::from_secs(30), server.stop())
        .await
        .expect("it ends")
        .expect("it ends without a fault");
}

/// Calls whatever this path is.
async fn call_path(
    server: &TestServer,
    path: &'static str,
) -> Result<tonic::Response<()>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.expect("a connection");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = PathAndQuery::from_static(path);
    let mut request = Request::new(());
    let key = key_of(PLATFORM).parse().expect("a header value");
    request.metadata_mut().insert("x-countersign-key", key);
    client.unary(request, path, codec).await
}

fn code<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}
