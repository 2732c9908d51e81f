//! A real OTLP collector, as far as traces go: a gRPC server that keeps what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What was received.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().expect("what was received");
        received.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A running collector.
pub(crate) struct Sink {
    address: SocketAddr,
    received: Received,
}

impl Sink {
    /// On a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let received = Received::default();
        let service = TraceServiceServer::new(received.clone());
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Self { address, received }
    }

    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received.0.lock().expect("what was received");
        let resources = received.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The attributes of the process that sent them.
    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        let received = self.received.0.lock().expect("what was received");
        let mut resources = received.iter().flat_map(|request| &request.resource_spans);
        let resource = resources.next().and_then(|spans| spans.resource.clone());
        resource.expect("a resource").attributes
    }

    /// Everything, as it came over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let received = self.received.0.lock().expect("what was received");
        received.iter().flat_map(Message::encode_to_vec).collect()
    }

    /// Waits until there is such a span.
    pub(crate) async fn wait_for(&self, is_it: impl Fn(&Span) -> bool) -> Span {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(span) = self.spans().into_iter().find(|span| is_it(span)) {
                return span;
            }
            assert!(
                Instant::now() < deadline,
                "no such span: {:?}",
                self.spans()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The text of an attribute, if it is there.
pub(crate) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
