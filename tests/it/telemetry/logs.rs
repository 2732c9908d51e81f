//! The log of the real binary where nobody watches: one JSON object a line.

use serde_json::Value;
use tonic::{Code, Request};

use super::traces::migrate;
use crate::support::{
    client::{authorize_request, issue_request},
    database::{Backend, TestDatabase, hold_the_counter, on_both},
    process::Process,
    server::{PLATFORM, key_of},
};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

on_both![every_line_is_json_and_carries_the_trace_of_its_call];

async fn every_line_is_json_and_carries_the_trace_of_its_call(database: TestDatabase) {
    migrate(&database).await;
    // No traces are exported, and still a line tells whose trace it is of.
    let mut process = Process::serve(&database, "");
    let mut stranger = process.client_with_key(None).authorization;
    let request = in_trace(authorize_request("x", "bookings.read", "acme", None));
    for request in [
        request,
        Request::new(authorize_request("x", "bookings.read", "acme", None)),
    ] {
        let refused = stranger.authorize(request).await;
        assert_eq!(refused.expect_err("no key").code(), Code::Unauthenticated);
    }
    assert!(process.signal("TERM").success());

    let lines = lines(&process);
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{line} lacks {key}");
        }
    }
    let refusals: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "a caller was not authenticated")
        .collect();
    let [first, second] = refusals.as_slice() else {
        panic!("two refusals: {lines:?}");
    };
    assert_eq!(first["trace_id"], TRACE_ID);
    assert_eq!(first["level"], "WARN");
    assert_eq!(first["reason"], "CREDENTIAL_MISSING");
    assert_eq!(second["trace_id"], Value::Null);
    assert_eq!(lines.last().expect("a line")["message"], "stopped");
}

/// A mutation runs in a task of its own, which belongs to the trace like all else.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_database_is_logged_with_the_trace_of_its_call() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    migrate(&database).await;
    let mut process = Process::serve(&database, "");
    let platform = process.client_with_key(Some(&key_of(PLATFORM)));
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    // Until the server's lock timeout ends the mutation.
    let blocker = database.connect().await;
    let lock = hold_the_counter(&blocker).await;
    let request = in_trace(issue_request("acme", "max", "laptop", None));
    let refused = platform.tokens.clone().issue_token(request).await;
    let code = refused.expect_err("the feed is locked").code();
    assert_eq!(code, Code::Unavailable);
    lock.rollback().await.expect("the lock is released");
    assert!(process.signal("TERM").success());
    let lines = lines(&process);
    let fault = lines
        .iter()
        .find(|line| line["message"] == "the database failed");
    let fault = fault.expect("the fault is logged");
    assert_eq!(fault["trace_id"], TRACE_ID, "{fault}");
}

fn in_trace<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE_ID}-b7ad6b7169203331-00");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().expect("a header"));
    request
}

/// The log, a JSON value a line.
fn lines(process: &Process) -> Vec<Value> {
    let log = process.log();
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    log.lines().map(read).collect()
}
