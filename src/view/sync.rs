//! What the view's core synchronizes with and tells the time by.
//!
//! Everything in here has a second form, for the tests that try out the orders in which threads may go on (`memory::races`):
//! Shuttle's, which lets a scheduler choose who goes on at each use, and a clock that passes only when it is read, so that
//! a schedule can be played again.

#[cfg(not(all(test, feature = "shuttle")))]
pub(super) use {
    arc_swap::ArcSwapOption,
    rustix::time::clock_gettime,
    std::sync::{
        Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, fence},
    },
};

#[cfg(all(test, feature = "shuttle"))]
pub(super) use {
    modelled::{ArcSwapOption, clock_gettime},
    shuttle::sync::{
        Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, fence},
    },
};

#[cfg(all(test, feature = "shuttle"))]
mod modelled {
    use std::{
        cell::Cell,
        sync::{Arc, PoisonError},
    };

    use rustix::time::{ClockId, Timespec};

    use super::{Mutex, MutexGuard};

    /// As much of `arc_swap`'s as is used. A lock does in one step, too, what that does without one.
    pub(in crate::view) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

    impl<T> ArcSwapOption<T> {
        pub(in crate::view) fn empty() -> Self {
            Self(Mutex::new(None))
        }

        pub(in crate::view) fn load(&self) -> Option<Arc<T>> {
            self.lock().clone()
        }

        pub(in crate::view) fn store(&self, value: Option<Arc<T>>) {
            *self.lock() = value;
        }

        fn lock(&self) -> MutexGuard<'_, Option<Arc<T>>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    thread_local! {
        /// Of a test: Shuttle's threads are all of one of the system's.
        static NANOSECONDS: Cell<i64> = const { Cell::new(0) };
    }

    /// A second after the start, and a nanosecond more each time.
    pub(in crate::view) fn clock_gettime(_: ClockId) -> Timespec {
        let tv_nsec = NANOSECONDS.get() + 1;
        NANOSECONDS.set(tv_nsec);
        Timespec { tv_sec: 1, tv_nsec }
    }
}
