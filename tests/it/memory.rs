//! What a replica's memory promises: decisions without the database while it is fresh, none when it is not, and nobody kept
//! waiting by what somebody else lacks.

mod abandoned;
mod eras;
mod outage;
mod overload;
mod plans;
mod pooler;
mod revisions;
mod silent;
mod starving;
mod waiting;
mod warm;

use std::time::{Duration, Instant};

use countersign::{
    grpc::CallLimits,
    pb::{AuthorizeRequest, AuthorizeResponse, Outcome, resource::Owner},
    server::Limits,
};
use tokio::time::sleep;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use tonic_types::StatusExt;

use crate::support::{
    client::{Client, authorize_request},
    database::{Backend, TestDatabase},
    proxy::{Mode, Proxy},
    server::{Setup, TestServer, key_of},
    statements::Statements,
    status::assert_status,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How old a view may be, unless a test says otherwise.
const BOUND: Duration = Duration::from_secs(1);
const WORKSPACE: &str = "acme";
/// Fewer than a member may have.
const TOKENS_PER_MEMBER: usize = 40;
/// How a decision is refused that takes the database: it takes too long, or there are too many before it.
const FOR_NOW: [(Code, &str); 2] = [
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::ResourceExhausted, "OVERLOADED"),
];

/// The member whose token this is, of [`issue`].
fn member(token: usize) -> String {
    format!("m{}", token / TOKENS_PER_MEMBER)
}

/// A workspace with as many live tokens, none of which was ever presented.
async fn issue(client: &Client, count: usize) -> Vec<String> {
    client.create_workspace(WORKSPACE).await;
    let mut secrets = Vec::new();
    for token in 0..count {
        let member = member(token);
        if token % TOKENS_PER_MEMBER == 0 {
            client.put_member(WORKSPACE, &member, "member").await;
        }
        let name = format!("t{token}");
        let issued = client.issue(WORKSPACE, &member, &name, None).await;
        secrets.push(issued.secret);
    }
    secrets
}

/// May the bearer read a booking of its own? Anybody with a good token may.
fn question(secret: &str) -> AuthorizeRequest {
    authorize_request(secret, "bookings.read", "", Some(Owner::Bearer(true)))
}

async fn ask(client: &Client, secret: &str) -> Result<AuthorizeResponse, Status> {
    let mut authorization = client.authorization.clone();
    let answer = authorization.authorize(question(secret)).await;
    answer.map(tonic::Response::into_inner)
}

/// Whether it is allowed, where there must be a decision.
async fn is_allowed(client: &Client, secret: &str) -> bool {
    let answer = ask(client, secret).await.expect("there is a decision");
    allows(&answer)
}

fn allows(answer: &AuthorizeResponse) -> bool {
    let decision = answer.decision.as_ref().expect("a decision");
    decision.outcome() == Outcome::Allow
}

/// Has each of them allowed, so that the view knows them.
async fn warm(client: &Client, secrets: &[String]) {
    for secret in secrets {
        assert!(is_allowed(client, secret).await, "a good token is allowed");
    }
}

/// How many of these statements read what a decision is made from.
fn fills(statements: &Statements) -> usize {
    statements.take().len()
}

/// A caller over a connection of its own: one connection has only so many calls open.
fn another_connection(server: &TestServer, caller: &str) -> Client {
    let channel = connect(server);
    Client::new(&channel, Some(&key_of(caller)))
}

fn connect(server: &TestServer) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address()));
    endpoint.expect("an address").connect_lazy()
}

/// Decisions that may wait for longer, so that a busy machine does not end them.
fn decisions_within(decision_deadline: Duration) -> Limits {
    Limits {
        calls: CallLimits {
            decision_deadline,
            ..CallLimits::default()
        },
        ..Limits::default()
    }
}

/// Only that it is not now, and when to try again.
fn must_be_for_now(status: &Status, codes: &[(Code, &str)]) {
    let found = codes.iter().find(|(code, _)| *code == status.code());
    let (code, reason) = found.unwrap_or_else(|| panic!("{status:?}"));
    assert_status(status, *code, reason, None);
    let details = status.get_error_details();
    let retry = details.retry_info().expect("it tells when to try again");
    assert!(retry.retry_delay > Some(Duration::ZERO));
}

/// A server that reaches its database through the proxy, but for the feed, and decides within so long.
fn behind(proxy: &Proxy, database: &TestDatabase, deadline: Duration) -> Setup {
    Setup {
        database_url: Some(database.through(proxy.address()).url().to_owned()),
        database_direct_url: Some(database.url().to_owned()),
        limits: decisions_within(deadline),
        ..Setup::default()
    }
}

/// A server whose way to its database, on Postgres, is through the proxy. None where there is no Postgres.
async fn start_behind_proxy(deadline: Duration) -> Option<(TestDatabase, Proxy, TestServer)> {
    let database = TestDatabase::create(Backend::Postgres).await?;
    let proxy = Proxy::start(database.address(), Mode::Pass).await;
    let server = behind(&proxy, &database, deadline).start(&database).await;
    Some((database, proxy, server))
}

/// Asks again and again until it is so.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it is never so that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
