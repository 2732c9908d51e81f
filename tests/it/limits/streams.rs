//! How many calls one connection may have open, and clients that open them and never send.

use std::time::{Duration, Instant};

use countersign::pb::GetWorkspaceRequest;
use tonic::Code;

use super::{ISSUE, serve, wait_until_ended};
use crate::support::{
    database::{Backend, TestDatabase},
    process::Process,
    server::{PLATFORM, key_of},
    status::assert_status,
    wire::{GO_AWAY, Wire},
};

const STREAMS: u32 = 256;
/// The setting of HTTP/2 that tells it.
const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;
/// How much memory thousands of calls that never send may cost, in KiB.
const MEMORY: u64 = 96 << 10;

/// The number of a client's call.
fn id(call: u32) -> u32 {
    2 * call + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_calls_as_may_be_are_open_in_a_connection_and_one_more_is_refused() {
    let (server, _database) = serve(Default::default()).await;
    let stream = tokio::net::TcpStream::connect(server.address()).await;
    let mut wire = Wire::over(stream.expect("TCP is there")).await;
    let settings = wire
        .until(|frame| frame.setting(MAX_CONCURRENT_STREAMS).is_some())
        .await;
    assert_eq!(settings.setting(MAX_CONCURRENT_STREAMS), Some(STREAMS));
    for call in 0..STREAMS - 1 {
        wire.call(id(call), ISSUE, &[]).await;
    }
    // The last of its kind is served, and makes room.
    wire.must_be_healthy(id(STREAMS)).await;
    wire.call(id(STREAMS + 1), ISSUE, &[]).await;
    let one_more = id(STREAMS + 2);
    wire.call(one_more, ISSUE, &[]).await;
    let refused = wire.until(|frame| frame.stream == one_more).await;
    assert!(refused.resets(one_more, REFUSED_STREAM), "{refused:?}");
    // One that is given up makes room as well. Other connections have room all the time.
    wire.reset(id(0)).await;
    wire.must_be_healthy(id(STREAMS + 3)).await;
    Wire::connect(server.address())
        .await
        .must_be_healthy(1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_open_calls_and_never_send_cost_little_and_are_cut_off() {
    let database = TestDatabase::create(Backend::Sqlite)
        .await
        .expect("a database");
    let process = Process::serve(&database, "");
    let client = process.client_with_key(Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    let before = process.memory();

    // More than may run at once, so that some are refused and nobody else is admitted.
    let mut wires = Vec::new();
    let began = Instant::now();
    for _ in 0..8 {
        let mut wire = Wire::connect(process.address()).await;
        for call in 0..STREAMS {
            wire.call(id(call), ISSUE, &[]).await;
        }
        wires.push(wire);
    }
    wait_until_ended(process.metrics_address(), ISSUE, "RESOURCE_EXHAUSTED", 1024).await;
    let attempt = || async {
        let request = GetWorkspaceRequest {
            workspace_id: "acme".to_owned(),
        };
        client.directory.clone().get_workspace(request).await
    };
    let asked = Instant::now();
    let status = attempt().await.expect_err("there is no place");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "it is refused at once");
    assert_status(&status, Code::ResourceExhausted, "OVERLOADED", None);
    Wire::connect(process.address())
        .await
        .must_be_healthy(1)
        .await;
    if let (Some(before), Some(now)) = (before, process.memory()) {
        assert!(
            now.saturating_sub(before) < MEMORY,
            "from {before} to {now} KiB"
        );
    }
    for wire in &mut wires {
        let mut open: Vec<u32> = (0..STREAMS).map(id).collect();
        while !open.is_empty() {
            let frame = wire.frame().await.expect("the connection goes on");
            assert!(
                began.elapsed() < Duration::from_secs(16),
                "{} are open",
                open.len()
            );
            open.retain(|stream| !frame.ends(*stream));
        }
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(9), "{took:?}");
    assert!(took < Duration::from_secs(16), "{took:?}");
    attempt().await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_every_call_it_begins_is_sent_away() {
    let (server, _database) = serve(Default::default()).await;
    let mut wire = Wire::connect(server.address()).await;
    for call in 0..20_000 {
        let block_is_sent = wire.try_call(id(call), ISSUE).await;
        if !block_is_sent || !wire.reset(id(call)).await {
            break;
        }
    }
    let told = wire.until_the_end().await;
    assert!(told.iter().any(|frame| frame.kind == GO_AWAY) || told.is_empty());
    server.client(PLATFORM).create_workspace("acme").await;
}
