//! The command itself, through the real binary: how a wrong configuration is told, the commands that only print, those that
//! talk to a running service, and the exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should fail"
)]

mod configuration;
mod connection;
mod decisions;
mod directory;
mod fault_cases;
mod faults;
mod inspect;
mod manual;
mod person;
mod rotation;
mod tokens;

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use countersign::domain::{caller::KeyDigest, pepper::PepperRing, policy::Policy};
use tempfile::TempDir;

const PEPPER: &str = "p1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const DIGEST: &str = "blake3:0000000000000000000000000000000000000000000000000000000000000001";

/// A directory to run the command in, with an environment of its own.
struct Bench {
    directory: TempDir,
    env: Vec<(String, String)>,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            env: Vec::new(),
        }
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the command to its end. One that should have refused and serves instead is killed.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(arguments)
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(2));
        }
        child.wait_with_output().unwrap()
    }
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// A configuration that `serve` would accept, with these lines besides: the first is line 4.
fn serve_file(extra: &str) -> String {
    format!(
        "listen_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\npeppers = \"{PEPPER}\"\n{extra}\n\
         [[callers]]\nname = \"bookings\"\nkey_digests = [\"{DIGEST}\"]\ngrants = [\"authorize\"]\n"
    )
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    let bench = Bench::new();
    for arguments in [
        &[][..],
        &["srve"],
        &["serve", "--stalenes-bound", "1s"],
        &["migrate", "--peppers", PEPPER],
        &["policy", "check"],
    ] {
        assert_eq!(
            bench.run(arguments).status.code(),
            Some(64),
            "{arguments:?}"
        );
    }
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["dev", "--help"],
        &["help", "serve"],
    ] {
        assert_eq!(bench.run(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn help_tells_flag_variable_and_default_of_a_key() {
    let output = Bench::new().run(&["serve", "--help"]);
    // Lines are wrapped to the terminal.
    let help = stdout(&output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for fragment in [
        "one whose own is smaller uses that [default: 1s] [env: COUNTERSIGN_STALENESS_BOUND]",
        "[default: 0.0.0.0:50051] [env: COUNTERSIGN_LISTEN_ADDR]",
        "[env: COUNTERSIGN_TLS_CERT_FILE]",
        "[env: COUNTERSIGN_CONFIG]",
    ] {
        assert!(help.contains(fragment), "{fragment}\n{help}");
    }
}

#[test]
fn an_address_in_use_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let bench = Bench::new().file("c.toml", &serve_file(""));
    let output = bench.run(&["serve", "--config", "c.toml", "--listen-addr", &address]);
    assert_eq!(output.status.code(), Some(1));
    let told = format!(
        "error: cannot listen on `{address}`, the `listen_addr`: Address already in use (os error 98)\n"
    );
    assert_eq!(stderr(&output), told);

    let free = ["--listen-addr", "127.0.0.1:0", "--metrics-addr", &address];
    let output = bench.run(&[&["serve", "--config", "c.toml"][..], &free].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = format!(
        "error: cannot listen on `{address}`, the `metrics_addr`: Address already in use (os error 98)\n"
    );
    assert_eq!(stderr(&output), told);
}

#[test]
fn new_key_and_its_digest_belong_together() {
    let output = Bench::new().run(&["key", "new"]);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<_> = stdout(&output).lines().collect();
    let key = lines[0].strip_prefix("key: ").unwrap();
    let digest = lines[1].strip_prefix("digest: ").unwrap();
    assert!(key.starts_with("csn_key_") && key.len() == 51, "{key}");
    assert_eq!(KeyDigest::of(key).to_string(), digest);
    assert_eq!(lines.len(), 2);
}

#[test]
fn new_pepper_is_one_the_configuration_takes() {
    let bench = Bench::new();
    let today = bench.run(&["pepper", "new"]);
    let id = PepperRing::parse(stdout(&today))
        .unwrap()
        .active()
        .id()
        .to_owned();
    assert!(id.starts_with("p20") && id.len() == 9, "{id}");

    let named = bench.run(&["pepper", "new", "--id", "autumn"]);
    assert!(stdout(&named).starts_with("autumn:"));
    assert_eq!(stdout(&named).lines().count(), 1);

    let refused = bench.run(&["pepper", "new", "--id", "a:b"]);
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(stdout(&refused), "");
}

#[test]
fn policy_show_prints_the_embedded_policy_or_the_configured_one() {
    let small =
        "[resources.bookings]\nverbs = [\"read\"]\n[roles.member]\nown = [\"bookings.read\"]\n";
    let bench = Bench::new().file("small.toml", small);
    let embedded = Policy::embedded().unwrap();
    let shown = bench.run(&["policy", "show"]);
    assert_eq!(
        stdout(&shown),
        format!("{embedded}hash: {}\n", embedded.hash())
    );

    let shown = bench
        .env("COUNTERSIGN_POLICY_FILE", "small.toml")
        .run(&["policy", "show"]);
    let policy = Policy::parse(small).unwrap();
    assert_eq!(stdout(&shown), format!("{policy}hash: {}\n", policy.hash()));
}

#[test]
fn policy_check_accepts_or_tells_every_fault_with_its_line() {
    let good = "[resources.bookings]\nverbs = [\"read\"]\n[roles.member]\n";
    let bad = "[resources.bookings]\nverbs = [\"read\"]\n[roles.member]\nown = [\"users.delete\",\n\"boats.read\"]\n";
    let bench = Bench::new().file("good.toml", good).file("bad.toml", bad);

    let output = bench.run(&["policy", "check", "good.toml"]);
    let hash = Policy::parse(good).unwrap().hash().to_owned();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("ok\nhash: {hash}\n"));

    let output = bench.run(&["policy", "check", "bad.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "bad.toml:4: `users.delete` is above what any token may do\n\
         bad.toml:5: `boats.read` matches no declared action\n"
    );

    let output = bench.run(&["policy", "check", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot read `nowhere.toml`: "));
}
