//! How many connections there may be, how long each lives, and what ends it.

use std::time::{Duration, Instant};

use countersign::{pb::GetWorkspaceRequest, server::Limits};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};
use tonic::Status;

use super::{GET, ISSUE, PATIENCE, ended, serve};
use crate::support::{
    server::{PLATFORM, TestServer},
    wire::{GO_AWAY, PING, RESET, Wire},
};

/// Waits until there is room for one more connection.
async fn wait_for_room(server: &TestServer) -> Wire<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stream = TcpStream::connect(server.address())
            .await
            .expect("TCP is there");
        let mut wire = Wire::over(stream).await;
        if wire.frame().await.is_some() {
            return wire;
        }
        assert!(Instant::now() < deadline, "there is never room");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_connections_as_may_be_are_served_and_one_more_is_cut_off() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    let mut wires = Vec::new();
    for _ in 0..3 {
        wires.push(Wire::connect(server.address()).await);
    }
    for wire in &mut wires {
        wire.must_be_healthy(1).await;
    }
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("TCP is there");
        let mut buffer = [0; 1];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        assert!(!read.expect("it is cut off").is_ok_and(|read| read > 0));
    }
    for wire in &mut wires {
        wire.must_be_healthy(3).await;
    }
    wires.pop();
    wait_for_room(&server).await.must_be_healthy(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_is_said_is_cut_off_and_gives_its_place_back() {
    let limits = Limits {
        connections: 2,
        handshake: Duration::from_millis(300),
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    let mut served = Wire::connect(server.address()).await;
    let mut silent = TcpStream::connect(server.address())
        .await
        .expect("TCP is there");
    let since = Instant::now();
    let ended = async { while silent.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it is cut off");
    assert!(since.elapsed() >= Duration::from_millis(250));
    // Who has spoken stays.
    served.must_be_healthy(1).await;
    wait_for_room(&server).await.must_be_healthy(1).await;
    served.must_be_healthy(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_told_to_go_away_and_cut_when_its_calls_do_not_end() {
    let limits = Limits {
        connection_age: Duration::from_millis(400),
        connection_grace: Duration::from_millis(1600),
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    // Without calls it ends as soon as it is told.
    let since = Instant::now();
    let mut idle = Wire::connect(server.address()).await;
    let mut busy = Wire::connect(server.address()).await;
    busy.call(1, ISSUE, &[]).await;
    let told = idle.until_the_end().await;
    let went = since.elapsed();
    assert!(told.iter().any(|frame| frame.kind == GO_AWAY), "{told:?}");
    assert!(
        went >= Duration::from_millis(400) && went < Duration::from_millis(1900),
        "{went:?}"
    );
    // With a call that never sends, when the grace is over.
    let told = busy.until_the_end().await;
    let went = since.elapsed();
    assert!(told.iter().any(|frame| frame.kind == GO_AWAY), "{told:?}");
    assert!(told.iter().all(|frame| frame.kind != RESET), "{told:?}");
    assert!(
        went >= Duration::from_millis(1950) && went < Duration::from_secs(8),
        "{went:?}"
    );
}

/// Whether a call never reached its handler: its connection was told to go away at the moment when it was to be sent.
/// HTTP/2 guarantees that it may be sent again, which tonic leaves to its user.
fn was_never_sent(status: &Status) -> bool {
    let told = format!("{status:?}");
    [
        "\"connection closed\"",
        "\"connection was not ready\"",
        "NO_ERROR, Remote",
    ]
    .iter()
    .any(|reason| told.contains(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_lost_when_connections_are_renewed() {
    let limits = Limits {
        connection_age: Duration::from_millis(150),
        connection_grace: Duration::from_millis(3000),
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    server.client(PLATFORM).create_workspace("acme").await;
    let mut calling = JoinSet::new();
    for _ in 0..8 {
        let client = server.client(PLATFORM);
        calling.spawn(async move {
            let until = Instant::now() + Duration::from_millis(2500);
            let mut answered = 0;
            while Instant::now() < until {
                let request = GetWorkspaceRequest {
                    workspace_id: "acme".to_owned(),
                };
                match client.directory.clone().get_workspace(request).await {
                    Ok(_) => answered += 1,
                    Err(status) => assert!(was_never_sent(&status), "{status:?}"),
                }
            }
            answered
        });
    }
    let answered: u64 = calling.join_all().await.into_iter().sum();
    assert!(answered > 100, "only {answered} calls");
    // Whatever reached the server was answered, and the answer arrived.
    let metrics = server.metrics_address();
    assert_eq!(ended(metrics, GET, "OK").await, answered);
    assert_eq!(ended(metrics, GET, "CANCELLED").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_any_more_is_noticed() {
    let limits = Limits {
        keepalive_interval: Duration::from_millis(200),
        keepalive_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let (server, _database) = serve(limits).await;
    let mut dead = Wire::connect(server.address())
        .await
        .without_answers_to_pings();
    let mut alive = Wire::connect(server.address()).await;
    for wire in [&mut dead, &mut alive] {
        wire.call(1, ISSUE, &[]).await;
    }
    // The other one is asked several times, answers, and stays.
    let answering = async {
        for _ in 0..5 {
            alive.until(|frame| frame.kind == PING).await;
        }
        alive.must_be_healthy(3).await;
    };
    let (asked, ()) = tokio::join!(dead.until_the_end(), answering);
    assert!(asked.iter().any(|frame| frame.kind == PING), "{asked:?}");
}
