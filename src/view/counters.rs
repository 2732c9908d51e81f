//! What the view counts of itself, read at each scrape.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) fills_known: Counter,
    pub(super) fills_unknown: Counter,
    pub(super) fills_failed: Counter,
    pub(super) fills_stale: Counter,
    pub(super) reads: Counter,
    pub(super) reads_failed: Counter,
    pub(super) resyncs: Counter,
    pub(super) refused_old: Counter,
    pub(super) refused_overloaded: Counter,
    /// How many changes there were after the position when the feed was last read.
    pub(super) lag: AtomicI64,
    /// How far the database's clock is ahead of ours, in milliseconds.
    pub(super) clock_skew: AtomicI64,
}

/// How the view is, at a moment.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// How old it is. None: it knows nothing.
    pub age: Option<Duration>,
    /// How many tokens it holds.
    pub tokens: usize,
    /// How many changes it had to apply when the feed was last read.
    pub lag: i64,
    /// How far the database's clock is ahead of this server's, in milliseconds.
    pub clock_skew_millis: i64,
    /// How often each of these happened, by family and label.
    pub totals: [(&'static str, &'static str, u64); 11],
}

impl Counters {
    pub(super) fn vitals(&self, age: Option<Duration>, tokens: usize) -> Vitals {
        Vitals {
            age,
            tokens,
            lag: self.lag.load(Ordering::Relaxed),
            clock_skew_millis: self.clock_skew.load(Ordering::Relaxed),
            totals: [
                ("lookups", "HIT", self.hits.get()),
                ("lookups", "MISS", self.misses.get()),
                ("fills", "KNOWN", self.fills_known.get()),
                ("fills", "UNKNOWN", self.fills_unknown.get()),
                ("fills", "FAILED", self.fills_failed.get()),
                ("fills", "STALE", self.fills_stale.get()),
                ("feed_reads", "READ", self.reads.get()),
                ("feed_reads", "FAILED", self.reads_failed.get()),
                ("feed_reads", "RESYNC", self.resyncs.get()),
                ("refusals", "TOO_OLD", self.refused_old.get()),
                ("refusals", "OVERLOADED", self.refused_overloaded.get()),
            ],
        }
    }
}
