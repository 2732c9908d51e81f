//! A person at a terminal that is none: the command, run to its end against a running server, with its output in pipes.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    database::{Backend, TestDatabase},
    process::{Process, countersign},
    server::key_of,
};

/// Someone with a server and a folder.
pub(super) struct Person {
    pub(super) process: Process,
    _database: Option<TestDatabase>,
    folder: TempDir,
    env: Vec<(&'static str, String)>,
}

/// What a command did.
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Person {
    /// With an open server and the demo workspace.
    pub(super) fn with_dev() -> Self {
        Self::new(Process::dev(), None)
    }

    /// With a server that wants service keys.
    pub(super) async fn with_serve() -> Self {
        let database = TestDatabase::create(Backend::Sqlite).await.unwrap();
        Self::new(Process::serve(&database, ""), Some(database))
    }

    fn new(process: Process, database: Option<TestDatabase>) -> Self {
        Self {
            env: vec![("COUNTERSIGN_SERVER", process.address().to_string())],
            process,
            _database: database,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a variable set to this, or not at all.
    pub(super) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.retain(|(other, _)| *other != name);
        self.env.push((name, value.to_owned()));
        self
    }

    /// With the key of the caller of this name in the environment.
    pub(super) fn calling_as(self, caller: &str) -> Self {
        let key = key_of(caller);
        self.env("COUNTERSIGN_KEY", &key)
    }

    /// Writes a file and tells its path.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The token that `dev` issued for a member.
    pub(super) fn token_of(&self, member: &str) -> String {
        let members = self.process.output()["members"].as_array().unwrap();
        let found = members.iter().find(|m| m["member_id"] == member).unwrap();
        found["token"].as_str().unwrap().to_owned()
    }

    /// Runs a command, its words separated by blanks, with nothing on its standard input.
    pub(super) fn run(&self, command: &str) -> Done {
        self.run_with(command, "")
    }

    /// Runs a command with this on its standard input.
    pub(super) fn run_with(&self, command: &str, stdin: &str) -> Done {
        let mut prepared = countersign(command.split(' '), &self.folder);
        prepared.envs(self.env.iter().map(|(name, value)| (name, value)));
        run(prepared, stdin)
    }

    /// Runs a command that succeeds and answers JSON on one line.
    pub(super) fn json(&self, command: &str) -> Value {
        self.json_with(command, "")
    }

    /// The same, with this on its standard input.
    pub(super) fn json_with(&self, command: &str, stdin: &str) -> Value {
        let done = self.run_with(&format!("{command} --output json"), stdin);
        assert_eq!(done.code, Some(0), "{command}: {}", done.stderr);
        done.json()
    }
}

impl Done {
    /// Its standard output, which is one line of JSON.
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Fails unless it ended with this code, printed nothing, and told exactly this.
    pub(super) fn must_fail(&self, code: i32, told: &str) {
        assert_eq!(self.stderr, told);
        assert_eq!(self.code, Some(code), "{told}");
        assert_eq!(self.stdout, "");
    }
}

/// Runs a prepared command to its end.
pub(super) fn run(mut command: Command, stdin: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read it may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Done {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
