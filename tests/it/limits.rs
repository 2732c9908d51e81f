//! Limits of messages, calls and connections: at each edge, and one past it. Those on trying secrets and keys are with the
//! callers.

mod calls;
mod connections;
mod deadlines;
mod headers;
mod messages;
mod streams;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use countersign::server::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    database::{Backend, TestDatabase},
    server::{Setup, TestServer},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Calls that have ten seconds, and one that has a quarter of one.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const ISSUE: &str = "/countersign.v1.TokenService/IssueToken";
const GET: &str = "/countersign.v1.DirectoryService/GetWorkspace";
const AUTHORIZE: &str = "/countersign.v1.AuthorizationService/Authorize";

/// A server with these limits, on an embedded database that lives as long as it is held.
async fn serve(limits: Limits) -> (TestServer, TestDatabase) {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("an embedded database");
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    (setup.start(&database).await, database)
}

/// How many calls of this method ended with this code, as the metrics tell.
async fn ended(metrics: SocketAddr, method: &str, code: &str) -> u64 {
    let mut stream = TcpStream::connect(metrics)
        .await
        .expect("the port is there");
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it is sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let method = method.trim_start_matches('/');
    let lines = text.lines().filter(|line| {
        line.starts_with("rpc_server_call_duration_seconds_count{")
            && line.contains(&format!("\"{method}\""))
            && line.contains(&format!("\"{code}\""))
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Waits until so many have.
async fn wait_until_ended(metrics: SocketAddr, method: &str, code: &str, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while ended(metrics, method, code).await < count {
        assert!(
            Instant::now() < deadline,
            "{count} {code} are never counted"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
