//! The one layer that makes the span and the metrics of an RPC. No handler touches either.
//!
//! A call begins as cancelled, its outcome overwrites that, and it is recorded when it ends, however it ends: so a call
//! whose client is gone is counted as what it was.

use std::{
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::{
    Context as OtelContext,
    propagation::{Extractor, TextMapPropagator},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument, Metadata, Span, field};

use super::{Telemetry, metrics::code_name};

/// The target of the spans made here.
const TARGET: &str = concat!(env!("CARGO_CRATE_NAME"), "::rpc");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

static W3C: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// Whether it is the span of an RPC.
pub(super) fn is_rpc(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

/// Makes [`RpcService`]s.
#[derive(Clone)]
pub struct RpcLayer {
    telemetry: Telemetry,
}

impl RpcLayer {
    pub(super) fn new(telemetry: Telemetry) -> Self {
        Self { telemetry }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService {
            inner,
            telemetry: self.telemetry.clone(),
        }
    }
}

/// Watches every RPC of the service inside.
#[derive(Clone)]
pub struct RpcService<S> {
    inner: S,
    telemetry: Telemetry,
}

impl<S, I, O> Service<Request<I>> for RpcService<S>
where
    S: Service<Request<I>, Response = Response<O>>,
    S::Future: Send + 'static,
{
    type Response = Response<WatchedBody<O>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let path = request.uri().path();
        let call = Call::begin(self.telemetry.clone(), path, request.headers());
        // What layers do before they answer belongs to the call as well.
        let answer = call.span.in_scope(|| self.inner.call(request));
        let answer = answer.instrument(call.span.clone());
        Box::pin(async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    call.end(Code::Unknown);
                    return Err(error);
                }
            };
            let (parts, body) = response.into_parts();
            // An answer of nothing but a status is complete with its headers. Otherwise the body holds the call.
            let call = match status(&parts.headers) {
                Some(code) => {
                    call.end(code);
                    None
                }
                None => Some(call),
            };
            Ok(Response::from_parts(parts, WatchedBody { body, call }))
        })
    }
}

/// The body of an answer, which ends with the call's status.
pub struct WatchedBody<B> {
    body: B,
    /// None once it has been recorded.
    call: Option<Call>,
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let span = this.call.as_ref().map(|call| &call.span);
        let span = span.filter(|span| !span.is_disabled()).cloned();
        let _entered = span.as_ref().map(Span::enter);
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        let ended = match &frame {
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref();
                trailers.map(|trailers| status(trailers).unwrap_or(Code::Unknown))
            }
            Some(Err(_)) | None => Some(Code::Unknown),
        };
        // Recorded before the client can know that it has ended.
        if let Some((code, call)) = ended.and_then(|code| Some((code, this.call.take()?))) {
            call.end(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An RPC that has begun. It is recorded when it is dropped.
struct Call {
    telemetry: Telemetry,
    method: usize,
    code: Code,
    started: Instant,
    span: Span,
}

impl Call {
    fn begin(telemetry: Telemetry, path: &str, headers: &HeaderMap) -> Self {
        let calls = telemetry.0.metrics.calls();
        let method = calls.method(path.strip_prefix('/').unwrap_or(path));
        calls.began();
        Self {
            method,
            code: Code::Cancelled,
            started: Instant::now(),
            span: span(&telemetry, calls.method_name(method), headers),
            telemetry,
        }
    }

    /// Ends it with this code.
    fn end(mut self, code: Code) {
        self.code = code;
        drop(self);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let calls = self.telemetry.0.metrics.calls();
        calls.ended(self.method, self.code, self.started.elapsed());
        if self.span.is_disabled() {
            return;
        }
        let name = code_name(self.code);
        self.span.record("rpc.response.status_code", name);
        if self.code != Code::Ok {
            self.span.record("error.type", name);
        }
        if is_server_fault(self.code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// The span of an RPC, in its caller's trace. There is none to make, which costs next to nothing, where the call is not
/// sampled and its caller has no trace that a log line could name.
fn span(telemetry: &Telemetry, method: &str, headers: &HeaderMap) -> Span {
    let parent = headers
        .contains_key(&TRACE_PARENT)
        .then(|| W3C.extract_with_context(&OtelContext::new(), &RequestMetadata(headers)));
    let begins_trace = || {
        let traces = telemetry.0.traces.as_ref();
        traces.is_some_and(|traces| traces.sampling.begins_trace())
    };
    if parent.is_none() && !begins_trace() {
        return Span::none();
    }
    // Whoever makes a span out of it looks for the parent here.
    let _attached = parent.map(OtelContext::attach);
    tracing::info_span!(
        target: TARGET,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        "error.type" = field::Empty,
    )
}

/// Request metadata, as the propagator reads it.
struct RequestMetadata<'a>(&'a HeaderMap);

impl Extractor for RequestMetadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|key| key.as_str()).collect()
    }
}

/// The status in headers or trailers, if it is there.
fn status(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get(&STATUS)?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// Those codes that OpenTelemetry has a server mark as errors: what the caller did wrong is none.
fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
