//! A clock in the test's hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use countersign::domain::time::{Clock, Timestamp};

/// Stands still until it is moved. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    /// 2027-01-15T08:00:00Z.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }
}

impl TestClock {
    /// Moves it on.
    pub(crate) fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }

    /// Moves it to an instant.
    pub(crate) fn set(&self, instant: Timestamp) {
        self.0.store(instant.0, Ordering::SeqCst);
    }

    /// The time it shows.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// The same clock, as the service reads it.
    pub(crate) fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now())
    }
}
