//! The metrics of RPCs.

use std::{sync::OnceLock, time::Duration};

use prometheus::{Error, Histogram, HistogramOpts, HistogramVec, IntGauge, Registry};
use tonic::Code;

use super::family::{gauge, registered};

/// How many codes there are.
const CODES: usize = 17;
/// What an unknown method is called.
const OTHER: &str = "_OTHER";
/// A decision in memory takes some hundred microseconds, a mutation under contention some seconds.
const DURATION_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// How many RPCs there are, and how long they take.
pub(in crate::telemetry) struct Calls {
    /// In the order of their names; the last is [`OTHER`].
    methods: Vec<String>,
    durations: HistogramVec,
    /// The children that have been used, by method and code: to find one by its labels costs more than to observe.
    children: Vec<[OnceLock<Histogram>; CODES]>,
    in_flight: IntGauge,
}

impl Calls {
    pub(super) fn new(registry: &Registry, mut methods: Vec<String>) -> Result<Self, Error> {
        methods.sort();
        methods.dedup();
        methods.push(OTHER.to_owned());
        let children = methods
            .iter()
            .map(|_| std::array::from_fn(|_| OnceLock::new()));
        let calls = Self {
            children: children.collect(),
            methods,
            durations: durations(registry)?,
            in_flight: gauge(
                registry,
                "countersign_rpc_calls_in_flight",
                "RPCs that have begun and not ended.",
            )?,
        };
        for method in &calls.methods {
            let labels = [method.as_str(), code_name(Code::Ok)];
            calls.durations.get_metric_with_label_values(&labels)?;
        }
        Ok(calls)
    }

    /// The number of the method with this full name; that of [`OTHER`] for any that is not served.
    pub(in crate::telemetry) fn method(&self, name: &str) -> usize {
        let other = self.methods.len() - 1;
        self.methods[..other]
            .binary_search_by(|method| method.as_str().cmp(name))
            .unwrap_or(other)
    }

    pub(in crate::telemetry) fn method_name(&self, method: usize) -> &str {
        self.methods.get(method).map_or(OTHER, String::as_str)
    }

    pub(in crate::telemetry) fn began(&self) {
        self.in_flight.inc();
    }

    pub(in crate::telemetry) fn ended(&self, method: usize, code: Code, duration: Duration) {
        self.in_flight.dec();
        let place = usize::try_from(i32::from(code)).unwrap_or(0);
        let children = self.children.get(method).and_then(|row| row.get(place));
        if let Some(child) = children {
            let labels = [self.method_name(method), code_name(code)];
            child
                .get_or_init(|| self.durations.with_label_values(&labels))
                .observe(duration.as_secs_f64());
        }
    }
}

/// The canonical name of a code.
pub(in crate::telemetry) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn durations(registry: &Registry) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::new(
        "rpc_server_call_duration_seconds",
        "How long RPCs took, by method and status code.",
    );
    let buckets = options.buckets(DURATION_BUCKETS.to_vec());
    let histograms = HistogramVec::new(buckets, &["rpc_method", "code"])?;
    registered(registry, histograms)
}
