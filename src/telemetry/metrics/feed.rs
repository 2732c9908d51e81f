//! The metrics of the feed: how far it has come, and where it begins.

use prometheus::{Error, IntCounter, IntGauge, Registry};

use super::{
    DatabaseSample,
    family::{counter, gauge},
};

pub(super) struct FeedMetrics {
    head: IntGauge,
    tail: IntGauge,
    dropped: IntCounter,
}

impl FeedMetrics {
    pub(super) fn new(register: &Registry) -> Result<Self, Error> {
        Ok(Self {
            head: gauge(
                register,
                "countersign_feed_head_revision",
                "The newest revision of the feed that this server has seen.",
            )?,
            tail: gauge(
                register,
                "countersign_feed_oldest_revision",
                "The oldest revision of the feed whose event is kept.",
            )?,
            dropped: counter(
                register,
                "countersign_events_dropped_total",
                "Events that this server dropped because they were too old.",
            )?,
        })
    }

    /// Takes over what a sample tells. Not to be called twice at once.
    pub(super) fn take(&self, sample: &DatabaseSample) {
        self.head.set(sample.head);
        self.tail.set(sample.tail);
        let new = sample.dropped_events.saturating_sub(self.dropped.get());
        self.dropped.inc_by(new);
    }
}
