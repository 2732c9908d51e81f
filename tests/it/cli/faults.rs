//! How a wrong configuration is told: every fault, with its key, its place, and what would be right.

use super::{
    Bench, DIGEST, PEPPER,
    fault_cases::{GRANTS, IN_THE_FILE, OUTSIDE_THE_FILE},
    serve_file, stderr, stdout,
};

/// The faults of a refused start, one a line.
fn faults(bench: &Bench, arguments: &[&str]) -> Vec<String> {
    let output = bench.run(arguments);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert_eq!(stdout(&output), "");
    let (head, rest) = told.split_once('\n').unwrap();
    assert_eq!(head, "error: the configuration is wrong");
    rest.lines()
        .map(|line| line.strip_prefix("  ").unwrap().to_owned())
        .collect()
}

#[test]
fn each_fault_in_the_file_is_told_with_its_line() {
    for (extra, line, key, message) in IN_THE_FILE {
        let extra = extra
            .replace("D1", DIGEST)
            .replace("D2", &DIGEST.replace('1', "2"));
        let bench = Bench::new()
            .file("c.toml", &serve_file(&extra))
            .file("peppers", PEPPER)
            .file(
                "greedy.toml",
                "[roles.admin]\nown = [\"tokens.issue\"]\n[resources.tokens]\nverbs = [\"issue\"]\n",
            );
        let told = faults(&bench, &["serve", "--config", "c.toml"]);
        let expected =
            format!("{key} (the file c.toml, line {line}): {message}").replace("GRANTS", GRANTS);
        assert_eq!(told, [expected], "{extra}");
    }
}

#[test]
fn each_fault_outside_the_file_is_told_with_its_variable_or_flag() {
    for (arguments, (name, value), expected) in OUTSIDE_THE_FILE {
        let mut bench = Bench::new()
            .file("c.toml", &serve_file(""))
            .file("empty", "")
            .env("COUNTERSIGN_CONFIG", "c.toml");
        if !name.is_empty() {
            bench = bench.env(name, value);
        }
        let arguments: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(faults(&bench, &arguments), [*expected], "{arguments:?}");
    }
}

#[test]
fn all_faults_are_told_together() {
    let bench = Bench::new()
        .file("c.toml", "log = 3\nlisten_adr = \"127.0.0.1:1\"\n")
        .env("COUNTERSIGN_STALENESS_BOUND", "1h");
    let told = faults(
        &bench,
        &[
            "serve",
            "--config",
            "c.toml",
            "--token-prefix",
            "X",
            "--tls",
            "off",
        ],
    );
    for fault in [
        "log (the file c.toml, line 1): must be a string, in quotes",
        "listen_adr (the file c.toml, line 2): there is no such key",
        "staleness_bound (COUNTERSIGN_STALENESS_BOUND): must be from 250ms to 30s, not `1h`",
        "token_prefix (--token-prefix): token prefix `X` is not of the form [a-z][a-z0-9_]{0,18}[a-z0-9]",
        "peppers (not set): `serve` needs at least one: `countersign pepper new` makes one",
        "callers (not set): `serve` needs at least one `[[callers]]` in the file: nobody else could call it",
    ] {
        assert!(told.iter().any(|line| line == fault), "{fault}\n{told:?}");
    }
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn an_ill_formed_file_is_told_without_what_it_would_have_set() {
    let text = serve_file("").replace("p1:", "p1\":") + "x = \n";
    let bench = Bench::new().file("c.toml", &text);
    let told = faults(&bench, &["serve", "--config", "c.toml"]);
    assert!(
        told.iter()
            .all(|line| line.starts_with("file (the file c.toml, line ")),
        "{told:?}"
    );
    assert!(told[0].contains("line 3"), "{told:?}");
    assert!(!told.concat().contains("AQEB"), "{told:?}");
}

#[test]
fn no_fault_shows_a_secret() {
    let bench = Bench::new()
        .env(
            "COUNTERSIGN_DATABASE_URL",
            "postgress://user:hunter2@host/name",
        )
        .env("COUNTERSIGN_DATABASE_DIRECT_URL", "user:hunter2@host")
        .env("COUNTERSIGN_PEPPERS", "p1:hunter2,hunter2");
    let told = faults(&bench, &["serve", "--tls", "off"]);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(!told.concat().contains("hunter2"), "{told:?}");
}
