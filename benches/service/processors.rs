//! Halves of the machine's processors, for what shall not take each other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Whose half.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    /// The server's under test.
    Server,
    /// That of whatever calls it, and of its database where that is another process.
    Others,
}

/// Runs this, and has all that it starts run, on one half of the processors that there are. On all, where there is one.
pub(crate) fn on<T>(half: Half, run: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the system tells");
    let all = first_set();
    let chosen = match half {
        Half::Server => &all[..all.len().div_ceil(2)],
        Half::Others => &all[all.len() / 2..],
    };
    let mut set = CpuSet::new();
    chosen.iter().for_each(|processor| set.set(*processor));
    sched_setaffinity(None, &set).expect("they are there");
    let outcome = run();
    sched_setaffinity(None, &before).expect("they are there");
    outcome
}

/// The numbers of those that this process had when it started: its first thread's never change.
fn first_set() -> Vec<usize> {
    static FIRST: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    FIRST
        .get_or_init(|| {
            let set = sched_getaffinity(None).expect("the system tells");
            (0..CpuSet::MAX_CPU).filter(|i| set.is_set(*i)).collect()
        })
        .clone()
}
