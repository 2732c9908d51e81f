//! The threads of the embedded database, which have no processors but those that decisions are made on.

use std::{fs, path::Path};

use rustix::process::{Pid, setpriority_process};

/// How far the priority of threads that work with a database is below that of all else, by the `nice` of POSIX: where both
/// want a processor they have a tenth of it. Without, a decision that memory can make waits for them by several
/// milliseconds when the database is asked for more than it can do.
pub(super) const NICENESS: i32 = 10;
/// What they are called begins with this.
const NAMED: &str = "csn-sqlite-";
/// Where Linux lists the threads of a process. Elsewhere threads have no priority of their own, and keep that of all.
const THREADS: &str = "/proc/self/task";

/// What the thread with this number is called.
pub(super) fn thread_name(number: u64) -> String {
    format!("{NAMED}{number}")
}

/// Has those that there are by now come after all else.
pub(super) fn yield_processors() {
    let Ok(threads) = fs::read_dir(THREADS) else {
        return;
    };
    for thread in threads.flatten() {
        if let Some(id) = id_of_ours(&thread.path()) {
            yield_thread(Some(id));
        }
    }
}

/// Has a thread, this one unless told, come after all else.
pub(super) fn yield_thread(id: Option<Pid>) {
    // The system may forbid it, and it is as good as any then.
    setpriority_process(id, NICENESS).ok();
}

fn id_of_ours(thread: &Path) -> Option<Pid> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    let id = thread.file_name()?.to_str()?.parse().ok()?;
    Pid::from_raw(id).filter(|_| name.starts_with(NAMED))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{sync::mpsc, thread};

    use rustix::{process::getpriority_process, thread::gettid};

    use super::*;

    #[test]
    fn only_threads_of_the_database_yield() -> Result<(), Box<dyn std::error::Error>> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let named = thread::Builder::new().name(thread_name(12));
        let database = named.spawn(move || {
            tell.send(gettid()).ok();
            stopped.recv().ok();
        })?;
        let database_id = told.recv()?;
        let before = getpriority_process(Some(gettid()))?;
        yield_processors();
        assert_eq!(getpriority_process(Some(database_id))?, NICENESS);
        assert_eq!(getpriority_process(Some(gettid()))?, before);
        drop(stop);
        database.join().map_err(|_| "it panicked")?;
        Ok(())
    }
}
