//! A revocation that waits for the replicas: once it has returned, nobody allows the token any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::{
    domain::database_url::DatabaseUrl,
    pb::{RevokeTokenRequest, RevokeTokensRequest, revoke_token_request::Target},
    store,
};
use sea_orm::ConnectionTrait;
use tokio::task::JoinSet;

use super::{BOUND, WORKSPACE, another_connection, ask, issue, member, warm};
use crate::support::{
    client::{Client, revoke_request},
    database::{Backend, TestDatabase, on_both},
    process::countersign,
    server::{PLATFORM, TestServer},
};

const TOKENS: usize = 6;
const HAMMERS_PER_TOKEN: usize = 2;
/// How much longer than it must a wait may take on a busy machine.
const LEEWAY: Duration = Duration::from_secs(2);
/// For how many milliseconds a lowered bound may be unknown to somebody.
const SETTLED: i64 = 30_000;

fn by_id(token_id: &str) -> RevokeTokenRequest {
    RevokeTokenRequest {
        wait_for_replicas: true,
        ..revoke_request(token_id)
    }
}

fn by_secret(secret: &str) -> RevokeTokenRequest {
    RevokeTokenRequest {
        target: Some(Target::Secret(secret.to_owned())),
        wait_for_replicas: true,
        ..revoke_request("")
    }
}

fn all_of(member_id: &str) -> RevokeTokensRequest {
    RevokeTokensRequest {
        workspace_id: WORKSPACE.to_owned(),
        member_id: member_id.to_owned(),
        reason: "all of them".to_owned(),
        wait_for_replicas: true,
        ..Default::default()
    }
}

/// Makes a call that waits, and tells how long it took.
async fn timed<T, E: std::fmt::Debug>(call: impl Future<Output = Result<T, E>>) -> Duration {
    let sent = Instant::now();
    call.await.expect("it is revoked");
    sent.elapsed()
}

fn must_be_about(took: Duration, bound: Duration, what: &str) {
    assert!(took >= bound, "{what} took {took:?}, not {bound:?}");
    assert!(
        took <= bound + LEEWAY,
        "{what} took {took:?}, not {bound:?}"
    );
}

/// Asks for a token again and again at both replicas, and looks at each answer to what was sent after its revocation had
/// returned.
struct Hammers {
    has_returned: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    workers: JoinSet<[usize; 2]>,
}

impl Hammers {
    fn start(replicas: [&TestServer; 2], secret: &str) -> Self {
        let mut hammers = Self {
            has_returned: Arc::default(),
            is_over: Arc::default(),
            workers: JoinSet::new(),
        };
        for worker in 0..HAMMERS_PER_TOKEN {
            let client = another_connection(replicas[worker % 2], PLATFORM);
            let (has_returned, is_over) = (
                Arc::clone(&hammers.has_returned),
                Arc::clone(&hammers.is_over),
            );
            let secret = secret.to_owned();
            hammers.workers.spawn(async move {
                let mut counts = [0; 2];
                while !is_over.load(Ordering::SeqCst) {
                    let is_after = has_returned.load(Ordering::SeqCst);
                    let answer = ask(&client, &secret).await.expect("a decision");
                    assert!(!(is_after && super::allows(&answer)), "{answer:?}");
                    counts[usize::from(is_after)] += 1;
                }
                counts
            });
        }
        hammers
    }

    fn returned(&self) {
        self.has_returned.store(true, Ordering::SeqCst);
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        for [before, after] in self.workers.join_all().await {
            assert!(before > 0 && after > 0, "{before} before, {after} after");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_revocation_that_waits_has_returned_no_replica_allows() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let [first, second] = [
        TestServer::start(&database).await,
        TestServer::start(&database).await,
    ];
    let client = first.client(PLATFORM);
    // The last ones are of another member each.
    let secrets = issue(&client, 2).await;
    warm(&second.client(PLATFORM), &secrets).await;
    let mut more = Vec::new();
    for number in 2..TOKENS {
        let member = format!("other{number}");
        client.put_member(WORKSPACE, &member, "member").await;
        more.push(client.issue(WORKSPACE, &member, "one", None).await.secret);
    }
    warm(&second.client(PLATFORM), &more).await;

    let answer = ask(&client, &secrets[0]).await.expect("a decision");
    let token_id = answer.principal.expect("an allow tells whose").token_id;
    let mut revocations = JoinSet::new();
    let all = [secrets, more].concat();
    for (number, secret) in all.into_iter().enumerate() {
        let hammers = Hammers::start([&first, &second], &secret);
        let mut tokens = client.tokens.clone();
        let token_id = token_id.clone();
        revocations.spawn(async move {
            let took = match number {
                0 => timed(tokens.revoke_token(by_id(&token_id))).await,
                1 | 2 => timed(tokens.revoke_token(by_secret(&secret))).await,
                _ => timed(tokens.revoke_tokens(all_of(&format!("other{number}")))).await,
            };
            hammers.returned();
            must_be_about(took, BOUND, &format!("revocation {number}"));
            // Until each was asked for again.
            tokio::time::sleep(Duration::from_millis(500)).await;
            hammers.end().await;
        });
    }
    revocations.join_all().await;
}

async fn a_revocation_waits_for_a_token_that_is_dead_already_too(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, 2).await;
    let answer = ask(&client, &secrets[0]).await.expect("a decision");
    let token_id = answer.principal.expect("an allow tells whose").token_id;
    // Without waiting, which says nothing about other replicas yet.
    let sent = Instant::now();
    client.revoke(&token_id).await;
    assert!(sent.elapsed() < BOUND, "{:?}", sent.elapsed());
    let mut tokens = client.tokens.clone();
    let took = timed(tokens.revoke_token(by_id(&token_id))).await;
    must_be_about(took, BOUND, "by id");
    let took = timed(tokens.revoke_token(by_secret(&secrets[0]))).await;
    must_be_about(took, BOUND, "by secret");
    let took = timed(tokens.revoke_tokens(all_of(&member(0)))).await;
    must_be_about(took, BOUND, "all of a member's");
    let took = timed(tokens.revoke_tokens(all_of(&member(0)))).await;
    must_be_about(took, BOUND, "all of a member's, again");
    let took = timed(tokens.revoke_tokens(all_of(""))).await;
    must_be_about(took, BOUND, "all of the workspace's");
}

/// Runs `countersign migrate` with this bound.
async fn migrate(database: &TestDatabase, bound: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments = ["migrate", "--database-url", database.url()];
    let mut command = countersign(
        arguments.into_iter().chain(["--staleness-bound", bound]),
        &folder,
    );
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

async fn revoke_another(client: &Client, name: &str) -> Duration {
    let issued = client.issue(WORKSPACE, "m0", name, None).await;
    let token_id = issued.token.expect("the answer carries it").token_id;
    let mut tokens = client.tokens.clone();
    timed(tokens.revoke_token(by_id(&token_id))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_for_the_bound_in_the_database_and_for_one_that_was_lowered_lately() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url).await.expect("it is migrated");
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    issue(&client, 1).await;
    let millis = Duration::from_millis;
    // Whatever this server is configured with: others may have more.
    migrate(&database, "3s").await;
    must_be_about(
        revoke_another(&client, "raised").await,
        millis(3000),
        "raised",
    );
    migrate(&database, "2s").await;
    must_be_about(
        revoke_another(&client, "lowered").await,
        millis(3000),
        "lowered",
    );
    // The same again changes nothing.
    migrate(&database, "2s").await;
    must_be_about(
        revoke_another(&client, "the same").await,
        millis(3000),
        "the same",
    );
    migrate(&database, "2500ms").await;
    must_be_about(
        revoke_another(&client, "raised again").await,
        millis(2500),
        "raised again",
    );
    // Lowered, and that long enough ago for everybody to have heard of it.
    migrate(&database, "20s").await;
    migrate(&database, "1s").await;
    let connection = database.connect().await;
    let aged = format!("UPDATE staleness_bound SET changed_at = changed_at - {SETTLED}");
    let aged = connection.execute_unprepared(&aged).await;
    assert_eq!(aged.expect("the row is there").rows_affected(), 1);
    must_be_about(
        revoke_another(&client, "settled").await,
        millis(1000),
        "settled",
    );
}

on_both![a_revocation_waits_for_a_token_that_is_dead_already_too];
