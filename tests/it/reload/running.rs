//! The real binary in a folder of files that the test rewrites, watched through its metrics port and its log.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use countersign::domain::caller::KeyDigest;
use serde_json::Value;

use crate::support::{
    client::Client,
    process::Process,
    server::{PEPPER, PLATFORM, key_of},
};

/// How long anything may take that must come. Files are looked at every two seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `countersign serve`.
pub(crate) struct Running {
    pub(crate) process: Process,
}

/// How many reloads were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reloads {
    pub(crate) applied: u64,
    pub(crate) refused: u64,
}

/// A configuration with an embedded database, the platform as its caller, the first pepper unless others are given, and
/// these lines besides.
pub(crate) fn file(more: &str) -> String {
    let peppers = match more.contains("peppers") {
        true => String::new(),
        false => format!("peppers = \"{PEPPER}\"\n"),
    };
    let addresses = match more.contains("listen_addr") {
        true => "",
        false => "listen_addr = \"127.0.0.1:0\"\n",
    };
    format!(
        "{addresses}metrics_addr = \"127.0.0.1:0\"\ndatabase_url = \"sqlite://countersign.db\"\n{peppers}{more}\n\
         [[callers]]\nname = \"{PLATFORM}\"\nkey_digests = [\"{}\"]\nacts_for = \"platform\"\n\
         grants = [\"authorize\", \"tokens.issue\", \"tokens.revoke\", \"directory.write\"]\n",
        KeyDigest::of(&key_of(PLATFORM))
    )
}

/// Replaces a file at once, as careful editors do.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the new file is written");
    fs::rename(&new, path).expect("it takes the old one's place");
}

/// Waits for what must come.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a metrics port says.
pub(crate) fn scrape(address: SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).expect("the metrics port is open");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let sent = connection.write_all(request.as_bytes());
    sent.expect("the request is sent");
    let mut answer = String::new();
    let read = connection.read_to_string(&mut answer);
    read.expect("the answer is text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// The value of the sample that begins so.
pub(crate) fn sample(scrape: &str, name: &str) -> Option<u64> {
    let value = scrape.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// The hashes of the policies that the metrics name.
pub(crate) fn policies(scrape: &str) -> Vec<&str> {
    let samples = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("countersign_policy_info{hash=\""));
    let hashes = samples.map(|rest| rest.strip_suffix("\"} 1").expect("a hash and 1"));
    hashes.collect()
}

impl Running {
    /// In a folder with this configuration and these files.
    pub(crate) fn start(configuration: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let all = [&[("countersign.toml", configuration)], files].concat();
        for (name, text) in all {
            fs::write(folder.path().join(name), text).expect("the file is written");
        }
        let arguments = ["--config", "countersign.toml"];
        Self {
            process: Process::serve_in(folder, &arguments),
        }
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.process.folder().join(name)
    }

    /// Gives one of its files this text.
    pub(crate) fn write(&self, name: &str, text: &str) {
        replace(&self.path(name), text);
    }

    /// Has it read its files again.
    pub(crate) fn hang_up(&self) {
        self.process.send("HUP");
    }

    /// What its metrics port says.
    pub(crate) fn scrape(&self) -> String {
        scrape(self.process.metrics_address())
    }

    /// How many reloads it has made so far.
    pub(crate) fn reloads(&self) -> Reloads {
        let scrape = self.scrape();
        let count = |outcome: &str| {
            let name = format!("countersign_reloads_total{{outcome=\"{outcome}\"}}");
            sample(&scrape, &name).expect("it is there from the first scrape")
        };
        Reloads {
            applied: count("APPLIED"),
            refused: count("REFUSED"),
        }
    }

    /// Waits for one more reload, and asserts that it was taken, or that it was not.
    pub(crate) fn one_more(&self, before: Reloads, is_applied: bool) -> Reloads {
        until("another reload", || self.reloads() != before);
        let mut expected = before;
        match is_applied {
            true => expected.applied += 1,
            false => expected.refused += 1,
        }
        assert_eq!(self.reloads(), expected, "{}", self.process.log());
        expected
    }

    /// Gives a file this text and has it read at once, until what must come of it has. It may be read twice, where it is
    /// looked at between the two.
    pub(crate) fn take(&self, name: &str, text: &str, what: &str, has_come: impl FnMut() -> bool) {
        self.write(name, text);
        self.hang_up();
        until(what, has_come);
    }

    /// The lines of its log.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let log = self.process.log();
        let lines = log.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("an object a line")).collect()
    }

    /// Its lines at this level, each as what it says and its error, if it has one.
    pub(crate) fn said(&self, level: &str) -> Vec<(String, String)> {
        let lines = self.lines();
        let lines = lines.iter().filter(|line| line["level"] == level);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines
            .map(|line| (text(&line["message"]), text(&line["error"])))
            .collect()
    }

    /// The platform's connection.
    pub(crate) fn client(&self) -> Client {
        self.process.client_with_key(Some(&key_of(PLATFORM)))
    }
}
