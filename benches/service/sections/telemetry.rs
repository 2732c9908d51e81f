//! What exporting traces costs: two processes, one that samples 1 % of its calls and one that exports nothing.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use super::warm::warm_up;
use crate::{
    Bench,
    database::Database,
    load::Load,
    measure::{CONNECTIONS, Side, alternate},
    process::{KEY, Process},
    report::Goal,
    requests::{self, AUTHORIZE},
};

const SECTION: &str = "telemetry";
const TOKENS: u64 = 1_000;

/// Takes spans and counts them.
#[derive(Clone, Default)]
struct Sink(Arc<AtomicUsize>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(crate) fn run(bench: &mut Bench) {
    let databases = [(); 2].map(|()| Database::sqlite(bench, TOKENS, 0));
    let sink = Sink::default();
    let endpoint = format!("http://{}", start(bench, sink.clone()));
    let sampled = Process::serve_with(
        &databases[0].url,
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ],
    );
    let silent = Process::serve(&databases[1].url);
    let body = requests::authorize();
    let loads = [&sampled, &silent].map(|process| {
        let mut load = Load::connect(process.address, Some(KEY), CONNECTIONS);
        warm_up(&mut load, (0, TOKENS));
        RefCell::new(load)
    });
    let [first, second] = &loads;
    let source = |i| requests::by_chance(&body, TOKENS, i);
    let side = |process, load| Side {
        process,
        load,
        method: AUTHORIZE,
        source: &source,
    };
    let sides = [side(&sampled, first), side(&silent, second)];
    let [sampled, silent] = alternate(sides, bench.rounds(), bench.turn());
    let spans = sink.0.load(Ordering::Relaxed);
    assert!(spans > 0, "the sink was sent spans");
    let note = format!(
        "{:.1} µs and {:.1} µs; {spans} spans exported",
        sampled.median(),
        silent.median()
    );
    let ratio = (sampled.ratio_to(&silent), "");
    let what = "CPU, traces sampled at 1 % ÷ off";
    bench
        .report
        .goal(SECTION, what, Goal::AtMost(1.05), ratio, &note);
}

fn start(bench: &Bench, sink: Sink) -> SocketAddr {
    let bound = bench.runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
    let listener = bound.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let serving = Server::builder()
        .add_service(TraceServiceServer::new(sink))
        .serve_with_incoming(TcpIncoming::from(listener));
    bench.runtime.spawn(serving);
    address
}
