//! How much time has passed, on a clock that also runs while the machine sleeps and that nobody can set.

use std::time::Duration;

use rustix::time::ClockId;

use super::sync::clock_gettime;

/// Nanoseconds since the machine was started (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BootTime(pub(super) u64);

impl BootTime {
    /// Before everything: what has this age is too old for anything.
    pub(super) const NEVER: Self = Self(0);

    pub(super) fn now() -> Self {
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let time = clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds * 1_000_000_000 + nanos)
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
