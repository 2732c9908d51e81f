//! Halves of the machine's processors, for what shall not take each other's time, and who comes first on one.

use std::{process::Command, sync::OnceLock, thread};

use rustix::{
    process::setpriority_process,
    thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity},
};

/// How far behind others, by the `nice` of POSIX.
const NICENESS: i32 = 10;

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
    let chosen = match (half, all.split_at(all.len() / 2)) {
        (_, ([], only)) | (Half::Others, (_, only)) => only,
        (Half::Server, (first, _)) => first,
    };
    let mut set = CpuSet::new();
    chosen.iter().for_each(|processor| set.set(*processor));
    sched_setaffinity(None, &set).expect("they are there");
    let outcome = run();
    sched_setaffinity(None, &before).expect("they are there");
    outcome
}

/// Has this thread, and all that it starts from now on, come after all others that want a processor.
pub(crate) fn yield_to_others() {
    setpriority_process(None, NICENESS).expect("anyone may come later");
    // By its niceness it would still keep others waiting until its slice is over, a millisecond or two, unless it is one of
    // those that run when nothing else does.
    let id = gettid().as_raw_pid().to_string();
    let chrt = ["--idle", "--pid", "0", &id];
    let is_idle = Command::new("chrt").args(chrt).status();
    assert!(
        is_idle.is_ok_and(|status| status.success()),
        "chrt, of util-linux, is missing"
    );
}

/// Runs this, and has all that it starts run, behind all others.
pub(crate) fn behind_others<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let yielding = || {
        yield_to_others();
        run()
    };
    thread::scope(|scope| scope.spawn(yielding).join().expect("no panic"))
}

/// The numbers of those that there were before any half was taken.
fn first_set() -> &'static [usize] {
    static FIRST: OnceLock<Vec<usize>> = OnceLock::new();
    FIRST.get_or_init(|| {
        let set = sched_getaffinity(None).expect("the system tells");
        (0..CpuSet::MAX_CPU).filter(|i| set.is_set(*i)).collect()
    })
}
