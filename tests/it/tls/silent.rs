//! Connections that never complete their handshake.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{FAILED, PATIENCE, USUAL, World, lines, shake_hands};
use crate::support::{http::scrape_until, wire::Wire};

const HANDSHAKE: Duration = Duration::from_secs(5);
const SILENT: u32 = 300;
/// How many lines a peer may have at once.
const LINES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_cut_off_and_keep_nobody_out() {
    let world = World::create().await;
    let process = world.serve();
    let address = process.address();
    let mut silent = JoinSet::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(address).await.expect("it connects");
        // Every other one begins a handshake.
        if number % 2 == 0 {
            let begun = [0x16, 3, 1, 2, 0, 1, 0];
            stream.write_all(&begun).await.expect("it is sent");
        }
        let since = Instant::now();
        silent.spawn(async move {
            let mut buffer = [0; 64];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
            // An end, a reset, or an alert: it is over, whichever way.
            drop(read.expect("it is cut off"));
            since.elapsed()
        });
    }
    // While they are there, others are served, over new connections too.
    let began = Instant::now();
    for _ in 0..20 {
        let stream = shake_hands(address, &world.authority, &USUAL).await;
        let stream = stream.expect("others are served");
        Wire::over(stream).await.must_be_healthy(1).await;
    }
    assert!(began.elapsed() < HANDSHAKE, "it took {:?}", began.elapsed());
    while let Some(lived) = silent.join_next().await {
        let lived = lived.expect("a client");
        assert!(lived > HANDSHAKE - Duration::from_secs(1), "{lived:?}");
        assert!(lived < HANDSHAKE * 2, "{lived:?}");
    }
    // Each is counted, and as many are told of as one peer may fill the log with.
    let late = "countersign_tls_handshake_failures_total{reason=\"TOO_SLOW\"}";
    let all = Some(f64::from(SILENT));
    scrape_until(process.metrics_address(), |scrape| scrape.get(late) == all).await;
    let failed = lines(&process, FAILED, LINES).await;
    assert!(failed.len() >= LINES, "{}", failed.len());
    assert!(failed.len() < LINES * 5, "{}", failed.len());
    for line in failed {
        assert_eq!(line["reason"], "TOO_SLOW");
        assert!(line.to_string().contains("it took longer than 5s"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_after_its_handshake_is_cut_off() {
    let world = World::create().await;
    let process = world.serve();
    let stream = shake_hands(process.address(), &world.authority, &USUAL).await;
    let mut stream = stream.expect("the handshake succeeds");
    let since = Instant::now();
    let read = async { while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it is cut off");
    assert!(since.elapsed() < HANDSHAKE * 2, "{:?}", since.elapsed());
}
