//! A scrape as such: well formed, complete from the first, and as the README has it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use countersign::domain::{decide::DenyReason, policy::Policy};

use crate::support::{
    database::{Backend, TestDatabase, on_both},
    http::{Scrape, wait_for_status},
    server::TestServer,
    tools,
};

on_both![
    promtool_accepts_a_scrape,
    everything_is_there_from_the_first_scrape,
];

async fn promtool_accepts_a_scrape(database: TestDatabase) {
    let Some(promtool) = tools::require_tool("promtool") else {
        return;
    };
    let server = TestServer::start(&database).await;
    let client = server.client("platform");
    client.create_workspace("acme").await;
    client
        .authorize("nonsense", "bookings.read", "acme", None)
        .await;
    let scrape = Scrape::of(server.metrics_address()).await;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(scrape.text.as_bytes())
        .expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

async fn everything_is_there_from_the_first_scrape(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    // The metrics port may be asked before the database has been opened.
    wait_for_status(server.metrics_address(), "/readyz", 200).await;
    let scrape = Scrape::of(server.metrics_address()).await;
    for method in countersign::grpc::methods() {
        assert_eq!(scrape.calls(&method, "OK"), Some(0.0), "{method}");
    }
    assert_eq!(scrape.calls("_OTHER", "OK"), Some(0.0));
    let decisions = "countersign_authorize_decisions_total";
    let allow = format!("{decisions}{{outcome=\"ALLOW\",reason=\"NONE\"}}");
    assert_eq!(scrape.get(&allow), Some(0.0));
    for reason in DenyReason::ALL {
        let deny = format!(
            "{decisions}{{outcome=\"DENY\",reason=\"{}\"}}",
            reason.as_str()
        );
        assert_eq!(scrape.get(&deny), Some(0.0), "{deny}");
    }
    for reason in ["MISSING", "INVALID", "AMBIGUOUS"] {
        let failures =
            format!("countersign_authentication_failures_total{{reason=\"CREDENTIAL_{reason}\"}}");
        assert_eq!(scrape.get(&failures), Some(0.0), "{failures}");
    }
    for reason in [
        "CERTIFICATE_MISSING",
        "AUTHORITY_UNKNOWN",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_INVALID",
        "TOO_SLOW",
        "OTHER",
    ] {
        let failures = format!("countersign_tls_handshake_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(scrape.get(&failures), Some(0.0), "{failures}");
    }
    for outcome in ["APPLIED", "REFUSED"] {
        let reloads = format!("countersign_reloads_total{{outcome=\"{outcome}\"}}");
        assert_eq!(scrape.get(&reloads), Some(0.0), "{reloads}");
    }
    for pool in ["read", "write"] {
        let open = scrape.get(&format!(
            "countersign_database_connections_open{{pool=\"{pool}\"}}"
        ));
        assert!(open >= Some(1.0), "{pool}: {open:?}");
        let idle = scrape.get(&format!(
            "countersign_database_connections_idle{{pool=\"{pool}\"}}"
        ));
        assert!(idle.is_some() && idle <= open, "{pool}: {idle:?}");
    }
    let hash = Policy::embedded().expect("a policy").hash().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    for (series, value) in [
        ("countersign_tokens_issued_total".to_owned(), 0.0),
        ("countersign_tokens_revoked_total".to_owned(), 0.0),
        ("countersign_tokens_rotated_total".to_owned(), 0.0),
        ("countersign_tokens_reused_total".to_owned(), 0.0),
        ("countersign_rpc_calls_in_flight".to_owned(), 0.0),
        ("countersign_feed_head_revision".to_owned(), 0.0),
        ("countersign_feed_oldest_revision".to_owned(), 0.0),
        ("countersign_events_dropped_total".to_owned(), 0.0),
        // It speaks no TLS.
        (
            "countersign_tls_certificate_not_after_seconds".to_owned(),
            f64::INFINITY,
        ),
        (format!("countersign_policy_info{{hash=\"{hash}\"}}"), 1.0),
        (
            format!("countersign_build_info{{version=\"{version}\"}}"),
            1.0,
        ),
    ] {
        assert_eq!(scrape.get(&series), Some(value), "{series}");
    }
    for result in ["exported", "failed", "dropped"] {
        let spans = format!("countersign_trace_spans_total{{result=\"{result}\"}}");
        assert_eq!(scrape.get(&spans), Some(0.0), "{spans}");
    }
    assert!(scrape.get("process_start_time_seconds") > Some(1_700_000_000.0));
}

#[tokio::test]
async fn readme_has_every_family() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("an embedded database");
    let server = TestServer::start(&database).await;
    let scrape = Scrape::of(server.metrics_address()).await;
    let mut families = scrape.families();
    families.sort_unstable();
    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("| metric | ").expect("the table");
    let mut told: Vec<&str> = table
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split('`').nth(1).filter(|_| line.starts_with("| `")))
        .collect();
    told.sort_unstable();
    assert_eq!(told, families);
}
