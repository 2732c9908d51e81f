//! The metrics of a view, taken from it at each scrape.

use std::time::Duration;

use prometheus::{Error, Gauge, IntCounterVec, IntGauge, Registry};

use super::family::{counters, gauge, registered};

/// How a view is.
pub struct ViewSample {
    /// How old. None: it knows nothing.
    pub age: Option<Duration>,
    /// How many tokens it holds.
    pub tokens: i64,
    /// How many changes it had to apply when the feed was last read.
    pub lag: i64,
    /// How far the database's clock is ahead of this server's, in milliseconds.
    pub clock_skew_millis: i64,
    /// How often things happened, by family (`lookups`, `fills`, `feed_reads`, `refusals`) and label.
    pub totals: Vec<(&'static str, &'static str, u64)>,
}

pub(super) struct ViewMetrics {
    age: Gauge,
    tokens: IntGauge,
    lag: IntGauge,
    clock_skew: Gauge,
    lookups: IntCounterVec,
    fills: IntCounterVec,
    feed_reads: IntCounterVec,
    refusals: IntCounterVec,
}

impl ViewMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let register = registry;
        Ok(Self {
            age: registered(
                register,
                Gauge::new(
                    "countersign_view_age_seconds",
                    "How long ago the view was known to be up to date.",
                )?,
            )?,
            tokens: gauge(
                register,
                "countersign_view_tokens",
                "Tokens that the view holds.",
            )?,
            lag: gauge(
                register,
                "countersign_view_lag_revisions",
                "Changes that the view had to apply when the feed was last read.",
            )?,
            clock_skew: registered(
                register,
                Gauge::new(
                    "countersign_database_clock_skew_seconds",
                    "How far the database's clock is ahead of this server's.",
                )?,
            )?,
            lookups: counters(
                register,
                "countersign_view_lookups_total",
                "Tokens looked up, by whether memory had all that was needed.",
                &["result"],
            )?,
            fills: counters(
                register,
                "countersign_view_fills_total",
                "Tokens read from the database because memory lacked something, by what was found.",
                &["result"],
            )?,
            feed_reads: counters(
                register,
                "countersign_view_feed_reads_total",
                "Readings of the feed, by what became of them.",
                &["result"],
            )?,
            refusals: counters(
                register,
                "countersign_view_refusals_total",
                "Decisions that were not made, by reason.",
                &["reason"],
            )?,
        })
    }

    /// Takes over what a view tells. Not to be called twice at once.
    pub(super) fn take(&self, sample: &ViewSample) -> Result<(), Error> {
        let age = sample.age.map_or(f64::INFINITY, |age| age.as_secs_f64());
        self.age.set(age);
        self.tokens.set(sample.tokens);
        self.lag.set(sample.lag);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a clock is not off by millennia"
        )]
        self.clock_skew
            .set(sample.clock_skew_millis as f64 / 1000.0);
        for (family, label, total) in &sample.totals {
            let family = match *family {
                "lookups" => &self.lookups,
                "fills" => &self.fills,
                "feed_reads" => &self.feed_reads,
                _ => &self.refusals,
            };
            let counter = family.get_metric_with_label_values(&[label])?;
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        Ok(())
    }
}
