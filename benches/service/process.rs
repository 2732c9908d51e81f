//! The servers under test, each in a process of its own, and what they use of the machine.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use countersign::domain::caller::KeyDigest;
use tempfile::TempDir;

use super::tokens::PEPPER;

/// How many tokens a server keeps in memory, where that is said.
pub(crate) const CAPACITY_FLAG: &str = "--view-capacity";
/// The key of the first caller.
pub(crate) const KEY: &str = "csn_key_bench00000000000000000000000000000000000000";
/// How many callers there are.
pub(crate) const CALLERS: usize = 4;

const PATIENCE: Duration = Duration::from_secs(60);
/// What comes before the addresses in the log.
const LISTENS: &str = "gRPC listens on ";
const MEASURED: &str = "metrics and probes at http://";
/// What counts answers, by method and code.
const ANSWERS: &str = "rpc_server_call_duration_seconds_count";

/// A running server, killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    metrics: Option<SocketAddr>,
    _folder: TempDir,
}

/// The key of the caller with this number, of [`CALLERS`].
pub(crate) fn key_of(caller: usize) -> String {
    format!("csn_key_{:0<43}", format!("bench{caller}"))
}

impl Process {
    /// `countersign serve` on this database.
    pub(crate) fn serve(database_url: &str) -> Self {
        Self::serve_with(database_url, &[], &[])
    }

    /// The same, with these arguments and variables besides.
    pub(crate) fn serve_with(
        database_url: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("countersign.toml");
        fs::write(&file, configuration(database_url)).expect("the file is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .args(["serve", "--config"])
            .arg(&file)
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            // As the image has it.
            .env("MIMALLOC_PURGE_DELAY", "-1")
            .envs(variables.iter().copied());
        let (grpc, metrics) = (OnceLock::new(), Arc::new(OnceLock::new()));
        let told = Arc::clone(&metrics);
        let mut process = Self::spawn(command, folder, move |line| {
            if let Some(address) = address_after(line, LISTENS) {
                grpc.set(address).ok();
            }
            // The second one that is told.
            told.set(address_after(line, MEASURED)?).ok();
            grpc.get().copied()
        });
        process.metrics = metrics.get().copied();
        process
    }

    /// Whatever it is, once its log, on either output, tells where it listens.
    pub(crate) fn spawn(
        mut command: Command,
        folder: TempDir,
        address: impl Fn(&str) -> Option<SocketAddr> + Send + 'static,
    ) -> Self {
        let (log, output) = io::pipe().expect("a pipe");
        let same_output = output.try_clone().expect("another handle");
        command
            .stdin(Stdio::null())
            .stdout(same_output)
            .stderr(output);
        let child = command.spawn().expect("the server runs");
        // It holds this process's ends of the pipe, without which the log ends with the server.
        drop(command);
        let (found, addresses) = mpsc::channel();
        thread::spawn(move || follow(log, &found, address));
        let address = match addresses.recv_timeout(PATIENCE) {
            Ok(Ok(address)) => address,
            Ok(Err(log)) => panic!("it ended: {log}"),
            Err(_) => panic!("it does not listen"),
        };
        Self {
            child,
            address,
            metrics: None,
            _folder: folder,
        }
    }

    /// The time that its threads spent on a processor, user and system, in seconds. The scheduler tells it exactly; where
    /// it does not, the clock ticks of `stat` do.
    pub(crate) fn cpu(&self) -> f64 {
        let id = self.child.id();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let nanoseconds = tasks.flatten().map(|task| {
            let told = fs::read_to_string(task.path().join("schedstat")).ok()?;
            told.split_whitespace().next()?.parse::<f64>().ok()
        });
        // A thread that ended between listing and reading is no reason to give up.
        let total: f64 = nanoseconds.flatten().sum();
        if total > 0.0 {
            return total / 1e9;
        }
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks / 100.0
    }

    /// How many calls of this method ended so far, by code, as it counts them itself.
    pub(crate) fn answers(&self, path: &str) -> BTreeMap<String, u64> {
        let address = self.metrics.expect("it tells where its metrics are");
        let mut stream = TcpStream::connect(address).expect("metrics are served");
        let request = "GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let method = format!("\"{}\"", path.trim_start_matches('/'));
        let counted = text.lines().filter_map(|line| {
            let (labels, count) = line.strip_prefix(ANSWERS)?.rsplit_once(' ')?;
            let (_, code) = labels.split_once("code=\"")?;
            let (code, _) = code.split_once('"')?;
            let is_it = labels.contains(&method);
            is_it.then(|| (code.to_owned(), count.parse().expect("a count")))
        });
        counted.collect()
    }

    /// The memory that it has now, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<f64>().ok())
            .expect("the system tells")
            * 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads the log to its end, so that the process never waits for a full pipe.
fn follow(
    output: impl Read,
    found: &mpsc::Sender<Result<SocketAddr, String>>,
    address: impl Fn(&str) -> Option<SocketAddr>,
) {
    let mut log = String::new();
    let mut is_found = false;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if is_found {
            continue;
        }
        if let Some(address) = address(&line) {
            is_found = true;
            found.send(Ok(address)).ok();
        }
        log.push_str(&line);
        log.push('\n');
    }
    if !is_found {
        found.send(Err(log)).ok();
    }
}

/// The log is JSON where nobody watches, so more may follow an address.
fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let is_address = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    let end = rest.find(|c| !is_address(c)).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn configuration(database_url: &str) -> String {
    let mut text = format!(
        "listen_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\ndrain_delay = \"0s\"\n\
         database_url = \"{database_url}\"\npeppers = \"{PEPPER}\"\n"
    );
    for caller in 0..CALLERS {
        let digest = KeyDigest::of(&key_of(caller));
        text += &format!(
            "\n[[callers]]\nname = \"bench{caller}\"\nkey_digests = [\"{digest}\"]\nacts_for = \"platform\"\n\
             grants = [\"authorize\", \"tokens.issue\", \"tokens.revoke\", \"tokens.read\"]\n"
        );
    }
    text
}
