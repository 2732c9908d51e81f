//! The README tells the truth: its session is what the real grpcurl prints, its policy what the binary prints, its table
//! of dependencies what `Cargo.toml` has, its keys what `--help` has.
//!
//! With `COUNTERSIGN_TEST_UPDATE_README` set, the session and the policy are written into it instead.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{
    process::{Process, countersign},
    tools,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const ADDRESS: &str = "127.0.0.1:50051";

#[test]
fn its_session_is_what_grpcurl_prints() {
    if tools::require_tool("grpcurl").is_none() {
        return;
    }
    let written = Part::read("session");
    let mut session = Session::start();
    let printed: String = written
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(|command| session.run(command))
        .collect();
    assert!(
        session.calls >= 8,
        "the session has {} calls",
        session.calls
    );
    written.must_be(&format!("```console\n{printed}```\n"));
}

#[test]
fn its_policy_is_what_the_binary_prints() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = countersign(["policy", "show"], &folder).output();
    let printed = succeeded(&output.expect("the binary runs"));
    Part::read("policy").must_be(&format!("```text\n{printed}```\n"));
}

#[test]
fn its_dependencies_are_those_of_the_manifest() {
    let manifest = include_str!("../../Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    let readme = fs::read_to_string(PATH).expect("the README is there");
    let (_, table) = readme
        .split_once("| dependency | why |")
        .expect("the table");
    let told: Vec<&str> = table
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let mut used: Vec<&String> = ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .flat_map(|section| manifest[*section].as_table().expect("a table").keys())
        .collect();
    used.sort();
    used.dedup();
    for name in &used {
        assert!(told.contains(&name.as_str()), "`{name}` is not told of");
    }
    for name in told {
        assert!(
            used.iter().any(|used| *used == name),
            "`{name}` is not used"
        );
    }
}

#[test]
fn its_table_of_keys_has_every_flag_of_serve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = countersign(["serve", "--help"], &folder).output();
    let help = succeeded(&output.expect("the binary runs"));
    let readme = fs::read_to_string(PATH).expect("the README is there");
    let mut flags = 0;
    for line in help.lines() {
        let Some(flag) = line.trim_start().strip_prefix("--") else {
            continue;
        };
        let key = flag.split(' ').next().unwrap_or_default().replace('-', "_");
        // The parts of `tls` come with TLS.
        if !key.starts_with("tls_") && line.starts_with("      --") {
            flags += 1;
            assert!(
                readme.contains(&format!("`{key}`")),
                "`{key}` is not told of"
            );
        }
    }
    assert!(flags >= 15, "only {flags} flags were found in the help");
}

/// A part of the README between two markers.
struct Part {
    name: &'static str,
    text: String,
}

impl Part {
    fn read(name: &'static str) -> Self {
        let readme = fs::read_to_string(PATH).expect("the README is there");
        let (_, rest) = readme
            .split_once(&begin(name))
            .expect("the part begins somewhere");
        let (text, _) = rest
            .split_once(&end(name))
            .expect("the part ends somewhere");
        Self {
            name,
            text: text.to_owned(),
        }
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Equal but for what differs from run to run.
    fn must_be(&self, printed: &str) {
        if env::var_os("COUNTERSIGN_TEST_UPDATE_README").is_some() {
            let readme = fs::read_to_string(PATH).expect("the README is there");
            let (before, rest) = readme.split_once(&begin(self.name)).expect("a beginning");
            let (_, after) = rest.split_once(&end(self.name)).expect("an end");
            let (begin, end) = (begin(self.name), end(self.name));
            fs::write(PATH, format!("{before}{begin}{printed}{end}{after}"))
                .expect("it is written");
            return;
        }
        let mask = |text: &str| text.lines().map(mask_line).collect::<Vec<_>>().join("\n");
        assert_eq!(mask(&self.text), mask(printed), "the README differs");
    }
}

fn begin(name: &str) -> String {
    format!("<!-- {name}:begin -->\n")
}

fn end(name: &str) -> String {
    format!("<!-- {name}:end -->")
}

/// A running `dev`, and the variables of the shell that talks to it.
struct Session {
    process: Process,
    variables: BTreeMap<String, String>,
    last: Value,
    calls: usize,
}

impl Session {
    fn start() -> Self {
        Self {
            process: Process::dev(),
            variables: BTreeMap::new(),
            last: Value::Null,
            calls: 0,
        }
    }

    /// Runs one line and tells it together with what it printed. An assignment takes its value from where a reader would:
    /// the output of `dev`, or the answer just printed.
    fn run(&mut self, command: &str) -> String {
        if let Some((name, _)) = command
            .split_once('=')
            .filter(|(name, _)| is_variable(name))
        {
            let value = self.value_of(name);
            let told = format!("$ {name}={value}\n");
            self.variables.insert(name.to_owned(), value);
            return told;
        }
        self.calls += 1;
        let address = self.process.address().to_string();
        let output = Command::new("sh")
            .args(["-c", &command.replace(ADDRESS, &address)])
            .envs(&self.variables)
            .output()
            .expect("the shell runs");
        let printed = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        self.last = serde_json::from_str(&printed).unwrap_or(Value::Null);
        format!("$ {command}\n{printed}")
    }

    fn value_of(&self, name: &str) -> String {
        let members = self.process.output()["members"].as_array();
        let max = members
            .expect("members")
            .iter()
            .find(|m| m["member_id"] == "max");
        let value = match name {
            "MAX" => &max.expect("max")["token"],
            "LAPTOP" => &self.last["secret"],
            "ID" => &self.last["token"]["tokenId"],
            other => panic!("where would a reader take {other} from?"),
        };
        value.as_str().expect("a value").to_owned()
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn succeeded(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Puts a name in the place of each word that differs from run to run.
fn mask_line(line: &str) -> String {
    if line.trim_start().starts_with("\"hint\":") {
        return "HINT".to_owned();
    }
    line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "_-:.".contains(c)))
        .map(|piece| {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            format!("{}{}", mask_word(word), &piece[word.len()..])
        })
        .collect()
}

fn mask_word(word: &str) -> &str {
    let is_revision = word.split_once('-').is_some_and(|(number, id)| {
        number.parse::<u64>().is_ok() && id.len() == 16 && u64::from_str_radix(id, 16).is_ok()
    });
    let bytes = word.as_bytes();
    let is_instant = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T';
    match word {
        _ if word.starts_with("csn_pat_1") => "SECRET",
        _ if word.starts_with("tok_") => "TOKEN_ID",
        _ if is_revision => "REVISION",
        _ if is_instant => "INSTANT",
        _ if word.starts_with("0.") && word.ends_with('s') => "DURATION",
        _ => word,
    }
}

#[test]
fn a_mask_hides_what_differs_and_nothing_else() {
    let secret = format!("csn_pat_1{}", "a".repeat(49));
    let line = format!("  \"secret\": \"{secret}\", \"at\": \"2026-11-24T03:44:52.997Z\",");
    assert_eq!(
        mask_line(&line),
        "  \"secret\": \"SECRET\", \"at\": \"INSTANT\","
    );
    assert_eq!(mask_line("\"7-f13fd73cfc6310b1\""), "\"REVISION\"");
    for kept in [
        "\"reach\": \"REACH_OWN\"",
        "$ grpcurl -d '{}' 127.0.0.1:50051 list",
    ] {
        assert_eq!(mask_line(kept), kept);
    }
}
