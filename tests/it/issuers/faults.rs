//! What is wrong with issuers and with the names of callers in their tokens: all of it is told at once, with its line.

use std::fs;

use crate::support::{certificates::Authority, process::countersign};

const FORM: &str =
    "must be tables such as `{issuer = \"https://example.org\", subject = \"bookings\"}`";
const ACCOUNT_FORM: &str = "must be a namespace and a name, such as `shop/bookings`, not";

/// Lines of a file, and what is wrong with each: its key and its message, or nothing.
const LINES: &[(&str, &str, &str)] = &[
    ("[[callers]]", "", ""),
    ("name = \"a\"", "", ""),
    ("grants = [\"authorize\"]", "", ""),
    ("service_accounts = [\"shop/a\",", "", ""),
    ("\"shop\",", "callers.service_accounts", "ACCOUNT `shop`"),
    (
        "\"shop/*\",",
        "callers.service_accounts",
        "ACCOUNT `shop/*`",
    ),
    (
        "\"shop/a\"]",
        "callers.service_accounts",
        "the subject is there twice",
    ),
    (
        "subjects = [{issuer = \"https://one.example\", subject = \"a\"},",
        "",
        "",
    ),
    (
        "{issuer = \"https://one.example\", subject = \"b\", audience = \"c\"},",
        "callers.subjects",
        FORM,
    ),
    (
        "{issuer = \"https://one.example\"},",
        "callers.subjects",
        FORM,
    ),
    ("\"a\",", "callers.subjects", FORM),
    (
        "{issuer = \"https://one.example\", subject = \"\"},",
        "callers.subjects",
        "must have a subject of 1 to 512 bytes, none of them control characters",
    ),
    (
        "{issuer = \"https://one.example/\", subject = \"a\"}]",
        "callers.subjects",
        "there is no `[[issuers]]` with `issuer = \"https://one.example/\"`",
    ),
    ("[[callers]]", "", ""),
    ("name = \"b\"", "", ""),
    ("grants = [\"authorize\"]", "", ""),
    (
        "subjects = [{issuer = \"https://one.example\", subject = \"a\"},",
        "callers.subjects",
        "caller `a` has the same subject",
    ),
    (
        "{issuer = \"https://cluster.example\", subject = \"system:serviceaccount:shop:a\"}]",
        "callers.subjects",
        "caller `a` has the same subject",
    ),
    ("[[callers]]", "", ""),
    ("name = \"c\"", "", ""),
    ("grants = [\"authorize\"]", "", ""),
    ("subjects = \"a\"", "callers.subjects", FORM),
    ("[[callers]]", "", ""),
    ("name = \"d\"", "", ""),
    ("grants = [\"authorize\"]", "", ""),
    (
        "service_accounts = []",
        "callers.service_accounts",
        "must hold at least one service account where the caller is known by nothing else",
    ),
    ("[[callers]]", "", ""),
    ("name = \"e\"", "", ""),
    ("grants = [\"authorize\"]", "", ""),
    (
        "subjects = []",
        "callers.subjects",
        "must hold at least one subject where the caller is known by nothing else",
    ),
    ("[[issuers]]", "", ""),
    ("issuer = \"https://one.example\"", "", ""),
    ("audience = \"us\"", "", ""),
    ("[[issuers]]", "", ""),
    ("issuer = \"https://cluster.example\"", "", ""),
    ("audience = \"us\"", "", ""),
    ("kubernetes = true", "", ""),
];

/// Faults of issuers, each in a file of its own, since what follows from them is not told: the lines after `[[issuers]]`, the
/// line, the key and the message.
const ISSUERS: &[(&str, usize, &str, &str)] = &[
    (
        "",
        0,
        "issuers.issuer",
        "every issuer needs the name that its tokens have in `iss`",
    ),
    (
        "issuer = \"https://a.example\"",
        0,
        "issuers.audience",
        "every issuer needs the audience that its tokens must be for",
    ),
    (
        "issuer = \"\"\naudience = \"a\"",
        1,
        "issuers.issuer",
        "must have 1 to 512 bytes, none of them control characters",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"\\n\"",
        2,
        "issuers.audience",
        "must have 1 to 512 bytes, none of them control characters",
    ),
    (
        "issuer = 7\naudience = \"a\"",
        1,
        "issuers.issuer",
        "must be a string, in quotes",
    ),
    (
        "issuer = \"cluster\"\naudience = \"a\"",
        1,
        "issuers.issuer",
        "must be an address such as `https://example.org`, not `cluster`; where it is no address, `jwks_uri` says where its keys are",
    ),
    (
        "issuer = \"http://a.example\"\naudience = \"a\"",
        1,
        "issuers.issuer",
        "must be of `https` off loopback, where anyone could answer, not `http://a.example`; where it is no address, `jwks_uri` says where its keys are",
    ),
    (
        "issuer = \"cluster\"\naudience = \"a\"\njwks_uri = \"http://a.example/keys\"",
        3,
        "issuers.jwks_uri",
        "must be of `https` off loopback, where anyone could answer, not `http://a.example/keys`",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\nkubernetes = \"yes\"",
        3,
        "issuers.kubernetes",
        "must be `true` or `false`, without quotes",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\nca_file = \"missing.pem\"",
        3,
        "issuers.ca_file",
        "cannot read certificates from `missing.pem`: I/O error: No such file or directory (os error 2)",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\nca_file = \"server.key\"",
        3,
        "issuers.ca_file",
        "there is no certificate in `server.key`",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\nclient_id = \"x\"",
        3,
        "issuers.client_id",
        "there is no such key",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\n[[issuers]]\nissuer = \"https://a.example\"\naudience = \"b\"",
        4,
        "issuers.issuer",
        "there is another issuer `https://a.example`",
    ),
    (
        "issuer = \"https://a.example\"\naudience = \"a\"\nkubernetes = true\n[[issuers]]\nissuer = \"https://b.example\"\naudience = \"a\"\nkubernetes = true",
        5,
        "issuers.kubernetes",
        "`https://a.example` is the cluster of `service_accounts` already: name those of another one in `subjects`, as `system:serviceaccount:namespace:name`",
    ),
];

const HEAD: &str = "peppers = \"p1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\ntls = \"off\"\n";

fn run(folder: &tempfile::TempDir, command: &str, text: &str) -> (Option<i32>, String) {
    fs::write(folder.path().join("c.toml"), text).expect("a file is written");
    let arguments = ["config", command, "--config", "c.toml"];
    let output = countersign(arguments, folder).output().expect("it runs");
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).expect("text"))
}

#[test]
fn every_fault_of_names_in_tokens_is_told_with_its_line_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = LINES.iter().map(|(line, ..)| format!("{line}\n"));
    let text = HEAD.to_owned() + &lines.collect::<String>();
    let (code, told) = run(&folder, "check", &text);
    assert_eq!(code, Some(64), "{told}");
    let expected: Vec<String> = LINES
        .iter()
        .enumerate()
        .filter(|(_, (_, key, _))| !key.is_empty())
        .map(|(number, (_, key, message))| {
            let message = message.replace("ACCOUNT", ACCOUNT_FORM);
            format!("{key} (the file c.toml, line {}): {message}", number + 3)
        })
        .collect();
    let mut faults: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("(the file"))
        .collect();
    faults.sort_unstable();
    let mut sorted: Vec<&str> = expected.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let trimmed: Vec<&str> = faults
        .iter()
        .map(|fault| fault.trim_start_matches("error: ").trim())
        .collect();
    assert_eq!(trimmed, sorted, "{told}");
}

#[test]
fn every_fault_of_an_issuer_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Authority::new("authority")
        .server("one")
        .write(folder.path(), "server");
    let caller =
        "[[callers]]\nname = \"a\"\ngrants = [\"authorize\"]\nservice_accounts = [\"a/b\"]\n";
    let start = HEAD.to_owned() + caller + "[[issuers]]\n";
    let base = start.lines().count();
    for (lines, line, key, message) in ISSUERS {
        let (code, told) = run(&folder, "check", &format!("{start}{lines}\n"));
        assert_eq!(code, Some(64), "{told}");
        let expected = format!("{key} (the file c.toml, line {}): {message}", base + line);
        assert!(told.contains(&expected), "{expected}\n{told}");
    }
    let (code, told) = run(&folder, "check", &(HEAD.to_owned() + "issuers = \"a\"\n"));
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains("must be tables that begin with `[[issuers]]`"),
        "{told}"
    );
}

#[test]
fn issuers_and_names_are_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = HEAD.to_owned()
        + "[[callers]]\nname = \"a\"\ngrants = [\"authorize\"]\nservice_accounts = [\"shop/a\", \"shop/b\"]\n\
           subjects = [{issuer = \"https://one.example\", subject = \"a\"}]\n\
           [[issuers]]\nissuer = \"https://one.example\"\naudience = \"us\"\n\
           [[issuers]]\nissuer = \"cluster\"\naudience = \"us\"\nkubernetes = true\n\
           jwks_uri = \"https://kubernetes.default.svc/openid/v1/jwks\"\nbearer_token_file = \"token\"\n";
    let (code, told) = run(&folder, "show", &text);
    assert_eq!(code, Some(0), "{told}");
    for expected in [
        "authorize for members, 2 service accounts, 1 subject",
        "for the audience `us`, keys by discovery",
        "for the audience `us`, Kubernetes, keys at https://kubernetes.default.svc/openid/v1/jwks, token in token",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    let (code, told) = run(&folder, "check", &text);
    assert_eq!(code, Some(0), "{told}");
    // `dev` has none.
    fs::write(folder.path().join("c.toml"), &text).expect("a file is written");
    let output = countersign(["dev", "--config", "c.toml"], &folder)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("`dev` lets everyone call: give issuers to `serve` only"),
        "{told}"
    );
}
