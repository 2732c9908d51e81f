//! How long a call may take, whatever holds it up and whatever its caller would wait for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use countersign::{
    grpc::CallLimits,
    pb::{Outcome, resource::Owner},
    server::Limits,
};
use prost::Message;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{AUTHORIZE, HEALTH, ISSUE, ended, serve, wait_until_ended};
use crate::support::{
    client::{authorize_request, issue_request},
    database::{Backend, TestDatabase},
    server::{PLATFORM, Setup, TestServer},
    status::assert_status,
    wire::{DATA, END_STREAM, Wire},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_is_the_callers_where_that_is_shorter_and_ours_where_it_is_not() {
    let (server, _database) = serve(Default::default()).await;
    // Each sends headers and never a message: the call, the deadline of its caller, and when it must end.
    let cases: [(&str, Option<&str>, u64); 13] = [
        (AUTHORIZE, None, 250),
        (AUTHORIZE, Some("100m"), 100),
        (AUTHORIZE, Some("20S"), 250),
        (AUTHORIZE, Some("99999999H"), 250),
        (ISSUE, None, 10_000),
        (ISSUE, Some("1S"), 1000),
        (ISSUE, Some("300000u"), 300),
        (ISSUE, Some("20S"), 10_000),
        (ISSUE, Some("0n"), 0),
        (HEALTH, None, 10_000),
        (HEALTH, Some("200m"), 200),
        // Ill-formed ones count as none.
        (AUTHORIZE, Some("soon"), 250),
        (AUTHORIZE, Some("999999999m"), 250),
    ];
    let mut wire = Wire::connect(server.address()).await;
    let began = Instant::now();
    let mut open = BTreeMap::new();
    for (stream, (path, timeout, ends)) in (1..).step_by(2).zip(cases) {
        let header = timeout.map(|timeout| ("grpc-timeout", timeout));
        wire.call(stream, path, header.as_slice()).await;
        open.insert(stream, (path, timeout, Duration::from_millis(ends)));
    }
    while !open.is_empty() {
        let frame = wire.frame().await.expect("the connection goes on");
        let Some((path, timeout, ends)) = open.get(&frame.stream).copied() else {
            continue;
        };
        if frame.ends(frame.stream) {
            open.remove(&frame.stream);
            let took = began.elapsed();
            let told = format!("{path} {timeout:?} took {took:?}");
            assert!(
                took >= ends.saturating_sub(Duration::from_millis(5)),
                "{told}"
            );
            assert!(took < ends + Duration::from_millis(1500), "{told}");
        }
    }
    let metrics = server.metrics_address();
    wait_until_ended(metrics, AUTHORIZE, "DEADLINE_EXCEEDED", 6).await;
    wait_until_ended(metrics, ISSUE, "DEADLINE_EXCEEDED", 5).await;
    wait_until_ended(metrics, HEALTH, "DEADLINE_EXCEEDED", 2).await;
}

/// Its message may take its time, or the server to read it: then less is left to wait for the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_told_why_in_time_however_late_its_message_comes() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let deadline = Duration::from_secs(2);
    let calls = CallLimits {
        decision_deadline: deadline,
        ..CallLimits::default()
    };
    let (server, secret, held) = with_locked_tokens(&database, calls).await;

    let mut wire = Wire::connect(server.address()).await;
    wire.call(1, AUTHORIZE, &[]).await;
    tokio::time::sleep(deadline / 2).await;
    let request = authorize_request(&secret, "bookings.read", "", Some(Owner::Bearer(true)));
    let mut message = vec![0];
    let length = u32::try_from(request.encoded_len()).expect("it is short");
    message.extend(length.to_be_bytes());
    request.encode(&mut message).expect("a vector grows");
    wire.send(DATA, END_STREAM, 1, &message).await;
    wire.until(|frame| frame.ends(1)).await;
    let metrics = server.metrics_address();
    wait_until_ended(metrics, AUTHORIZE, "UNAVAILABLE", 1).await;
    held.rollback().await.expect("the table is free");
}

/// A server with a token that was never presented, while somebody else holds the table of tokens until the transaction ends.
async fn with_locked_tokens(
    database: &TestDatabase,
    calls: CallLimits,
) -> (TestServer, String, DatabaseTransaction) {
    let setup = Setup {
        limits: Limits {
            calls,
            ..Limits::default()
        },
        ..Setup::default()
    };
    let server = setup.start(database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let secret = client.issue("acme", "max", "deploy", None).await.secret;
    let connection = database.connect().await;
    let held = connection.begin().await.expect("a transaction");
    let lock = "LOCK TABLE token IN ACCESS EXCLUSIVE MODE";
    let locked = held.execute_unprepared(lock).await;
    locked.expect("the table is locked");
    (server, secret, held)
}

fn must_be_late(status: &Status, deadline: &str) {
    assert_status(status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None);
    let details = status.get_error_details();
    let info = details.error_info().expect("details");
    assert_eq!(info.metadata["deadline"], deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_ends_calls_in_time_and_is_forgotten_when_it_goes_on() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let calls = CallLimits {
        other_deadline: Duration::from_millis(700),
        ..CallLimits::default()
    };
    let (server, secret, held) = with_locked_tokens(&database, calls).await;
    let client = server.client(PLATFORM);
    for _ in 0..3 {
        let began = Instant::now();
        let request = authorize_request(&secret, "bookings.read", "", Some(Owner::Bearer(true)));
        let answer = client.authorization.clone().authorize(request).await;
        let took = began.elapsed();
        // Before its deadline, so that the caller learns why: nothing that waits for the database is decided.
        let status = answer.expect_err("it cannot be decided");
        assert_status(&status, Code::Unavailable, "UNAVAILABLE", None);
        assert!(took >= Duration::from_millis(200), "{took:?}");
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
    let began = Instant::now();
    let request = issue_request("acme", "max", "laptop", None);
    let answer = client.tokens.clone().issue_token(request).await;
    must_be_late(&answer.expect_err("it cannot be issued"), "700ms");
    assert!(began.elapsed() < Duration::from_secs(3));
    let metrics = server.metrics_address();
    assert_eq!(ended(metrics, AUTHORIZE, "UNAVAILABLE").await, 3);
    assert_eq!(ended(metrics, ISSUE, "DEADLINE_EXCEEDED").await, 1);
    // What does not need the table goes on.
    let mut directory = client.directory.clone();
    let request = countersign::pb::GetWorkspaceRequest {
        workspace_id: "acme".to_owned(),
    };
    directory
        .get_workspace(request)
        .await
        .expect("others are answered");

    held.rollback().await.expect("the table is free");
    let deadline = Instant::now() + super::PATIENCE;
    loop {
        let request = authorize_request(&secret, "bookings.read", "", Some(Owner::Bearer(true)));
        match client.authorization.clone().authorize(request).await {
            Ok(answer) => {
                let decision = answer.into_inner().decision.expect("a decision");
                assert_eq!(decision.outcome(), Outcome::Allow);
                break;
            }
            Err(status) => assert!(Instant::now() < deadline, "{status:?}"),
        }
    }
    client.issue("acme", "max", "phone", None).await;
}

/// Lookups of one token share what is read. Who comes when that has hardly any time left is not failed with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_lookup_late_has_its_own_time() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let deadline = Duration::from_secs(5);
    let calls = CallLimits {
        decision_deadline: deadline,
        ..CallLimits::default()
    };
    let (server, secret, held) = with_locked_tokens(&database, calls).await;
    let client = server.client(PLATFORM);
    let ask = || {
        let request = authorize_request(&secret, "bookings.read", "", Some(Owner::Bearer(true)));
        let mut authorization = client.authorization.clone();
        tokio::spawn(async move { authorization.authorize(request).await })
    };
    let first = ask();
    // The first waits for four fifths of its deadline.
    tokio::time::sleep(deadline * 3 / 5).await;
    let second = ask();
    let status = first.await.expect("no panic");
    let status = status.expect_err("it cannot be decided");
    assert_status(&status, Code::Unavailable, "UNAVAILABLE", None);
    assert!(!second.is_finished(), "it ended with the first");
    held.rollback().await.expect("the table is free");
    let answer = second.await.expect("no panic").expect("it is decided");
    let decision = answer.into_inner().decision.expect("a decision");
    assert_eq!(decision.outcome(), Outcome::Allow);
}
