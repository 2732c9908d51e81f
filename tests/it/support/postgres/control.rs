//! What a test may do to a server of its own: stop it and start it again, pause it and let it go on.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, Server, create_database_at, is_ready};

/// How the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ends its sessions and writes down where it is.
    Fast,
    /// It just ends, and recovers when it is started.
    Immediate,
}

impl Server {
    /// A new, empty database on it.
    pub(crate) async fn create_database(&self) -> String {
        create_database_at(self.port).await
    }

    /// Stops it.
    pub(crate) fn stop(&self, how: Stop) {
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        signal_all(signal, &[self.main_process()]);
        let file = self.folder.join("data/postmaster.pid");
        self.wait_until("stop", || !file.exists());
    }

    /// Starts it again after a stop.
    pub(crate) fn start(&mut self) {
        let pipe = self.watch.stdin.as_mut().expect("a pipe");
        pipe.write_all(b"\n").expect("the shell reads");
        let folder = self.folder.clone();
        self.wait_until("start", || is_ready(&folder));
    }

    /// Stops all of its processes where they are (SIGSTOP), the main one first, so that no new ones come.
    pub(crate) fn pause(&self) {
        let main = self.main_process();
        signal_all("STOP", &[main]);
        signal_all("STOP", &children(main));
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        let main = self.main_process();
        signal_all("CONT", &children(main));
        signal_all("CONT", &[main]);
    }

    fn main_process(&self) -> u32 {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let file = file.expect("the server runs");
        let first = file.lines().next().expect("the first line is its id");
        first.trim().parse().expect("a number")
    }

    fn wait_until(&self, what: &str, is_done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_done() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("postgres did not {what}: {log}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Some may have ended by now, which is as good.
fn signal_all(signal: &str, processes: &[u32]) {
    Command::new("kill")
        .args(["-s", signal])
        .args(processes.iter().map(ToString::to_string))
        .stderr(Stdio::null())
        .status()
        .expect("kill runs");
}

/// The processes that this one started.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("the processes are listed");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process: &u32| {
            let told = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // After the name in parentheses: the state, then the parent.
            let rest = told.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}
