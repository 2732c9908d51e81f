//! Spans of the real binary, as they arrive at a collector.

use std::time::{Duration, Instant};

use countersign::pb::{AuthorizeRequest, GetTokenRequest, get_token_request::Target};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tonic::{Code, Request};

use super::sink::{Sink, text};
use crate::support::{
    client::{authorize_request, issue_request},
    database::{TestDatabase, on_both},
    http::{Scrape, scrape_until},
    process::Process,
    server::{BOOKINGS, PEPPER, PLATFORM, key_of},
};

on_both![
    a_span_arrives_in_its_callers_trace,
    sampling_is_as_the_variables_say,
    without_a_collector_the_service_runs_on,
    no_secret_leaves_by_spans_metrics_or_logs,
];

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";
const AUTHORIZE: &str = "countersign.v1.AuthorizationService/Authorize";
const ISSUE: &str = "countersign.v1.TokenService/IssueToken";

/// `serve`, exporting soon to this endpoint.
async fn serve(database: &TestDatabase, variables: &[(&str, &str)]) -> Process {
    migrate(database).await;
    let mut all = vec![("OTEL_BSP_SCHEDULE_DELAY", "50")];
    all.extend(variables);
    Process::serve_with(database, "", &all)
}

/// Brings the database up to date, which `serve` leaves to others on PostgreSQL.
pub(super) async fn migrate(database: &TestDatabase) {
    use countersign::{domain::database_url::DatabaseUrl, store};

    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url).await.expect("it is migrated");
}

/// In the trace above, sampled (`01`) or not (`00`).
fn in_trace<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE_ID}-{PARENT_ID}-{flags}");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().expect("a header"));
    request
}

fn nonsense() -> AuthorizeRequest {
    authorize_request("nonsense", "bookings.read", "acme", None)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn status_of(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(StatusCode::Unset, |s| s.code())
}

async fn a_span_arrives_in_its_callers_trace(database: TestDatabase) {
    let sink = Sink::start().await;
    let endpoint = sink.endpoint();
    let process = serve(&database, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let platform = process.client_with_key(Some(&key_of(PLATFORM)));
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let request = in_trace(issue_request("acme", "max", "laptop", None), "01");
    let issued = platform.tokens.clone().issue_token(request).await;
    issued.expect("a token is issued");

    let server = sink
        .wait_for(|span| hex(&span.trace_id) == TRACE_ID && span.name == ISSUE)
        .await;
    assert_eq!(hex(&server.parent_span_id), PARENT_ID);
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(status_of(&server), StatusCode::Unset);
    let attributes = &server.attributes;
    assert_eq!(text(attributes, "rpc.system.name"), Some("grpc"));
    assert_eq!(text(attributes, "rpc.method"), Some(ISSUE));
    assert_eq!(text(attributes, "rpc.response.status_code"), Some("OK"));
    assert_eq!(text(attributes, "error.type"), None);
    assert!(server.end_time_unix_nano > server.start_time_unix_nano);

    // The database's work is below it, mutations in a task of their own included.
    let mutation = sink
        .wait_for(|span| hex(&span.trace_id) == TRACE_ID && span.name == "store.mutate")
        .await;
    assert_eq!(mutation.parent_span_id, server.span_id);
    let insert = sink
        .wait_for(|span| hex(&span.trace_id) == TRACE_ID && span.name == "store.insert_token")
        .await;
    assert_eq!(insert.parent_span_id, mutation.span_id);

    // A call without a parent begins a trace; what the caller did wrong is no error of the server.
    let missing = GetTokenRequest {
        target: Some(Target::TokenId("tok_0000000000000000000000".to_owned())),
        ..Default::default()
    };
    let answer = platform.tokens.clone().get_token(missing).await;
    let code = answer.expect_err("there is no such token").code();
    assert_eq!(code, Code::NotFound);
    let root = sink
        .wait_for(|span| span.name == "countersign.v1.TokenService/GetToken")
        .await;
    assert!(root.parent_span_id.is_empty());
    assert_eq!(text(&root.attributes, "error.type"), Some("NOT_FOUND"));
    assert_eq!(status_of(&root), StatusCode::Unset);

    let resource = sink.resource();
    assert_eq!(text(&resource, "service.name"), Some("countersign"));
    let version = Some(env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&resource, "service.version"), version);
    // Nothing of the transport's own, the exporter's least of all.
    for span in sink.spans() {
        let is_known = ["countersign.v1.", "grpc.", "store."]
            .iter()
            .any(|start| span.name.starts_with(start));
        assert!(is_known, "{}", span.name);
    }
    flushes_at_its_end(process, &sink).await;
}

/// What has not been exported when the signal comes still arrives.
async fn flushes_at_its_end(mut process: Process, sink: &Sink) {
    let key = key_of(BOOKINGS);
    let mut bookings = process.client_with_key(Some(&key)).authorization;
    for _ in 0..20 {
        let asked = bookings.authorize(nonsense()).await;
        asked.expect("there is a decision");
    }
    assert!(process.signal("TERM").success());
    let arrived = sink.spans();
    let arrived = arrived.iter().filter(|span| span.name == AUTHORIZE).count();
    assert_eq!(arrived, 20);
}

async fn sampling_is_as_the_variables_say(database: TestDatabase) {
    for (sampler, argument, expected) in [
        ("always_off", "", [false, false, false]),
        ("parentbased_always_off", "", [true, false, false]),
        ("parentbased_always_on", "", [true, false, true]),
        ("parentbased_traceidratio", "0", [true, false, false]),
        ("always_on", "", [true, true, true]),
    ] {
        let sink = Sink::start().await;
        let endpoint = sink.endpoint();
        let mut process = serve(
            &database,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
                ("OTEL_SERVICE_NAME", "gatekeeper"),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "deployment.environment.name=test",
                ),
            ],
        )
        .await;
        let key = key_of(PLATFORM);
        let client = process.client_with_key(Some(&key));
        // Which reads from the database, so that what is inside is sampled alike.
        let missing = || GetTokenRequest {
            target: Some(Target::TokenId("tok_0000000000000000000000".to_owned())),
            ..Default::default()
        };
        for request in [
            in_trace(missing(), "01"),
            in_trace(missing(), "00"),
            Request::new(missing()),
        ] {
            let answer = client.tokens.clone().get_token(request).await;
            assert_eq!(answer.expect_err("no such token").code(), Code::NotFound);
        }
        assert!(process.signal("TERM").success());
        let spans = sink.spans();
        let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
        let wanted = expected.iter().filter(|is_sampled| **is_sampled).count();
        let method = "countersign.v1.TokenService/GetToken";
        assert_eq!(count(method), wanted, "{sampler}: {spans:?}");
        assert_eq!(count("store.find_token"), wanted, "{sampler}: {spans:?}");
        let parents = spans
            .iter()
            .filter(|span| hex(&span.parent_span_id) == PARENT_ID);
        let from_parents = expected[..2]
            .iter()
            .filter(|is_sampled| **is_sampled)
            .count();
        assert_eq!(parents.count(), from_parents, "{sampler}: {spans:?}");
        if wanted > 0 {
            let resource = sink.resource();
            assert_eq!(text(&resource, "service.name"), Some("gatekeeper"));
            let environment = text(&resource, "deployment.environment.name");
            assert_eq!(environment, Some("test"));
        }
    }
}

async fn without_a_collector_the_service_runs_on(database: TestDatabase) {
    // Nobody listens there, since nobody can; and there somebody accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("http://{}", silent.local_addr().expect("a bound port"));
    for (endpoint, is_told) in [("http://127.0.0.1:1", true), (silent.as_str(), false)] {
        let mut process = serve(&database, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await;
        let key = key_of(BOOKINGS);
        let mut bookings = process.client_with_key(Some(&key)).authorization;
        for _ in 0..5 {
            let asked = bookings.authorize(nonsense()).await;
            asked.expect("there is a decision");
        }
        if is_told {
            let failed = "countersign_trace_spans_total{result=\"failed\"}";
            let has_failed = |scrape: &Scrape| scrape.get(failed) > Some(0.0);
            scrape_until(process.metrics_address(), has_failed).await;
            bookings.authorize(nonsense()).await.expect("a decision");
        }
        let started = Instant::now();
        assert!(process.signal("TERM").success(), "{}", process.log());
        // Five seconds for the traces, and some for a busy machine.
        let took = started.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}: {}", process.log());
        let complaints = process.log().matches("traces cannot be exported").count();
        assert!(complaints <= 1, "{}", process.log());
        assert!(!is_told || complaints == 1, "{}", process.log());
    }
}

async fn no_secret_leaves_by_spans_metrics_or_logs(database: TestDatabase) {
    let sink = Sink::start().await;
    let endpoint = sink.endpoint();
    migrate(&database).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=topsecret"),
    ];
    let mut process = Process::serve_with(&database, "log = \"trace\"", &variables);
    let key = key_of(PLATFORM);
    let platform = process.client_with_key(Some(&key));
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let first = platform.issue("acme", "max", "first", None).await;
    let second = platform.issue("acme", "max", "second", None).await;
    platform
        .authorize(&first.secret, "bookings.read", "acme", None)
        .await;
    let header = format!("Bearer {}", second.secret);
    platform
        .authorize(&header, "users.read", "acme", None)
        .await;
    let by_secret = GetTokenRequest {
        target: Some(Target::Secret(second.secret.clone())),
        ..Default::default()
    };
    let found = platform.tokens.clone().get_token(by_secret).await;
    found.expect("the token is found");
    let wrong = "csn_key_0123456789012345678901234567890123456789012";
    let mut stranger = process.client_with_key(Some(wrong)).authorization;
    let refused = stranger.authorize(nonsense()).await;
    assert_eq!(
        refused.expect_err("not known").code(),
        Code::Unauthenticated
    );
    let scrape = Scrape::of(process.metrics_address()).await;
    assert!(process.signal("TERM").success());

    let spans = sink.bytes();
    assert!(sink.spans().len() > 10);
    let log = process.log();
    let (_, pepper) = PEPPER.split_once(':').expect("a pepper");
    let random = |secret: &str| secret["csn_pat_1".len()..][..43].to_owned();
    let has = |bytes: &[u8], text: &str| {
        let mut windows = bytes.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    assert!(has(&spans, "store.insert_token") && has(log.as_bytes(), "h2::"));
    for secret in [
        random(&first.secret),
        random(&second.secret),
        key,
        wrong.to_owned(),
        pepper.to_owned(),
        "topsecret".to_owned(),
    ] {
        assert!(!has(&spans, &secret), "a span has {secret}");
        assert!(
            !has(scrape.text.as_bytes(), &secret),
            "a metric has {secret}"
        );
        assert!(!has(log.as_bytes(), &secret), "the log has {secret}");
    }
}
