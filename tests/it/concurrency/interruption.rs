//! Clients that give up, and a transaction that is left standing with the feed's counter in its hand.

use std::time::{Duration, Instant};

use countersign::pb::{Outcome, TokenState, resource::Owner};
use sea_orm::ConnectionTrait;
use tokio::time::timeout;
use tonic::{Code, transport::Endpoint};

use super::{acme, at_once, tokens_in};
use crate::support::{
    client::{Client, issue_request},
    database::{Backend, TestDatabase, hold_the_counter, on_both},
    history::History,
    random::Random,
    server::{PLATFORM, TestServer, key_of},
    status::assert_status,
};

/// How many mutations of one caller run at once at most.
const MAX_TURNS: usize = 6;
/// How long a mutation waits for a lock on Postgres.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long any of its statements may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

async fn many_clients_that_give_up_split_nothing(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let mut random = Random::seeded();
    client.create_workspace("acme").await;
    for member in 0..5 {
        let member_id = format!("m{member}");
        client.put_member("acme", &member_id, "member").await;
    }
    // Connections of their own: HTTP/2 ends one on which too many calls are cancelled before they are taken.
    let clients: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    let calls: Vec<_> = (0..200)
        .zip(clients.iter().cycle())
        .map(|(number, client)| {
            let mut tokens = client.tokens.clone();
            let (member_id, name) = (format!("m{}", number % 5), format!("token {number}"));
            let patience = Duration::from_micros(random.below(400_000) as u64);
            async move {
                let request = issue_request("acme", &member_id, &name, None);
                // The time runs out in the queue, in the middle, or not at all. A call that is dropped is cancelled.
                timeout(patience, tokens.issue_token(request)).await
            }
        })
        .collect();
    let mut acknowledged = 0;
    let mut gave_up = 0;
    for answer in at_once(calls).await {
        match answer {
            Ok(answer) => {
                answer.expect("there is room for all");
                acknowledged += 1;
            }
            Err(_) => gave_up += 1,
        }
    }
    assert_ne!(gave_up, 0, "nobody gave up");
    server.stop().await.expect("it stops when all is done");
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    let issued = history.count("TOKEN_ISSUED");
    assert!(issued >= acknowledged, "{issued} of {acknowledged}");
}

async fn a_mutation_whose_client_gave_up_runs_to_its_end(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    acme(&client).await;
    let connection = database.connect().await;
    let held = hold_the_counter(&connection).await;
    let request = issue_request("acme", "max", "deploy", None);
    let mut tokens = client.tokens.clone();
    let call = timeout(Duration::from_millis(500), tokens.issue_token(request));
    assert!(
        call.await.is_err(),
        "it is held up until the client gives up"
    );
    held.rollback().await.expect("the counter is let go");
    connection.close().await.expect("the connection closes");
    let deadline = Instant::now() + PATIENCE;
    while tokens_in(&client, "acme", TokenState::Active)
        .await
        .is_empty()
    {
        assert!(Instant::now() < deadline, "the token never came to be");
    }
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_ISSUED"), 1);
}

/// On SQLite nobody else can hold it: there is one process.
#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_is_not_let_go_holds_up_mutations_for_seconds_and_no_decision() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    acme(&client).await;
    client.create_workspace("other").await;
    let secret = client.issue("acme", "max", "before", None).await.secret;
    let connection = database.connect().await;
    let held = hold_the_counter(&connection).await;
    let before = database.dump().await;
    // One alone waits for the lock timeout. Of several, one waits for the row and the others for their turn to wait for
    // the row, each time for so long: the statement timeout ends that.
    for (crowd, limit) in [(1, LOCK_TIMEOUT), (4, STATEMENT_TIMEOUT)] {
        let started = Instant::now();
        let calls: Vec<_> = (0..crowd).map(|_| create_member(&client)).collect();
        let calls = tokio::spawn(at_once(calls));
        while !calls.is_finished() {
            let owner = Some(Owner::Bearer(true));
            let answer = client.authorize(&secret, "bookings.read", "", owner).await;
            let decision = answer.decision.expect("a decision");
            assert_eq!(decision.outcome(), Outcome::Allow);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for answer in calls.await.expect("the calls do not panic") {
            let status = answer.expect_err("the counter is held");
            assert_status(&status, Code::Unavailable, "UNAVAILABLE", None);
        }
        let waited = started.elapsed();
        let bounds = LOCK_TIMEOUT..limit + Duration::from_millis(1500);
        assert!(bounds.contains(&waited), "{crowd} waited {waited:?}");
    }
    held.rollback().await.expect("the counter is let go");
    assert_eq!(database.dump().await, before, "they left nothing");
    for answer in at_once((0..5).map(|_| create_member(&client))).await {
        answer.expect("all works again");
    }
    History::read(&database).await.assert_sound(&[]);
}

/// Those leave their mutation behind whose turn it was. The others leave nothing.
async fn clients_that_give_up_leave_only_so_many_mutations_behind(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("other").await;
    let connection = database.connect().await;
    let held = hold_the_counter(&connection).await;
    let clients: Vec<_> = (0..16).map(|_| connect(&server)).collect();
    for _ in 0..3 {
        let calls = clients.iter().cycle().take(16 * 60).map(|client| {
            let call = create_member(client);
            async move { timeout(Duration::from_millis(400), call).await }
        });
        for answer in at_once(calls.collect::<Vec<_>>()).await {
            assert!(!matches!(answer, Ok(Ok(()))), "the counter is held");
        }
        // The server hears that they gave up.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    held.rollback().await.expect("the counter is let go");
    // It has its turn after all that were left behind.
    create_member(&client).await.expect("all works again");
    let request = countersign::pb::ListMembersRequest {
        workspace_id: "other".to_owned(),
        page_size: 500,
        ..Default::default()
    };
    let answer = client.directory.clone().list_members(request).await;
    let made = answer.expect("a list").into_inner().members.len();
    assert!(made <= 3 * MAX_TURNS + 1, "{made} were left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_decision_fails_for_connections_that_a_restart_ended() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    acme(&client).await;
    let secret = client.issue("acme", "max", "deploy", None).await.secret;
    let authorize = || {
        let (client, secret) = (client.clone(), secret.clone());
        let owner = Some(Owner::Bearer(true));
        async move { client.authorize(&secret, "bookings.read", "", owner).await }
    };
    at_once((0..50).map(|_| authorize())).await;
    let connection = database.connect().await;
    let ended = connection.execute_unprepared(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    ended.await.expect("all sessions end");
    for _ in 0..20 {
        let decision = authorize().await.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Allow);
    }
}

/// The platform, over a connection of its own.
fn connect(server: &TestServer) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address()));
    let channel = endpoint.expect("an address").connect_lazy();
    Client::new(&channel, Some(&key_of(PLATFORM)))
}

/// Puts a member of its own, in the workspace `other`.
fn create_member(
    client: &Client,
) -> impl Future<Output = Result<(), tonic::Status>> + Send + use<> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static MEMBERS: AtomicUsize = AtomicUsize::new(0);

    let mut directory = client.directory.clone();
    let member_id = format!("m{}", MEMBERS.fetch_add(1, Ordering::Relaxed));
    async move {
        let request = countersign::pb::PutMemberRequest {
            workspace_id: "other".to_owned(),
            member_id,
            role: "member".to_owned(),
            ..Default::default()
        };
        directory.put_member(request).await.map(|_| ())
    }
}

on_both![
    clients_that_give_up_leave_only_so_many_mutations_behind,
    many_clients_that_give_up_split_nothing,
    a_mutation_whose_client_gave_up_runs_to_its_end,
];
