//! What came of calls.

use std::time::{Duration, Instant};

/// The answers to a run of calls.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Of good answers, in nanoseconds.
    pub(crate) latencies: Vec<u32>,
    /// Answers that were not what they must be, or never came.
    pub(crate) bad: u64,
    /// When the last call began that had a good answer.
    pub(crate) last_good: Option<Instant>,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Good answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Latencies at these shares of the calls, in microseconds.
    pub(crate) fn percentiles<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1) as f64;
        shares.map(|share| {
            let place = (last * share).round() as usize;
            let latency = self.latencies.get(place).copied().unwrap_or_default();
            f64::from(latency) / 1000.0
        })
    }

    /// Panics unless every answer was good: an error is quick, and must never count as speed.
    pub(crate) fn require_good(self, what: &str) -> Self {
        self.require_good_but(what, 0)
    }

    /// The same with so many that may not be.
    pub(crate) fn require_good_but(self, what: &str, bad: u64) -> Self {
        let good = self.latencies.len();
        assert!(
            self.bad <= bad && good > 0,
            "{what}: {} bad of {good}",
            self.bad
        );
        self
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.bad += other.bad;
        self.last_good = self.last_good.max(other.last_good);
        self.elapsed = self.elapsed.max(other.elapsed);
    }
}
