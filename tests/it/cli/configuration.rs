//! `config init|check|show`: a file to start from, every fault of one, and what is in effect.

use std::fs;

use super::{Bench, DIGEST, PEPPER, serve_file, stderr, stdout};

/// Every key of the table, as `serve` takes it as a flag.
fn keys() -> Vec<String> {
    let help = Bench::new().run(&["serve", "--help"]);
    let names = stdout(&help).lines().filter_map(|line| {
        let flag = line.strip_prefix("      --")?;
        flag.split(' ').next().map(str::to_owned)
    });
    let keys: Vec<_> = names.filter(|name| name != "config").collect();
    assert!(keys.len() >= 19, "{keys:?}");
    keys
}

#[test]
fn the_documented_file_has_every_key_with_its_other_names() {
    let output = Bench::new().run(&["config", "init"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace(" # ", " ");
    for flag in keys() {
        let variable = format!("COUNTERSIGN_{}", flag.replace('-', "_").to_uppercase());
        let told = format!("Variable: {variable}. Flag: --{flag}. #");
        assert!(text.contains(&told), "{told}\n{text}");
    }
    assert!(text.contains("#listen_addr = \"0.0.0.0:50051\""));
    assert!(text.contains("Default: 0.0.0.0:50051 for `serve`, 127.0.0.1:50051 for `dev`."));
    assert!(text.contains("#[[callers]]"));
}

#[test]
fn the_documented_file_is_accepted_once_what_is_required_is_added() {
    let bench = Bench::new();
    let output = bench.run(&["config", "init", "--file", "c.toml"]);
    assert_eq!(stdout(&output), "wrote c.toml\n");
    let path = bench.directory.path().join("c.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, stdout(&bench.run(&["config", "init"])));

    let output = bench.run(&["config", "check", "--config", "c.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(stderr(&output).lines().count(), 4, "{}", stderr(&output));

    let text = text
        .replace("#tls = \"off\"", "tls = \"off\"")
        .replace("#peppers = \"VALUE\"", &format!("peppers = {PEPPER:?}"));
    let (before, callers) = text.split_once("#[[callers]]").unwrap();
    let callers = format!("#[[callers]]{callers}")
        .replace('#', "")
        .replace("blake3:…", DIGEST);
    let (before, issuers) = before.split_once("#[[issuers]]").unwrap();
    let (issuer, after) = issuers.split_once("\n\n").unwrap();
    let lines = issuer.lines().map(|line| line.replace('#', ""));
    // Nothing is in a cluster here, with its file.
    let lines = lines.filter(|line| !line.starts_with("ca_file"));
    let issuer = lines.collect::<Vec<_>>().join("\n");
    // A table ends what stands before any.
    let callers = format!("[[issuers]]{issuer}\n{callers}");
    fs::write(&path, format!("{before}{after}{callers}")).unwrap();
    let output = bench.run(&["config", "check", "--config", "c.toml"]);
    assert_eq!(stderr(&output), "");
    assert_eq!(stdout(&output), "ok\n");
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let bench = Bench::new().file("c.toml", "log = \"warn\"\n");
    let output = bench.run(&["config", "init", "--file", "c.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot write `c.toml`: "));
    let kept = fs::read_to_string(bench.directory.path().join("c.toml")).unwrap();
    assert_eq!(kept, "log = \"warn\"\n");
}

#[test]
fn check_tells_every_fault_as_a_start_would() {
    let bench = Bench::new()
        .file("c.toml", &serve_file("log = 3\n"))
        .env("COUNTERSIGN_DRAIN_DELAY", "1h");
    let arguments = ["--config", "c.toml", "--staleness-bound", "1h"];
    let check = bench.run(&[&["config", "check"][..], &arguments].concat());
    let serve = bench.run(&[&["serve"][..], &arguments].concat());
    assert_eq!(check.status.code(), Some(64));
    assert_eq!(stderr(&check), stderr(&serve));
    assert_eq!(
        stderr(&check),
        "error: the configuration is wrong\n  \
         log (the file c.toml, line 4): must be a string, in quotes\n  \
         staleness_bound (--staleness-bound): must be from 250ms to 30s, not `1h`\n  \
         drain_delay (COUNTERSIGN_DRAIN_DELAY): must be from 0s to 5m, not `1h`\n"
    );
}

#[test]
fn check_for_dev_makes_nothing() {
    let bench = Bench::new();
    let output = bench.run(&["config", "check", "--for", "dev"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 0);
    let output = bench.run(&[
        "config",
        "check",
        "--for",
        "dev",
        "--listen-addr",
        "0.0.0.0:1",
    ]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("must listen on loopback"));
}

#[test]
fn show_tells_values_and_origins_and_no_secret() {
    let bench = Bench::new()
        .file("c.toml", &serve_file("log = \"warn\"\n"))
        .env(
            "COUNTERSIGN_DATABASE_URL",
            "postgres://u:hunter2@db/n?password=hunter2",
        );
    let arguments = [
        "config",
        "show",
        "--config",
        "c.toml",
        "--drain-delay",
        "3s",
    ];
    let output = bench.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    let rows: Vec<Vec<_>> = told
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    for row in [
        ["KEY", "VALUE", "FROM"],
        ["log", "warn", "the file c.toml, line 4"],
        ["drain_delay", "3s", "--drain-delay"],
        [
            "database_url",
            "postgres://db/n",
            "COUNTERSIGN_DATABASE_URL",
        ],
        ["staleness_bound", "1s", "the default"],
        ["peppers", "p1:***", "the file c.toml, line 3"],
        [
            "policy_file",
            "the one that `countersign policy show` prints",
            "the default",
        ],
        [
            "callers.bookings",
            "authorize for members, 1 key",
            "the file c.toml",
        ],
    ] {
        assert!(rows.iter().any(|told| *told == row), "{row:?}\n{told}");
    }
    assert!(
        !told.contains("hunter2") && !told.contains("AQEB"),
        "{told}"
    );

    let json = bench.run(&[&arguments[..], &["--output", "json"]].concat());
    let rows: serde_json::Value = serde_json::from_str(stdout(&json)).unwrap();
    let log = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == "log");
    assert_eq!(log.unwrap()["value"], "warn");
}

#[test]
fn show_tells_what_is_there_even_if_it_is_wrong() {
    let bench = Bench::new().env("COUNTERSIGN_LOG", "inof");
    let output = bench.run(&["config", "show"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stdout(&output).contains("inof"), "{}", stdout(&output));
    assert!(stderr(&output).contains("\n  log (COUNTERSIGN_LOG): must be a level"));
    assert!(stderr(&output).contains("\n  peppers (not set): "));
}

#[test]
fn the_variables_of_clients_are_no_faults_of_a_server() {
    let mut bench = Bench::new().file("c.toml", &serve_file(""));
    for name in [
        "SERVER",
        "KEY",
        "KEY_FILE",
        "CA_FILE",
        "CLIENT_CERT",
        "CLIENT_KEY",
    ] {
        bench = bench.env(&format!("COUNTERSIGN_{name}"), "x");
    }
    let output = bench.run(&["config", "check", "--config", "c.toml"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    let output = bench
        .env("COUNTERSIGN_SERVERS", "x")
        .run(&["config", "check", "--config", "c.toml"]);
    assert!(stderr(&output).contains("COUNTERSIGN_SERVERS"));
}
