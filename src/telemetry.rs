//! What the process tells of itself while it runs: logs, traces, metrics and its readiness. Never a secret.
//!
//! The log and the traces are the process's, started once by [`Telemetry::install`]. Metrics and readiness belong to a
//! server, so that many can run side by side, each with a [`Telemetry`] of its own. Labels come from closed sets only.

mod export;
mod http;
mod log;
mod metrics;
mod rpc;
mod sampling;
mod trace;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{
    http::MetricsServer,
    log::LogError,
    metrics::{DatabaseSample, HandshakeFailure, IssuersSample, PoolSample, ViewSample},
    rpc::{RpcLayer, RpcService, WatchedBody},
};
use self::{log::LogHandle, metrics::Metrics, trace::Traces};
use crate::domain::{
    decide::Decision, error::Error, event::Details, identity_token::Refused, issuer::FetchOutcome,
    time::Timestamp,
};

/// How long the process waits at its end for what it still has to tell.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log's directives are not understood.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Two metrics have one name, or a name is malformed.
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What a server tells of itself. Clones are the same.
#[derive(Clone)]
pub struct Telemetry(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    is_ready: AtomicBool,
    /// None where somebody else keeps the log, as in tests.
    log: Option<LogHandle>,
    /// None where traces are not exported.
    traces: Option<Traces>,
}

impl Telemetry {
    /// Metrics and readiness only. `methods` are the full names of every RPC that is served, such as
    /// `countersign.v1.TokenService/IssueToken`; what is called besides is counted as `_OTHER`.
    pub fn new(methods: Vec<String>) -> Result<Self, TelemetryError> {
        Ok(Self(Arc::new(Shared {
            metrics: Metrics::new(methods)?,
            is_ready: AtomicBool::new(false),
            log: None,
            traces: None,
        })))
    }

    /// The same, and starts the process's log under these directives, and its traces as the standard `OTEL_*` variables
    /// say. To be called once, inside the runtime.
    pub fn install(methods: Vec<String>, directives: &str) -> Result<Self, TelemetryError> {
        let metrics = Metrics::new(methods)?;
        let (log, handle) = log::start(directives)?;
        let (started, complaints) = trace::start(&|name| std::env::var(name).ok(), &metrics);
        let (layer, traces) = started.unzip();
        let installed = tracing_subscriber::registry()
            .with(log)
            .with(log::trace_ids())
            .with(layer)
            .try_init();
        if installed.is_err() {
            tracing::debug!("the log has been started before");
        }
        for complaint in complaints {
            tracing::error!("{complaint}");
        }
        Ok(Self(Arc::new(Shared {
            metrics,
            is_ready: AtomicBool::new(false),
            log: Some(handle),
            traces,
        })))
    }

    /// Whether [`Self::set_log`] would take these directives.
    pub fn check_log(directives: &str) -> Result<(), LogError> {
        log::check(directives)
    }

    /// Replaces the log's directives from now on.
    pub fn set_log(&self, directives: &str) -> Result<(), LogError> {
        match &self.0.log {
            Some(handle) => handle.set(directives),
            None => log::check(directives),
        }
    }

    /// The layer that makes the span and the metrics of every RPC. To be the outermost, so that it also sees what other
    /// layers refuse.
    pub fn rpc_layer(&self) -> RpcLayer {
        RpcLayer::new(self.clone())
    }

    /// Whether calls are welcome: warmed up and not draining.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready.load(Ordering::Relaxed)
    }

    /// Tells whether calls are welcome.
    pub fn set_ready(&self, is_ready: bool) {
        self.0.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Tells under which policy decisions are made from now on, by its hash.
    pub fn set_policy(&self, hash: &str) {
        self.0.metrics.set_policy(hash);
    }

    /// Asks the database how it is at each scrape, through a callback that must not wait for anything.
    pub fn sample_database(&self, sample: impl Fn() -> DatabaseSample + Send + Sync + 'static) {
        self.0.metrics.sample_database(Box::new(sample));
    }

    /// Asks the view how it is at each scrape, likewise.
    pub fn sample_view(&self, sample: impl Fn() -> ViewSample + Send + Sync + 'static) {
        self.0.metrics.sample_view(Box::new(sample));
    }

    /// Counts a change that was committed.
    pub fn count_change(&self, details: &Details) {
        self.0.metrics.count_change(details);
    }

    /// Counts a decision.
    pub fn count_decision(&self, decision: Decision) {
        self.0.metrics.count_decision(decision);
    }

    /// Counts a decision that the log of decisions had no room for.
    pub fn count_unlogged_decision(&self) {
        self.0.metrics.count_unlogged_decision();
    }

    /// Counts a caller that did not show who it is.
    pub fn count_authentication_failure(&self, error: &Error) {
        self.0.metrics.count_authentication_failure(error.reason());
    }

    /// Counts an identity token that named no caller, by why.
    pub fn count_identity_token_failure(&self, refused: &Refused) {
        self.0.metrics.issuers().count_failure(refused);
    }

    /// Counts an attempt to fetch the keys of an issuer.
    pub fn count_key_fetch(&self, outcome: FetchOutcome) {
        self.0.metrics.issuers().count_fetch(outcome);
    }

    /// Asks the keeper of issuers' keys how they are at each scrape, through a callback that must not wait for anything.
    pub fn sample_issuers(&self, sample: impl Fn() -> IssuersSample + Send + Sync + 'static) {
        self.0.metrics.issuers().sample(Box::new(sample));
    }

    /// Counts a TLS handshake that failed.
    pub fn count_handshake_failure(&self, failure: HandshakeFailure) {
        self.0.metrics.count_handshake_failure(failure);
    }

    /// Tells when the certificate of this server ends. None: it shows none.
    pub fn set_certificate_end(&self, not_after: Option<Timestamp>) {
        self.0.metrics.set_certificate_end(not_after);
    }

    /// Counts a reload of the configuration, applied or refused.
    pub fn count_reload(&self, is_applied: bool) {
        self.0.metrics.count_reload(is_applied);
    }

    /// Sends what has not been sent. Ends within 5 seconds, whatever the collector does.
    pub async fn flush(self) {
        if self.0.traces.is_none() {
            return;
        }
        let flushed = tokio::task::spawn_blocking(move || {
            let traces = self.0.traces.as_ref();
            traces.map(|traces| traces.provider.shutdown_with_timeout(FLUSH_DEADLINE))
        });
        if let Ok(Some(Err(error))) = flushed.await {
            tracing::warn!(error = %error, "some traces were not exported");
        }
    }
}
