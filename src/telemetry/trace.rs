//! Traces: which spans there are, and where they are sent. All of it by the standard `OTEL_*`
//! variables, and nothing at all unless they name an endpoint.
//!
//! Only this crate's own spans are exported, so the exporter's transport cannot trace itself.

use std::{fs, sync::Arc};

use opentelemetry::{
    Context as OtelContext, Key,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::WithTonicConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tonic::transport;
use tracing::{Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, dynamic_filter_fn},
    registry::LookupSpan,
};

use super::{export, metrics::Metrics, rpc, sampling::Sampling};

const CRATE: &str = env!("CARGO_CRATE_NAME");

/// Where variables are read.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What makes spans, and what exports them.
type Started<S> = (Box<dyn Layer<S> + Send + Sync>, Traces);

/// What becomes of traces.
pub(super) struct Traces {
    pub(super) provider: SdkTracerProvider,
    pub(super) sampling: Arc<Sampling>,
}

/// Starts what the variables ask for. What cannot be done is complained of, and is no reason not to serve.
pub(super) fn start<S>(
    variables: Variables<'_>,
    metrics: &Metrics,
) -> (Option<Started<S>>, Vec<String>)
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let mut complaints = Vec::new();
    if !is_wanted(variables, &mut complaints) {
        return (None, complaints);
    }
    let sampling = Arc::new(Sampling::read(variables, &mut complaints));
    let exporter = match exporter(variables) {
        Ok(exporter) => exporter,
        Err(error) => {
            complaints.push(format!("traces are not exported: {error}"));
            return (None, complaints);
        }
    };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_sampler(sampling.sampler())
        .with_span_processor(export::processor(exporter, metrics.spans()))
        .build();
    let filter = Arc::clone(&sampling);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(CRATE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(
            dynamic_filter_fn(move |metadata, _| is_recorded(metadata, &filter))
                .with_callsite_filter(|metadata| match is_ours(metadata) {
                    true => Interest::sometimes(),
                    false => Interest::never(),
                })
                .with_max_level_hint(LevelFilter::INFO),
        );
    let traces = Traces { provider, sampling };
    (Some((layer.boxed(), traces)), complaints)
}

/// A span of this crate. Events are for the log, which has the trace's id.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with(CRATE)
}

/// Whether a span is worth making. An RPC's is, unless its caller does not sample; what happens inside is, while the RPC is
/// sampled. What happens outside of any RPC is not.
fn is_recorded(metadata: &Metadata<'_>, sampling: &Sampling) -> bool {
    is_ours(metadata)
        && OtelContext::map_current(|context| {
            if rpc::is_rpc(metadata) {
                return !sampling.rules_out(context);
            }
            let span = context.span();
            let parent = span.span_context();
            parent.is_sampled() && !parent.is_remote()
        })
}

fn is_wanted(variables: Variables<'_>, complaints: &mut Vec<String>) -> bool {
    let given = |name: &str| {
        let value = variables(name).map(|value| value.trim().to_ascii_lowercase());
        value.filter(|value| !value.is_empty())
    };
    let either = |traces: &str, all: &str| given(traces).or_else(|| given(all));
    if given("OTEL_SDK_DISABLED").as_deref() == Some("true") {
        return false;
    }
    let endpoint = either(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    );
    if endpoint.is_none() {
        return false;
    }
    match given("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return false,
        Some(other) => {
            complaints.push(format!(
                "traces are not exported: OTEL_TRACES_EXPORTER is `{other}`, and only `otlp` and `none` are supported"
            ));
            return false;
        }
    }
    let protocol = either(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    );
    match protocol.as_deref() {
        None | Some("grpc") => true,
        Some(other) => {
            complaints.push(format!(
                "traces are not exported: OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`, and only `grpc` is supported"
            ));
            false
        }
    }
}

/// Endpoint, headers, timeout and compression are read by the exporter itself, the rest of TLS here.
fn exporter(variables: Variables<'_>) -> Result<opentelemetry_otlp::SpanExporter, String> {
    let certificate = variables("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
        .or_else(|| variables("OTEL_EXPORTER_OTLP_CERTIFICATE"))
        .filter(|path| !path.is_empty());
    let tls = match certificate {
        None => transport::ClientTlsConfig::new().with_native_roots(),
        Some(path) => {
            let pem = fs::read(&path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
            let certificate = transport::Certificate::from_pem(pem);
            transport::ClientTlsConfig::new().ca_certificate(certificate)
        }
    };
    opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_tls_config(tls)
        .build()
        .map_err(|error| error.to_string())
}

/// What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and who we are where they do not.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let has_version = told.get(&Key::from_static_str("service.version")).is_some();
    let mut resource = Resource::builder();
    if !is_named {
        resource = resource.with_service_name(CRATE);
    }
    if !has_version {
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        resource = resource.with_attribute(version);
    }
    resource.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(given: &[(&str, &str)]) -> bool {
        let variables = |name: &str| {
            let found = given.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        is_wanted(&variables, &mut Vec::new())
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_named_and_nothing_forbids_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
        let is_wanted = wanted;
        assert!(!is_wanted(&[]));
        assert!(!is_wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]));
        assert!(is_wanted(&[endpoint]));
        assert!(is_wanted(&[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://127.0.0.1:4317"
        )]));
        assert!(!is_wanted(&[endpoint, ("OTEL_SDK_DISABLED", "True")]));
        assert!(is_wanted(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
        assert!(!is_wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!is_wanted(&[
            endpoint,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        ]));
    }
}
