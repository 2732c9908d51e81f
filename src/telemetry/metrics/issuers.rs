//! The metrics of identity tokens and of the keys that they are verified by.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::{Error, Gauge, IntCounterVec, IntGauge, Registry};

use super::{
    family::{counters, gauges, registered},
    increment,
};
use crate::domain::{identity_token::Refused, issuer::FetchOutcome};

/// How the keys of issuers are.
pub struct IssuersSample {
    /// Of how many issuers there are keys.
    pub held: i64,
    /// Of how many there are none to go by.
    pub missing: i64,
    /// How long ago those were fetched that are held longest. None: some never were.
    pub age: Option<Duration>,
}

type Sample = Box<dyn Fn() -> IssuersSample + Send + Sync>;

pub(in crate::telemetry) struct IssuerMetrics {
    failures: IntCounterVec,
    fetches: IntCounterVec,
    held: IntGauge,
    missing: IntGauge,
    age: Gauge,
    sample: Mutex<Option<Sample>>,
}

impl IssuerMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let failures = counters(
            registry,
            "countersign_identity_token_failures_total",
            "Identity tokens that authenticated no caller, by reason.",
            &["reason"],
        )?;
        for reason in Refused::ALL {
            failures.get_metric_with_label_values(&[reason])?;
        }
        let fetches = counters(
            registry,
            "countersign_issuer_key_fetches_total",
            "Attempts to fetch the keys of an issuer, by what became of them.",
            &["outcome"],
        )?;
        for outcome in FetchOutcome::ALL {
            fetches.get_metric_with_label_values(&[outcome.as_str()])?;
        }
        let issuers = gauges(
            registry,
            "countersign_issuers",
            "Issuers of identity tokens, by whether there are keys of theirs to go by.",
            &["keys"],
        )?;
        Ok(Self {
            failures,
            fetches,
            held: issuers.get_metric_with_label_values(&["HELD"])?,
            missing: issuers.get_metric_with_label_values(&["MISSING"])?,
            age: registered(
                registry,
                Gauge::new(
                    "countersign_issuer_keys_age_seconds",
                    "How long ago those keys of issuers were fetched that are held longest.",
                )?,
            )?,
            sample: Mutex::default(),
        })
    }

    pub(in crate::telemetry) fn count_failure(&self, refused: &Refused) {
        increment(&self.failures, &[refused.as_str()]);
    }

    pub(in crate::telemetry) fn count_fetch(&self, outcome: FetchOutcome) {
        increment(&self.fetches, &[outcome.as_str()]);
    }

    pub(in crate::telemetry) fn sample(&self, sample: Sample) {
        *self.sample.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
    }

    /// Takes the sample of a scrape.
    pub(super) fn take(&self) {
        let sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sample) = sample.as_ref().map(|sample| sample()) {
            self.held.set(sample.held);
            self.missing.set(sample.missing);
            let age = sample.age.map_or(f64::INFINITY, |age| age.as_secs_f64());
            self.age.set(age);
        }
    }
}
