//! Around a restart, and what a replica asks of the database: the start, the calls that all come at once to an empty
//! memory, idle queries, and mutations over a long way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use countersign::pb::{
    IssueTokenRequest, RevokeTokenRequest, revoke_token_request::Target,
    token_service_client::TokenServiceClient,
};
use tonic::{Request, transport::Endpoint};

use crate::{
    Bench,
    database::Database,
    load::{Load, Pace},
    measure::latencies,
    process::{KEY, Process},
    proxy,
    report::Goal,
    requests::{self, AUTHORIZE},
    tokens,
};

const SECTION: &str = "storm";
/// Connections that come back at once, and calls in flight on each.
const STORM: (usize, usize) = (64, 4);
/// The way to the database, one way.
const EACH_WAY: Duration = Duration::from_micros(500);
/// Mutations in flight.
const WRITERS: u64 = 32;

pub(crate) fn run(bench: &mut Bench) {
    let stored = bench.pick(20_000, 1_000_000);
    let database = Database::sqlite(bench, stored, 0);
    start(bench, "SQLite", &database, stored);
    storm(bench, "SQLite", &database, stored);
    if let Some(port) = bench.postgres(SECTION) {
        let database = Database::postgres(bench, port, stored, 0);
        start(bench, "Postgres", &database, stored);
        storm(bench, "Postgres", &database, stored);
        idle(bench, &database);
        mutations(bench, &database, port);
    }
}

/// From the start of the process to the first decision.
fn start(bench: &mut Bench, name: &str, database: &Database, stored: u64) {
    let began = Instant::now();
    let process = Process::serve(&database.url);
    let body = requests::authorize();
    let mut load = Load::connect(process.address, Some(KEY), 1);
    let source = |_| requests::each_once(&body, (0, 1), (0, 1));
    let answered = load.run(AUTHORIZE, Pace::Closed(1), Duration::from_secs(60), source);
    let took = began.elapsed().as_secs_f64();
    answered.require_good("the first call");
    let what = format!("start to serving, {stored} tokens on {name}");
    bench
        .report
        .goal(SECTION, &what, Goal::AtMost(1.0), (took, "s"), "");
}

/// Everybody asks for something else, all at once, and nothing is in memory.
fn storm(bench: &mut Bench, name: &str, database: &Database, stored: u64) {
    let process = Process::serve(&database.url);
    let (connections, in_flight) = STORM;
    let asked = stored.min(10_000);
    let mut load = Load::connect(process.address, Some(KEY), connections);
    let body = requests::authorize();
    let source = |i| requests::each_once(&body, (0, asked), (i, connections));
    let patience = Duration::from_secs(60);
    let mut first = load.run(AUTHORIZE, Pace::Closed(in_flight), patience, source);
    let what = format!("storm after a restart on {name}: {asked} tokens asked for once");
    let took = (first.elapsed.as_secs_f64(), "s");
    let calls = connections * in_flight;
    let bad = first.bad;
    let note = format!("{calls} in flight, {bad} failed, {}", latencies(&mut first));
    bench.report.figure(SECTION, &what, took, &note);
}

fn idle(bench: &mut Bench, database: &Database) {
    let process = Process::serve(&database.url);
    let body = requests::authorize();
    let mut load = Load::connect(process.address, Some(KEY), 1);
    let source = |_| requests::each_once(&body, (0, 1), (0, 1));
    let called = load.run(AUTHORIZE, Pace::Closed(1), Duration::from_secs(60), source);
    called.require_good("the first call");
    // Sessions tell what they did when they have been idle for a while.
    thread::sleep(Duration::from_secs(2));
    let (before, began) = (database.transactions(bench), Instant::now());
    thread::sleep(bench.pick(Duration::from_secs(2), Duration::from_secs(10)));
    let count = database.transactions(bench) - before;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let what = "queries per second of an idle replica";
    bench.report.figure(
        SECTION,
        what,
        (rate, "/s"),
        "transactions that Postgres counted",
    );
}

/// Tokens issued and revoked by many at once.
fn mutations(bench: &mut Bench, database: &Database, port: u16) {
    let far = proxy::delay(port, EACH_WAY);
    let url = database
        .url
        .replace(&format!(":{port}/"), &format!(":{far}/"));
    let process = Process::serve(&url);
    let duration = bench.pick(Duration::from_secs(1), Duration::from_secs(10));
    let done = Arc::new(AtomicUsize::new(0));
    let address = format!("http://{}", process.address);
    let began = Instant::now();
    bench.runtime.block_on(async {
        let endpoint = Endpoint::from_shared(address).expect("an address");
        let channel = endpoint.connect().await.expect("it serves");
        let writers = (0..WRITERS).map(|writer| {
            let mut client = TokenServiceClient::new(channel.clone());
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let (workspace_id, member_id) = tokens::owner(writer * tokens::PER_MEMBER);
                while began.elapsed() < duration {
                    let issue = IssueTokenRequest {
                        workspace_id: workspace_id.clone(),
                        member_id: member_id.clone(),
                        name: "mutation".to_owned(),
                        ..IssueTokenRequest::default()
                    };
                    let issued = client.issue_token(keyed(issue)).await.expect("issued");
                    let token = issued.into_inner().token.expect("a token");
                    let revoke = revoke(token.token_id, false);
                    client.revoke_token(keyed(revoke)).await.expect("revoked");
                    done.fetch_add(2, Ordering::Relaxed);
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        for writer in writers {
            writer.await.expect("no panic");
        }
    });
    let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let what = "mutations per second, 1 ms from the database and back";
    let note = format!("{WRITERS} in flight, issue and revoke by turns");
    bench.report.figure(SECTION, what, (rate, "/s"), &note);
}

/// A request that shows the key.
pub(crate) fn keyed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let key = KEY.parse().expect("a key is ASCII");
    request.metadata_mut().insert("x-countersign-key", key);
    request
}

/// The revocation of this token.
pub(crate) fn revoke(token_id: String, wait_for_replicas: bool) -> RevokeTokenRequest {
    RevokeTokenRequest {
        target: Some(Target::TokenId(token_id)),
        reason: "benchmark".to_owned(),
        wait_for_replicas,
        ..RevokeTokenRequest::default()
    }
}
