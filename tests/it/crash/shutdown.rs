//! Signals, and the one process that an embedded database admits.

use std::time::{Duration, Instant};

use countersign::pb::{Outcome, resource::Owner};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::migrate;
use crate::support::{
    client::{Client, issue_request},
    database::{Backend, TestDatabase, hold_the_counter, on_both},
    history::History,
    process::Process,
    server::{PLATFORM, key_of},
    wire::{DATA, END_STREAM, GO_AWAY, Wire},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A new connection to it.
fn channel(process: &Process) -> Channel {
    Endpoint::from_shared(format!("http://{}", process.address()))
        .expect("an address")
        .connect_lazy()
}

async fn health(channel: &Channel) -> ServingStatus {
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.expect("health answers").into_inner().status()
}

/// Asks until the process says that it is not to be called any more.
async fn wait_until_not_serving(channel: &Channel) {
    let deadline = Instant::now() + PATIENCE;
    while health(channel).await != ServingStatus::NotServing {
        assert!(Instant::now() < deadline, "it still says that it serves");
    }
}

async fn a_signal_drains_the_server_which_ends_with_success(database: TestDatabase) {
    migrate(&database).await;
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let mut process = Process::serve(&database, "drain_delay = \"700ms\"");
        let channel = channel(&process);
        let client = Client::new(&channel, Some(&key_of(PLATFORM)));
        let workspace_id = format!("acme-{round}");
        client.create_workspace(&workspace_id).await;
        client.put_member(&workspace_id, "max", "member").await;
        let issued = client.issue(&workspace_id, "max", "deploy", None).await;
        assert_eq!(health(&channel).await, ServingStatus::Serving);
        let told = Instant::now();
        process.send(signal);
        wait_until_not_serving(&channel).await;
        // Load balancers have not noticed yet: over the old connection and a new one, all goes on.
        let late = process.client_with_key(Some(&key_of(PLATFORM)));
        let owner = Some(Owner::Bearer(true));
        let answer = late
            .authorize(&issued.secret, "bookings.read", "", owner)
            .await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Allow);
        client.issue(&workspace_id, "max", "late", None).await;
        let status = tokio::task::block_in_place(|| process.wait());
        assert_eq!(status.code(), Some(0), "{}", process.log());
        assert!(told.elapsed() >= Duration::from_millis(700), "it drained");
    }
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_ISSUED"), 4);
}

async fn a_call_in_flight_is_answered_after_the_listener_closed(database: TestDatabase) {
    migrate(&database).await;
    let mut process = Process::serve(&database, "drain_delay = \"200ms\"");
    let channel = channel(&process);
    let client = Client::new(&channel, Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let connection = database.connect().await;
    let held = hold_the_counter(&connection).await;
    let mut tokens = client.tokens.clone();
    let call = tokio::spawn(async move {
        let request = issue_request("acme", "max", "deploy", None);
        tokens.issue_token(request).await
    });
    // Health is asked over the same connection, behind the call.
    tokio::task::yield_now().await;
    assert_eq!(health(&channel).await, ServingStatus::Serving);
    process.send("TERM");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(process.address()).await.is_ok() {
        assert!(Instant::now() < deadline, "the listener is still open");
    }
    assert!(!call.is_finished(), "it is in flight");
    held.rollback().await.expect("the counter is let go");
    let answer = call.await.expect("the call does not panic");
    answer.expect("it is answered all the same");
    let status = tokio::task::block_in_place(|| process.wait());
    assert_eq!(status.code(), Some(0), "{}", process.log());
    connection.close().await.expect("the connection closes");
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_ISSUED"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_told_to_go_away_after_the_delay_and_cut_off_at_the_deadline() {
    let Some(database) = TestDatabase::create(Backend::Sqlite).await else {
        return;
    };
    let mut process = Process::serve(&database, "drain_delay = \"500ms\"");
    let mut idle = Wire::connect(process.address()).await;
    let mut watching = Wire::connect(process.address()).await;
    // A stream that nobody closes: the empty message asks for the health of all.
    watching.call(1, "/grpc.health.v1.Health/Watch", &[]).await;
    watching.send(DATA, END_STREAM, 1, &[0; 5]).await;
    watching.until(|frame| frame.kind == DATA).await;
    let told = Instant::now();
    process.send("TERM");
    // It says so at once, and goes on.
    watching.until(|frame| frame.kind == DATA).await;
    let frames = idle.until_the_end().await;
    let went = told.elapsed();
    assert!(
        frames.iter().any(|frame| frame.kind == GO_AWAY),
        "{frames:?}"
    );
    assert!(went >= Duration::from_millis(500), "{went:?}");
    assert!(went < Duration::from_secs(5), "{went:?}");
    let frames = watching.until_the_end().await;
    let went = told.elapsed();
    assert!(
        frames.iter().any(|frame| frame.kind == GO_AWAY),
        "{frames:?}"
    );
    assert!(went >= Duration::from_millis(10_500), "{went:?}");
    let status = tokio::task::block_in_place(|| process.wait());
    assert_eq!(status.code(), Some(0), "{}", process.log());
    let said = "calls still in flight were cut off";
    assert!(process.log().contains(said), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_database_admits_one_process_until_that_ends_however_it_does() {
    let Some(database) = TestDatabase::create(Backend::Sqlite).await else {
        return;
    };
    for end in ["TERM", "KILL"] {
        let mut process = Process::serve(&database, "");
        // It serves, so it has the database.
        let client = process.client_with_key(Some(&key_of(PLATFORM)));
        client.create_workspace(&format!("acme-{end}")).await;
        let (code, said) = Process::refused(&database);
        assert_eq!(code, Some(1), "{said}");
        let sentence = format!(
            "the database `{}` is in use by another process",
            database.url()
        );
        assert!(said.contains(&sentence), "{said}");
        // The first one does not mind.
        client.create_workspace(&format!("ajax-{end}")).await;
        process.signal(end);
    }
    drop(Process::serve(&database, ""));
}

on_both![
    a_signal_drains_the_server_which_ends_with_success,
    a_call_in_flight_is_answered_after_the_listener_closed,
];
