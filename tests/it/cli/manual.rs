//! The help, the manual and the completions: every command is in each.

use super::{Bench, person::run, stdout};
use crate::support::process::countersign;

/// Every command, and those below it.
const COMMANDS: [(&str, &[&str]); 18] = [
    ("serve", &[]),
    ("dev", &[]),
    ("migrate", &[]),
    ("config", &["init", "check", "show"]),
    ("policy", &["show", "check"]),
    ("key", &["new"]),
    ("pepper", &["new", "status"]),
    ("restore-guard", &[]),
    (
        "token",
        &[
            "issue",
            "rotate",
            "list",
            "get",
            "revoke",
            "revoke-all",
            "revoke-leaked",
            "inspect",
        ],
    ),
    (
        "member",
        &[
            "list",
            "get",
            "put",
            "set-role",
            "suspend",
            "reactivate",
            "remove",
        ],
    ),
    ("workspace", &["create", "get", "list", "update", "delete"]),
    ("authorize", &[]),
    ("permissions", &[]),
    ("events", &[]),
    ("healthcheck", &[]),
    ("completions", &[]),
    ("man", &[]),
    ("help", &[]),
];

#[test]
fn every_command_has_a_help_and_a_page_in_the_manual() {
    let bench = Bench::new();
    let whole = bench.run(&["help"]);
    for (command, below) in COMMANDS {
        assert!(
            stdout(&whole).contains(&format!("\n  {command} ")),
            "{command}"
        );
        if command == "help" {
            continue;
        }
        let mut paths = vec![vec![command]];
        paths.extend(below.iter().map(|name| vec![command, *name]));
        for path in paths {
            let help = bench.run(&[&path[..], &["--help"]].concat());
            assert_eq!(help.status.code(), Some(0), "{path:?}");
            assert!(stdout(&help).contains("\nUsage: "), "{path:?}");
            let page = bench.run(&[&["man"][..], &path].concat());
            assert_eq!(page.status.code(), Some(0), "{path:?}");
            let title = format!(".TH countersign-{} 1", path.join("-"));
            assert!(stdout(&page).contains(&title), "{}", stdout(&page));
        }
    }
    let page = bench.run(&["man"]);
    assert!(
        stdout(&page).contains(".TH countersign 1"),
        "{}",
        stdout(&page)
    );
    assert_eq!(bench.run(&["man", "nonsense"]).status.code(), Some(64));
}

#[test]
fn every_shell_has_completions() {
    let folder = tempfile::tempdir().unwrap();
    let print = |shell| run(countersign(["completions", shell], &folder), "");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = print(shell);
        assert_eq!(script.code, Some(0));
        assert!(script.stdout.contains("healthcheck"), "{shell}");
    }
    assert_eq!(print("cmd").code, Some(64));
}

#[test]
fn no_option_takes_a_secret_and_exit_codes_are_told() {
    let bench = Bench::new();
    for command in [
        &["token", "issue"][..],
        &["token", "get"],
        &["token", "revoke"],
        &["token", "rotate"],
        &["token", "revoke-leaked"],
        &["authorize"],
        &["permissions"],
        &["events"],
    ] {
        let help = bench.run(&[command, &["--help"]].concat());
        for option in ["--key ", "--token ", "--secret ", "--service-key "] {
            assert!(!stdout(&help).contains(option), "{command:?} {option}");
        }
    }
    for command in ["authorize", "permissions", "healthcheck"] {
        let help = bench.run(&[command, "--help"]);
        assert!(stdout(&help).contains("Exit codes: 0 "), "{command}");
    }
}
