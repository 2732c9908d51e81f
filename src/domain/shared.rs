//! Parts of records that change where the record is shared.

#[cfg(not(all(test, feature = "shuttle")))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicI64, Ordering};

// So that the tests of the view's core try out when it is set, as with what the view has itself (`view::sync`).
#[cfg(all(test, feature = "shuttle"))]
use shuttle::sync::atomic::AtomicBool;

use super::time::Timestamp;

/// An instant that only moves on, also where it is shared.
#[derive(Debug)]
pub struct Latest(AtomicI64);

impl Latest {
    /// This one.
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.0))
    }

    /// The latest so far.
    pub fn get(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    /// Moves it on to this one, if that is later.
    pub fn extend(&self, at: Timestamp) {
        // Written only where that changes anything, so that those who do it do not take the line from each other.
        if self.get() < at {
            // In one order with the marks: see `Mark::clear`.
            self.0.fetch_max(at.0, Ordering::SeqCst);
        }
    }
}

impl Clone for Latest {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl PartialEq for Latest {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Latest {}

/// Something that is so or not, also where it is shared. A copy begins anew, as what it is about is the one it is in.
#[derive(Debug, Default)]
pub struct Mark(AtomicBool);

impl Mark {
    /// Sets it, and tells whether it was not set before.
    pub fn set(&self) -> bool {
        // As above: mostly it is set.
        !self.0.load(Ordering::SeqCst) && !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Takes it away. Who sets something down, and then finds the mark set, is sure that whoever takes it away sees that
    /// afterwards.
    pub fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Clone for Mark {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// No record differs from another by it.
impl PartialEq for Mark {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Mark {}
