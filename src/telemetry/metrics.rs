//! The metrics: every family, with every combination of labels that is known beforehand, is there from the first scrape.

mod calls;
mod changes;
mod family;
mod feed;
mod handshakes;
mod issuers;
mod view;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{Error, Gauge, IntCounter, IntCounterVec, IntGaugeVec, Registry, TextEncoder};

pub(super) use self::calls::{Calls, code_name};
use self::view::ViewMetrics;
pub use self::view::ViewSample;
use self::{
    changes::Changes,
    family::{counter, counters, gauges, registered},
    feed::FeedMetrics,
    issuers::IssuerMetrics,
};
pub use self::{handshakes::HandshakeFailure, issuers::IssuersSample};
use crate::domain::{
    decide::{Decision, DenyReason},
    event::Details,
    time::Timestamp,
};

const ALLOW: &str = "ALLOW";
const DENY: &str = "DENY";
/// The reason of an allow.
const NO_REASON: &str = "NONE";
/// Why a caller was not authenticated, as errors tell it.
const AUTHENTICATION_FAILURES: [&str; 4] = [
    "CREDENTIAL_MISSING",
    "CREDENTIAL_INVALID",
    "CREDENTIAL_AMBIGUOUS",
    "IDENTITY_UNAVAILABLE",
];
/// Refused, then applied: in the order of `false` and `true`.
const RELOAD_OUTCOMES: [&str; 2] = ["REFUSED", "APPLIED"];
const POOLS: [&str; 2] = ["read", "write"];

/// How the database is.
pub struct DatabaseSample {
    /// The newest revision that was seen.
    pub head: i64,
    /// The oldest revision whose event is kept.
    pub tail: i64,
    /// How many events were dropped from here.
    pub dropped_events: u64,
    /// The pools.
    pub pools: Vec<PoolSample>,
}

/// How a pool of connections is.
pub struct PoolSample {
    /// `read` or `write`.
    pub name: &'static str,
    /// How many connections are open.
    pub open: i64,
    /// How many of these are idle.
    pub idle: i64,
}

type SampleDatabase = Box<dyn Fn() -> DatabaseSample + Send + Sync>;
type SampleView = Box<dyn Fn() -> ViewSample + Send + Sync>;

/// What became of spans that were to be exported.
#[derive(Debug, Clone)]
pub(super) struct SpanCounters {
    pub(super) exported: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) dropped: IntCounter,
}

impl SpanCounters {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let spans = counters(
            registry,
            "countersign_trace_spans_total",
            "Spans that ended, by what became of them.",
            &["result"],
        )?;
        let span = |result| spans.get_metric_with_label_values(&[result]);
        Ok(Self {
            exported: span("exported")?,
            failed: span("failed")?,
            dropped: span("dropped")?,
        })
    }
}

/// The metrics of one server.
pub(super) struct Metrics {
    registry: Registry,
    calls: Calls,
    allows: IntCounter,
    /// In the order of the reasons.
    denials: Vec<IntCounter>,
    changes: Changes,
    decisions_unlogged: IntCounter,
    authentication_failures: IntCounterVec,
    handshake_failures: IntCounterVec,
    issuers: IssuerMetrics,
    certificate_end: Gauge,
    reloads: IntCounterVec,
    pool_open: IntGaugeVec,
    pool_idle: IntGaugeVec,
    feed: FeedMetrics,
    policy: IntGaugeVec,
    policy_hash: Mutex<Option<String>>,
    spans: SpanCounters,
    database: Mutex<Option<SampleDatabase>>,
    view: ViewMetrics,
    sampled_view: Mutex<Option<SampleView>>,
}

impl Metrics {
    pub(super) fn new(methods: Vec<String>) -> Result<Self, Error> {
        let registry = Registry::new();
        let register = &registry;
        let decisions = counters(
            register,
            "countersign_authorize_decisions_total",
            "Decisions by outcome and reason.",
            &["outcome", "reason"],
        )?;
        let denials = DenyReason::ALL.iter();
        let denials =
            denials.map(|reason| decisions.get_metric_with_label_values(&[DENY, reason.as_str()]));
        let metrics = Self {
            calls: Calls::new(register, methods)?,
            allows: decisions.get_metric_with_label_values(&[ALLOW, NO_REASON])?,
            denials: denials.collect::<Result<_, _>>()?,
            changes: Changes::new(register)?,
            decisions_unlogged: counter(
                register,
                "countersign_decisions_unlogged_total",
                "Decisions that the log of decisions had no room for.",
            )?,
            authentication_failures: counters(
                register,
                "countersign_authentication_failures_total",
                "Requests whose caller was not authenticated, by reason.",
                &["reason"],
            )?,
            handshake_failures: counters(
                register,
                "countersign_tls_handshake_failures_total",
                "TLS handshakes that failed, by reason.",
                &["reason"],
            )?,
            issuers: IssuerMetrics::new(register)?,
            certificate_end: registered(
                register,
                Gauge::new(
                    "countersign_tls_certificate_not_after_seconds",
                    "When the certificate of this server ends, in seconds since the epoch.",
                )?,
            )?,
            reloads: counters(
                register,
                "countersign_reloads_total",
                "Reloads of the configuration, by what became of them.",
                &["outcome"],
            )?,
            pool_open: gauges(
                register,
                "countersign_database_connections_open",
                "Open connections to the database, by pool.",
                &["pool"],
            )?,
            pool_idle: gauges(
                register,
                "countersign_database_connections_idle",
                "Open connections to the database that nobody uses, by pool.",
                &["pool"],
            )?,
            feed: FeedMetrics::new(register)?,
            policy: gauges(
                register,
                "countersign_policy_info",
                "The policy under which decisions are made, by its hash.",
                &["hash"],
            )?,
            policy_hash: Mutex::default(),
            spans: SpanCounters::new(register)?,
            database: Mutex::default(),
            view: ViewMetrics::new(register)?,
            sampled_view: Mutex::default(),
            registry,
        };
        metrics.fill()?;
        Ok(metrics)
    }

    /// Makes every child that is known beforehand.
    fn fill(&self) -> Result<(), Error> {
        for reason in AUTHENTICATION_FAILURES {
            let failures = &self.authentication_failures;
            failures.get_metric_with_label_values(&[reason])?;
        }
        for failure in HandshakeFailure::ALL {
            let failures = &self.handshake_failures;
            failures.get_metric_with_label_values(&[failure.as_str()])?;
        }
        self.set_certificate_end(None);
        for outcome in RELOAD_OUTCOMES {
            self.reloads.get_metric_with_label_values(&[outcome])?;
        }
        for pool in POOLS {
            self.pool_open.get_metric_with_label_values(&[pool])?;
            self.pool_idle.get_metric_with_label_values(&[pool])?;
        }
        let build = gauges(
            &self.registry,
            "countersign_build_info",
            "The version that runs.",
            &["version"],
        )?;
        let version = [env!("CARGO_PKG_VERSION")];
        build.get_metric_with_label_values(&version)?.set(1);
        let start = Gauge::new(
            "process_start_time_seconds",
            "When the process started, in seconds since the epoch.",
        )?;
        start.set(seconds_since_epoch());
        self.registry.register(Box::new(start))
    }

    /// The text of a scrape.
    pub(super) fn scrape(&self) -> Result<String, Error> {
        if let Some(sample) = &*lock(&self.database) {
            let sample = sample();
            self.feed.take(&sample);
            for pool in sample.pools {
                let label = [pool.name];
                let open = self.pool_open.get_metric_with_label_values(&label)?;
                open.set(pool.open);
                let idle = self.pool_idle.get_metric_with_label_values(&label)?;
                idle.set(pool.idle);
            }
        }
        if let Some(sample) = &*lock(&self.sampled_view) {
            self.view.take(&sample())?;
        }
        self.issuers.take();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn issuers(&self) -> &IssuerMetrics {
        &self.issuers
    }

    pub(super) fn spans(&self) -> SpanCounters {
        self.spans.clone()
    }

    pub(super) fn sample_database(&self, sample: SampleDatabase) {
        *lock(&self.database) = Some(sample);
    }

    pub(super) fn sample_view(&self, sample: SampleView) {
        *lock(&self.sampled_view) = Some(sample);
    }

    pub(super) fn set_policy(&self, hash: &str) {
        let mut last = lock(&self.policy_hash);
        if last.as_deref() == Some(hash) {
            return;
        }
        // The new one first: there is no scrape without any.
        if let Ok(info) = self.policy.get_metric_with_label_values(&[hash]) {
            info.set(1);
        }
        if let Some(last) = last.replace(hash.to_owned()) {
            // It was there, so it can be removed.
            let _ = self.policy.remove_label_values(&[&last]);
        }
    }

    pub(super) fn count_change(&self, details: &Details) {
        self.changes.count(details);
    }

    pub(super) fn count_unlogged_decision(&self) {
        self.decisions_unlogged.inc();
    }

    /// Counts a failure, if its reason is one of the closed set.
    pub(super) fn count_authentication_failure(&self, reason: &str) {
        if AUTHENTICATION_FAILURES.contains(&reason) {
            increment(&self.authentication_failures, &[reason]);
        }
    }

    pub(super) fn count_handshake_failure(&self, failure: HandshakeFailure) {
        increment(&self.handshake_failures, &[failure.as_str()]);
    }

    /// Without one there is no end.
    pub(super) fn set_certificate_end(&self, not_after: Option<Timestamp>) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "no certificate lasts for millennia"
        )]
        let seconds = not_after.map_or(f64::INFINITY, |end| end.0 as f64 / 1000.0);
        self.certificate_end.set(seconds);
    }

    pub(super) fn count_reload(&self, is_applied: bool) {
        increment(&self.reloads, &[RELOAD_OUTCOMES[usize::from(is_applied)]]);
    }

    pub(super) fn count_decision(&self, decision: Decision) {
        match decision {
            Decision::Allow(_) => self.allows.inc(),
            Decision::Deny(reason) => {
                if let Some(counter) = self.denials.get(reason as usize) {
                    counter.inc();
                }
            }
        }
    }
}

fn increment(counters: &IntCounterVec, labels: &[&str]) {
    // There is always a child for as many labels as the family was made with.
    if let Ok(counter) = counters.get_metric_with_label_values(labels) {
        counter.inc();
    }
}

fn seconds_since_epoch() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
