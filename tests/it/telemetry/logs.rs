//! The log of the real binary where nobody watches: one JSON object a line.

use serde_json::Value;
use tonic::{Code, Request};

use crate::support::{
    client::authorize_request,
    database::{TestDatabase, on_both},
    process::Process,
};

on_both![every_line_is_json_and_carries_the_trace_of_its_call];

async fn every_line_is_json_and_carries_the_trace_of_its_call(database: TestDatabase) {
    use countersign::{domain::database_url::DatabaseUrl, store};

    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url).await.expect("it is migrated");
    // No traces are exported, and still a line tells whose trace it is of.
    let mut process = Process::serve(&database, "");
    let mut stranger = process.client_with_key(None).authorization;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let mut request = Request::new(authorize_request("x", "bookings.read", "acme", None));
    let parent = format!("00-{trace_id}-b7ad6b7169203331-00");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().expect("a header"));
    for request in [
        request,
        Request::new(authorize_request("x", "bookings.read", "acme", None)),
    ] {
        let refused = stranger.authorize(request).await;
        assert_eq!(refused.expect_err("no key").code(), Code::Unauthenticated);
    }
    assert!(process.signal("TERM").success());

    let log = process.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{line} lacks {key}");
        }
    }
    let refusals: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "a caller was not authenticated")
        .collect();
    let [in_trace, other] = refusals.as_slice() else {
        panic!("two refusals: {log}");
    };
    assert_eq!(in_trace["trace_id"], trace_id);
    assert_eq!(in_trace["level"], "WARN");
    assert_eq!(in_trace["reason"], "CREDENTIAL_MISSING");
    assert_eq!(other["trace_id"], Value::Null);
    assert_eq!(lines.last().expect("a line")["message"], "stopped");
}
