//! What the commands print: secrets where they are asked for one, once, and nowhere else, however wrong their
//! configuration is.

use std::{fs, process::Output, thread};

use tempfile::TempDir;

use super::search::{self, Search};
use crate::support::{
    process::{Process, countersign},
    server::{NEXT_PEPPER, PEPPER},
};

const PASSWORD: &str = "battery-horse-staple";
const DIGEST: &str = "blake3:0000000000000000000000000000000000000000000000000000000000000001";
/// Of a service key.
const KEY_DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";

fn run(arguments: &[&str], folder: &TempDir, variables: &[(&str, &str)]) -> Output {
    let mut command = countersign(arguments, folder);
    command
        .env("RUST_LOG", "trace")
        .envs(variables.iter().copied());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints text")
}

/// Everything that a configuration may hold and no message may show.
fn configured() -> Search {
    let mut search = Search::default();
    search.pepper(PEPPER);
    search.pepper(NEXT_PEPPER);
    search.text("a password", PASSWORD);
    search.text("a service key", KEY_DIGITS);
    search
}

#[test]
fn new_keys_and_peppers_are_printed_once_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(&["key", "new"], &folder, &[]);
    let printed = text(&output.stdout);
    let key = printed
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("key: csn_key_"));
    let key = key.expect("it prints a key");
    let mut search = Search::default();
    search.text("a service key", key);
    assert_eq!(printed.matches(key).count(), 1);
    assert_eq!(search.find(printed.replace(key, "").as_bytes()), []);
    assert_eq!(text(&output.stderr), "");

    let output = run(&["pepper", "new"], &folder, &[]);
    let printed = text(&output.stdout);
    let (_, key) = printed.trim().split_once(':').expect("it prints a pepper");
    let mut search = Search::default();
    search.pepper(&printed);
    assert_eq!(printed.matches(key).count(), 1);
    assert_eq!(search.find(printed.replace(key, "").as_bytes()), []);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn dev_prints_its_tokens_once_and_logs_and_stores_none() {
    let mut process = Process::dev_at("trace");
    let mut search = Search::default();
    let mut rest = text(&process.printed());
    let members = process.output()["members"]
        .as_array()
        .expect("members")
        .clone();
    assert_eq!(members.len(), 2);
    for member in &members {
        let token = member["token"].as_str().expect("a token");
        search.token(token);
        assert_eq!(rest.matches(token).count(), 1);
        rest = rest.replace(token, "");
    }
    assert!(process.signal("TERM").success());
    let mut peppers = 0;
    let mut stored = Vec::new();
    for file in fs::read_dir(process.folder()).expect("a folder") {
        let path = file.expect("a file").path();
        let contents = fs::read(&path).expect("the file is read");
        if path
            .extension()
            .is_some_and(|extension| extension == "peppers")
        {
            peppers += 1;
            search.pepper(&text(&contents));
        } else {
            stored.extend(contents);
        }
    }
    assert_eq!(peppers, 1);
    assert!(stored.starts_with(b"SQLite format 3") || stored.len() > 4096);
    assert_eq!(search.find(&stored), [], "in the database");
    assert_eq!(search.find(rest.as_bytes()), [], "on standard output");
    let log = process.log();
    assert!(log.contains("TRACE"));
    assert_eq!(search.find(log.as_bytes()), [], "in the log");
}

#[test]
fn commands_that_only_tell_show_no_secret_they_were_given() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let search = configured();
    // Nobody listens there, so what is tried fails, and is told.
    let unreachable = format!("postgres://me:{PASSWORD}@127.0.0.1:1/countersign");
    let broken = format!("postgres://me:{PASSWORD}@127.0.0.1:port/countersign");
    let odd =
        format!("postgres://me:{PASSWORD}@127.0.0.1:1/countersign?sslmode=odd&password={PASSWORD}");
    let commands = [
        &["policy", "show"][..],
        &["migrate"],
        &["migrate", "--check"],
        &["serve", "--log", "trace"],
    ];
    // At once: what cannot be reached is tried for a while.
    thread::scope(|scope| {
        for arguments in commands {
            for url in [&unreachable, &broken, &odd] {
                let (folder, search) = (&folder, &search);
                scope.spawn(move || {
                    let variables = [
                        ("COUNTERSIGN_DATABASE_URL", url.as_str()),
                        ("COUNTERSIGN_PEPPERS", PEPPER),
                    ];
                    let output = run(arguments, folder, &variables);
                    let all = [output.stdout, output.stderr].concat();
                    assert_eq!(search.find(&all), [], "{arguments:?}: {}", text(&all));
                    assert!(!all.is_empty(), "{arguments:?}");
                });
            }
        }
    });
}

#[test]
fn serve_tells_what_is_wrong_with_a_configuration_and_shows_no_secret_of_it() {
    let pepper = PEPPER.split_once(':').expect("an id and a key").1;
    let callers = format!(
        "[[callers]]\nname = \"bookings\"\nkey_digests = [\"{DIGEST}\"]\ngrants = [\"authorize\"]\n"
    );
    let good = "listen_addr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\nlog = \"trace\"\n";
    let tops = [
        format!("pepper = \"{PEPPER}\""),
        format!("peppers = \"{pepper}\""),
        format!("peppers = \"{PEPPER},{PEPPER}\""),
        format!("peppers = \"{PEPPER};{NEXT_PEPPER}\""),
        format!("peppers = \"{PEPPER}\npolicy_file = \"x\""),
        format!("peppers = '{PEPPER}"),
        format!("peppers = {PEPPER}"),
        format!("peppers = [\"{PEPPER}\", \"{NEXT_PEPPER}\"]"),
        format!("peppers = {{ p1 = \"{pepper}\" }}"),
        format!("peppers = \"{PEPPER}\"\npeppers = \"{NEXT_PEPPER}\""),
        format!("peppers = \"{PEPPER}\"\npeppers_file = \"{NEXT_PEPPER}\""),
        "peppers_file = \"bad.peppers\"".to_owned(),
        format!("peppers = \"{PEPPER}\"\ndatabase_url = \"mysql://me:{PASSWORD}@host/x\""),
        format!("peppers = \"{PEPPER}\"\ndatabase_url = \"me:{PASSWORD}@host\""),
        format!("peppers = \"{PEPPER}\"\ndatabase_url = [\"postgres://me:{PASSWORD}@host\"]"),
        format!("peppers = \"{PEPPER}\"\ndatabase_direct_url = \"postgres://me:{PASSWORD}@host\""),
        format!("peppers = \"{PEPPER}\"\ndatabase_url = \"postgres://me:{PASSWORD}@host:port/x\""),
        format!(
            "peppers = \"{PEPPER}\"\ndatabase_url = \"postgres://me:{PASSWORD}@127.0.0.1:1/x\""
        ),
        format!(
            "peppers = \"{PEPPER}\"\ndatabase_url = \"sqlite:///nowhere/at/all.db?key={PASSWORD}\""
        ),
        "database_url_file = \"bad.url\"".to_owned(),
    ];
    let mut files: Vec<String> = tops
        .iter()
        .map(|top| format!("{top}\n{good}{callers}"))
        .collect();
    let key = format!("csn_key_{KEY_DIGITS}");
    let given = format!("peppers = \"{PEPPER}\"\n{good}{callers}");
    files.extend([
        format!("{given}key = \"{key}\"\n"),
        format!("{given}[[callers]]\nname = \"x\"\nkey_digests = [\"{key}\"]\ngrants = [\"authorize\"]\n"),
        format!("{given}[[callers]]\nname = \"x\"\nkey_digests = \"{key}\"\ngrants = [\"authorize\"]\n"),
        format!("{given}[[callers]]\nname = \"x\"\nkey_digests = [\"{key}\ngrants = [\"authorize\"]\n"),
    ]);
    let search = configured();
    for file in &files {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, contents) in [
            ("countersign.toml", file.as_str()),
            ("bad.peppers", pepper),
            ("bad.url", &format!("mysql://me:{PASSWORD}@host/x")),
        ] {
            fs::write(folder.path().join(name), contents).expect("the file is written");
        }
        let output = run(&["serve", "--config", "countersign.toml"], &folder, &[]);
        let all = [output.stdout, output.stderr].concat();
        assert!(!output.status.success(), "{file}");
        assert_eq!(search.find(&all), [], "{}\nfor\n{file}", text(&all));
        assert!(
            all.starts_with(b"error: ") || text(&all).contains("\nerror: "),
            "{}",
            text(&all)
        );
    }
}

#[test]
fn flags_and_variables_that_are_wrong_are_told_without_their_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let search = configured();
    let pepper = PEPPER.split_once(':').expect("an id and a key").1;
    let url = format!("mysql://me:{PASSWORD}@host/x");
    let flags = [
        &["serve", "--peppers", pepper][..],
        &["serve", "--pepper", PEPPER],
        &["serve", "--peppers", PEPPER, "--peppers", NEXT_PEPPER],
        &["serve", "--database-url", &url],
        &["migrate", "--database-url", &url],
        &["migrate", "--peppers", PEPPER],
        &["dev", "--peppers", pepper],
    ];
    for arguments in flags {
        let output = run(arguments, &folder, &[]);
        let all = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(64), "{}", text(&all));
        assert_eq!(search.find(&all), [], "{arguments:?}: {}", text(&all));
    }
    for (name, value) in [
        ("COUNTERSIGN_PEPPERS", pepper),
        ("COUNTERSIGN_PEPPER", PEPPER),
        ("COUNTERSIGN_DATABASE_URL", &url),
        ("COUNTERSIGN_DATABASE_DIRECT_URL", &url),
    ] {
        let output = run(&["serve"], &folder, &[(name, value)]);
        let all = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(64), "{}", text(&all));
        assert_eq!(search.find(&all), [], "{name}: {}", text(&all));
    }
}

#[test]
fn the_search_of_these_tests_finds_what_they_must_not_print() {
    let search = configured();
    let key = format!("csn_key_{KEY_DIGITS}");
    for secret in [PEPPER, NEXT_PEPPER, PASSWORD, &key] {
        let found = search.find(format!("error: `{secret}`").as_bytes());
        assert!(!found.is_empty(), "{secret}");
    }
    assert_eq!(search.find(search::example().as_bytes()), []);
}
