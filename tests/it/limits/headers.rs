//! How large the headers of a call may be.

use super::{AUTHORIZE, HEALTH, serve};
use crate::support::{
    database::{Backend, TestDatabase},
    process::Process,
    server::PLATFORM,
    wire::{Wire, size_of_headers},
};

const MOST: usize = 16 << 10;
/// How much memory headers without end may cost, in KiB.
const MEMORY: u64 = 32 << 10;

/// A header that makes the list of them this large.
fn filler(path: &str, size: usize) -> String {
    let without = size_of_headers(path, &[("x-filler", "")]);
    "f".repeat(size - without)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_just_below_the_limit_are_read_and_others_end_the_call_or_the_connection() {
    let (server, _database) = serve(Default::default()).await;
    let mut wire = Wire::connect(server.address()).await;
    let below = filler(HEALTH, MOST - 1);
    wire.call(1, HEALTH, &[("x-filler", &below)]).await;
    wire.send(crate::support::wire::DATA, 1, 1, &[0; 5]).await;
    wire.until(|frame| frame.kind == crate::support::wire::DATA && frame.stream == 1)
        .await;
    let at = filler(HEALTH, MOST);
    wire.call(3, HEALTH, &[("x-filler", &at)]).await;
    // It is answered by HTTP's 431, and the connection goes on.
    wire.until(|frame| frame.ends(3)).await;
    wire.must_be_healthy(5).await;
    server.client(PLATFORM).create_workspace("acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_cut_the_connection_and_cost_little() {
    let database = TestDatabase::create(Backend::Sqlite)
        .await
        .expect("a database");
    let process = Process::serve(&database, "");
    let before = process.memory();
    for _ in 0..8 {
        let mut wire = Wire::connect(process.address()).await;
        let mut parts = 0;
        while wire.continue_headers(1, parts == 0).await {
            parts += 1;
            assert!(parts < 10_000, "it is never cut off");
        }
        wire.until_the_end().await;
    }
    if let (Some(before), Some(now)) = (before, process.memory()) {
        assert!(
            now.saturating_sub(before) < MEMORY,
            "from {before} to {now} KiB"
        );
    }
    let mut wire = Wire::connect(process.address()).await;
    wire.call(1, AUTHORIZE, &[]).await;
    wire.must_be_healthy(3).await;
}
