//! A clock in the test's hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use countersign::domain::time::{Clock, Timestamp};

/// An instant as the wire has it.
pub(crate) fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1000),
        nanos: i32::try_from(at.0.rem_euclid(1000)).expect("less than a thousand") * 1_000_000,
    }
}

/// Stands still until it is moved, or is the system's. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct TestClock(Option<Arc<AtomicI64>>);

impl Default for TestClock {
    /// 2027-01-15T08:00:00Z.
    fn default() -> Self {
        Self(Some(Arc::new(AtomicI64::new(1_800_000_000_000))))
    }
}

impl TestClock {
    /// The system's, which nobody moves.
    pub(crate) fn system() -> Self {
        Self(None)
    }

    /// Moves it on.
    pub(crate) fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }

    /// Moves it to an instant.
    pub(crate) fn set(&self, instant: Timestamp) {
        let shown = self.0.as_ref().expect("a clock in the test's hand");
        shown.store(instant.0, Ordering::SeqCst);
    }

    /// The time it shows.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.0 {
            Some(shown) => Timestamp(shown.load(Ordering::SeqCst)),
            None => Clock::system().now(),
        }
    }

    /// The same clock, as the service reads it.
    pub(crate) fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now())
    }
}
