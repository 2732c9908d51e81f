//! The real binary, in a process of its own: for what only an end without warning, a signal or the output can show.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::{
    client::Client,
    database::TestDatabase,
    server::{BOOKINGS, DASHBOARD, PEPPER, PLATFORM, key_of},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the log says before the address.
const LISTENING: [&str; 2] = ["listens on ", "listening on "];
/// What it says before the address of the metrics port.
const METRICS: [&str; 1] = ["metrics and probes at http://"];

/// A running `countersign`, killed when dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    metrics_address: SocketAddr,
    log: Arc<Mutex<String>>,
    /// What came on standard output, which `dev` answers on.
    printed: Arc<Mutex<Vec<u8>>>,
    /// The answer of `dev --output json`.
    output: Value,
    /// What collects the log and the output.
    readers: Vec<thread::JoinHandle<()>>,
    folder: TempDir,
}

/// The binary, with nothing of this process's environment but the path.
pub(crate) fn countersign(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    folder: &TempDir,
) -> Command {
    command_of(this_release(), arguments, folder)
}

/// The binary of the code under test.
pub(crate) fn this_release() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_countersign"))
}

/// That of another release, likewise.
pub(crate) fn command_of(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    folder: &TempDir,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Process {
    /// `serve` on this database, which on PostgreSQL must be migrated, with the callers of a default
    /// [`super::server::Setup`]. `more` is added at the top of the configuration file.
    pub(crate) fn serve(database: &TestDatabase, more: &str) -> Self {
        Self::serve_with(database, more, &[])
    }

    /// The same, by the binary of another release.
    pub(crate) fn serve_by(program: &Path, database: &TestDatabase, more: &str) -> Self {
        let (folder, arguments) = configured(database, more);
        Self::spawn(command_of(program, arguments, &folder), folder, false)
    }

    /// The same, with these variables in its environment.
    pub(crate) fn serve_with(
        database: &TestDatabase,
        more: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let (folder, arguments) = configured(database, more);
        let mut command = countersign(arguments, &folder);
        command.envs(variables.iter().copied());
        Self::spawn(command, folder, false)
    }

    /// `serve` in this folder, with these arguments besides: the configuration is the test's own.
    pub(crate) fn serve_in(folder: TempDir, arguments: &[&str]) -> Self {
        let command = countersign([&["serve"], arguments].concat(), &folder);
        Self::spawn(command, folder, false)
    }

    /// `dev`, with a new embedded database.
    pub(crate) fn dev() -> Self {
        Self::dev_at("info")
    }

    /// The same, at this level of the log.
    pub(crate) fn dev_at(level: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = "127.0.0.1:0";
        let arguments = ["dev", "--output", "json", "--listen-addr", free];
        let more = ["--metrics-addr", free, "--log", level];
        let command = countersign(arguments.into_iter().chain(more), &folder);
        Self::spawn(command, folder, true)
    }

    /// What this command starts, which says on standard error where it listens. `answers`: and prints JSON.
    pub(super) fn spawn(mut command: Command, folder: TempDir, answers: bool) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, addresses) = mpsc::channel();
        let (found_metrics, metrics_addresses) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let shared = Arc::clone(&log);
        let log_reader = thread::spawn(move || {
            follow(stderr.expect("a pipe"), &shared, &found, &found_metrics);
        });
        let (answer, answered) = mpsc::channel();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&printed);
        let output_reader = thread::spawn(move || {
            let mut stdout = Copying(stdout.expect("a pipe"), copy);
            let mut values = serde_json::Deserializer::from_reader(&mut stdout).into_iter();
            if let Some(Ok(value)) = values.next() {
                answer.send(value).ok();
            }
            drop(values);
            // Read to the end, so that the process never waits for a full pipe.
            stdout.read_to_end(&mut Vec::new()).ok();
        });
        let said = |log: &Arc<Mutex<String>>| log.lock().expect("the log").clone();
        let address = addresses
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("it does not listen: {}", said(&log)));
        let metrics_address = metrics_addresses
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("it has no metrics: {}", said(&log)));
        let output = match answers {
            false => Value::Null,
            true => answered
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("it prints no JSON: {}", said(&log))),
        };
        Self {
            child,
            address,
            metrics_address,
            log,
            printed,
            output,
            readers: vec![log_reader, output_reader],
            folder,
        }
    }

    /// Where it runs; `dev` keeps its database there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// What `dev --output json` printed.
    pub(crate) fn output(&self) -> &Value {
        &self.output
    }

    /// The memory that it has now, in KiB, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// What it printed on standard output so far.
    pub(crate) fn printed(&self) -> Vec<u8> {
        self.printed.lock().expect("the output").clone()
    }

    /// Whoever shows this key, or none.
    pub(crate) fn client_with_key(&self, key: Option<&str>) -> Client {
        let channel: Channel = Endpoint::from_shared(format!("http://{}", self.address))
            .expect("an address")
            .connect_lazy();
        Client::new(&channel, key)
    }

    /// `serve` on a database from which it must refuse to: its exit code and all that it said.
    pub(crate) fn refused(database: &TestDatabase) -> (Option<i32>, String) {
        let (folder, arguments) = configured(database, "");
        let mut child = countersign(arguments, &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                child.kill().expect("it serves, and must not");
            }
            thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("its output");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("it is text");
        (output.status.code(), said)
    }

    /// Asks it to end (SIGTERM) and waits until it has, or ends it without warning (SIGKILL).
    pub(crate) fn signal(&mut self, signal: &str) -> ExitStatus {
        self.send(signal);
        self.wait()
    }

    /// Sends it a signal.
    pub(crate) fn send(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "the process is there to be told");
    }

    /// Waits until it has ended, and all that it said has been read.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                for reader in self.readers.drain(..) {
                    reader.join().expect("it reads to the end");
                }
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end: {}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads, and keeps a copy of what was read.
struct Copying<R>(R, Arc<Mutex<Vec<u8>>>);

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.read(buffer)?;
        let mut copy = self.1.lock().expect("the output");
        copy.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

/// Collects the log, and sends the addresses that it tells.
fn follow(
    stderr: impl Read,
    log: &Mutex<String>,
    found: &mpsc::Sender<SocketAddr>,
    found_metrics: &mpsc::Sender<SocketAddr>,
) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        if let Some(address) = address_in(&line, &LISTENING) {
            found.send(address).ok();
        }
        if let Some(address) = address_in(&line, &METRICS) {
            found_metrics.send(address).ok();
        }
        let mut log = log.lock().expect("the log");
        log.push_str(&line);
        log.push('\n');
    }
}

fn address_in(line: &str, after: &[&str]) -> Option<SocketAddr> {
    let (_, rest) = after.iter().find_map(|words| line.split_once(words))?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// A folder with a configuration for this database, and the arguments to serve by it.
fn configured(database: &TestDatabase, more: &str) -> (TempDir, [String; 3]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = "countersign.toml";
    let text = configuration(database, more);
    fs::write(folder.path().join(name), text).expect("the file is written");
    (folder, ["serve", "--config", name].map(str::to_owned))
}

fn configuration(database: &TestDatabase, more: &str) -> String {
    use countersign::domain::caller::KeyDigest;

    let mut file = format!(
        "{more}\nlisten_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\n\
         database_url = \"{}\"\npeppers = \"{PEPPER}\"\n",
        database.url()
    );
    if !more.contains("drain_delay") {
        file.push_str("drain_delay = \"0s\"\n");
    }
    let all = "\"authorize\", \"tokens.issue\", \"tokens.revoke\", \"tokens.read\", \
               \"directory.read\", \"directory.write\", \"events.read\"";
    for (name, grants, acts_for) in [
        (PLATFORM, all, "platform"),
        (DASHBOARD, all, "members"),
        (BOOKINGS, "\"authorize\"", "members"),
    ] {
        let digest = KeyDigest::of(&key_of(name));
        file.push_str(&format!(
            "\n[[callers]]\nname = \"{name}\"\nkey_digests = [\"{digest}\"]\n\
             grants = [{grants}]\nacts_for = \"{acts_for}\"\n"
        ));
    }
    file
}

#[test]
fn the_address_is_read_from_the_log_line_whatever_surrounds_it() {
    let expected = Some(SocketAddr::from(([127, 0, 0, 1], 41_234)));
    let grpc_in = |line: &str| address_in(line, &LISTENING);
    assert_eq!(grpc_in("INFO x: listening on 127.0.0.1:41234"), expected);
    assert_eq!(grpc_in("listening on 127.0.0.1:41234 tls=off"), expected);
    assert_eq!(grpc_in("gRPC listens on 127.0.0.1:41234"), expected);
    let json = "{\"message\":\"gRPC listens on 127.0.0.1:41234\"}";
    assert_eq!(grpc_in(json), expected);
    assert_eq!(grpc_in("listening for news"), None);
    let metrics = "metrics and probes at http://127.0.0.1:41234";
    assert_eq!(address_in(metrics, &METRICS), expected);
    assert_eq!(grpc_in(metrics), None);
}
