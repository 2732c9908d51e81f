//! Every command of the command line against a server that exports its traces and is scraped: what they print, what it
//! logs, exports and counts, all searched.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::search::Search;
use crate::{
    support::{
        call::unknown_secret,
        database::{TestDatabase, on_both},
        http,
        process::{Process, countersign},
        server::{BOOKINGS, PEPPER, PLATFORM, key_of},
    },
    telemetry::sink::Sink,
};

/// Every command that has none below it, as it is typed.
const COMMANDS: [&str; 39] = [
    "serve",
    "dev",
    "migrate",
    "config init",
    "config check",
    "config show",
    "policy show",
    "policy check",
    "key new",
    "pepper new",
    "pepper status",
    "restore-guard",
    "token issue",
    "token rotate",
    "token list",
    "token get",
    // Before the one that they begin with.
    "token revoke-all",
    "token revoke-leaked",
    "token revoke",
    "token inspect",
    "member list",
    "member get",
    "member put",
    "member set-role",
    "member suspend",
    "member reactivate",
    "member remove",
    "workspace create",
    "workspace get",
    "workspace list",
    "workspace update",
    "workspace delete",
    "authorize",
    "permissions",
    "events",
    "healthcheck",
    "completions",
    "man",
    "help",
];

/// Runs commands, and keeps what they print.
struct Bench {
    folder: TempDir,
    server: String,
    database_url: String,
    ran: BTreeSet<&'static str>,
    printed: Vec<u8>,
}

impl Bench {
    fn new(process: &Process, database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("key"), key_of(PLATFORM)).expect("the file is written");
        fs::write(folder.path().join("weak-key"), key_of(BOOKINGS)).expect("the file is written");
        fs::write(folder.path().join("peppers"), PEPPER).expect("the file is written");
        Self {
            folder,
            server: process.address().to_string(),
            database_url: database.url().to_owned(),
            ran: BTreeSet::new(),
            printed: Vec::new(),
        }
    }

    /// Runs one with this on its standard input.
    fn run(&mut self, line: &str, stdin: &str) -> Output {
        let known = COMMANDS.iter().find(|known| line.starts_with(**known));
        self.ran
            .insert(known.unwrap_or_else(|| panic!("{line} is no command")));
        let mut command = countersign(line.split(' '), &self.folder);
        command
            .env("RUST_LOG", "trace")
            .env("COUNTERSIGN_SERVER", &self.server)
            .env("COUNTERSIGN_KEY_FILE", "key")
            .env("COUNTERSIGN_DATABASE_URL", &self.database_url)
            .env("COUNTERSIGN_PEPPERS_FILE", "peppers");
        feed(command, stdin)
    }

    /// The same, where nothing of what is printed may be a secret.
    fn tell(&mut self, line: &str, stdin: &str) {
        let output = self.run(line, stdin);
        assert!(output.status.code().is_some(), "{line}");
        self.printed.extend([output.stdout, output.stderr].concat());
    }
}

fn feed(mut command: Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // It may have ended without reading.
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stdin.as_bytes()).ok();
    drop(input);
    child.wait_with_output().expect("it ends")
}

/// Issues a token on the command line: its id and its secret. What was printed beside the secret is kept.
fn issue(bench: &mut Bench, name: &str, form: &str) -> (String, String) {
    let line = format!(
        "token issue --workspace acme --member max --name {name} --ttl 90d --output {form} --request-id {name}"
    );
    let made = make(bench, &line);
    // Once more: it is told, without the secret.
    bench.tell(&line, "");
    made
}

/// Runs a command that prints a secret.
fn make(bench: &mut Bench, line: &str) -> (String, String) {
    let output = bench.run(line, "");
    let printed = String::from_utf8(output.stdout).expect("text");
    let find = |start: &str, length: usize| {
        let found = printed.find(start).unwrap_or_else(|| panic!("{printed}"));
        printed[found..found + start.len() + length].to_owned()
    };
    let (id, secret) = (find("tok_", 22), find("csn_pat_1", 49));
    assert_eq!(printed.matches(&secret).count(), 1, "shown once");
    bench
        .printed
        .extend(printed.replace(&secret, "").into_bytes());
    bench.printed.extend(output.stderr);
    (id, secret)
}

/// The commands that talk to the server, with success and without.
fn talk(bench: &mut Bench, search: &mut Search) {
    bench.tell("workspace create acme --name Acme", "");
    bench.tell("member put max --workspace acme --role member", "");
    let (_, first) = issue(bench, "first", "text");
    let (old, second) = issue(bench, "second", "json");
    let rotate = format!("token rotate {old} --overlap 1h --ttl 90d --request-id again");
    let (_, third) = make(bench, &rotate);
    bench.tell(&rotate, "");
    bench.tell(&format!("token rotate {old}"), "");
    let unknown = unknown_secret();
    for token in [&first, &second, &third, &unknown] {
        search.token(token);
    }
    for token in [
        &first,
        &second,
        &unknown,
        &format!("Bearer {first}"),
        &format!("{first}x"),
    ] {
        for form in ["text", "json"] {
            bench.tell(
                &format!("authorize --action bookings.read --bearer --explain --output {form}"),
                token,
            );
            bench.tell(&format!("permissions --output {form}"), token);
            bench.tell(&format!("token get --secret-stdin --output {form}"), token);
            bench.tell(&format!("token inspect --output {form}"), token);
        }
    }
    // In the wrong place, and with the wrong key.
    for line in [
        format!("token get {first}"),
        format!("token revoke {first}"),
        format!("token revoke {old} --request-id {first}"),
        format!("token rotate {first}"),
        format!("authorize --action {first} --bearer"),
        format!("workspace get {first}"),
        format!("healthcheck --service {first}"),
        format!("policy check {first}"),
        format!("help {first}"),
    ] {
        bench.tell(&line, &first);
    }
    bench.tell("token list --workspace acme --key-file weak-key", "");
    bench.tell("events --key-file peppers", "");
    for line in [
        "token list --workspace acme",
        "member list --workspace acme",
        "member get max --workspace acme",
        "member set-role max --workspace acme --role admin",
        "member suspend max --workspace acme",
        "member reactivate max --workspace acme",
        "workspace get acme",
        "workspace list",
        "workspace update acme --name Acme2",
        "events --limit 500",
        "events --output json",
        "healthcheck",
        "member remove max --workspace acme",
        "workspace delete acme",
        "member remove max --workspace acme --yes",
    ] {
        bench.tell(line, "");
    }
    bench.tell("token revoke --secret-stdin --reason gone", &second);
    for form in ["text", "json"] {
        let line = format!("token revoke-leaked --source a-paste --output {form}");
        bench.tell(
            &line,
            &format!("{first}\nBearer {third}\n{unknown}\n{first}x\n"),
        );
    }
    bench.tell("token revoke-leaked --key-file peppers", &first);
    bench.tell("token revoke-all --workspace acme", "");
    bench.tell("token revoke-all --workspace acme --reason over --yes", "");
    bench.tell("workspace delete acme --yes", "");
}

/// The commands that work on their own.
fn stay(bench: &mut Bench) {
    for line in [
        "serve --log trace",
        "dev --peppers-file none",
        "migrate",
        "migrate --check",
        "config init",
        "config check",
        "config show",
        "config show --output json",
        "policy show",
        "policy check peppers",
        "pepper status",
        "pepper status --output json",
        "restore-guard --all",
        "completions bash",
        "man",
        "help token issue",
    ] {
        bench.tell(line, "");
    }
    // What they are there to print is looked at elsewhere.
    bench.run("key new", "");
    bench.run("pepper new", "");
}

async fn no_command_nor_its_server_tells_a_secret(database: TestDatabase) {
    let sink = Sink::start().await;
    let endpoint = sink.endpoint();
    if database.url().starts_with("postgres") {
        let url = countersign::domain::database_url::DatabaseUrl::parse(database.url());
        let migrated = countersign::store::migrate(&url.expect("an address")).await;
        migrated.expect("the database is migrated");
    }
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut process = Process::serve_with(&database, "log = \"trace\"", &variables);
    let metrics_address = process.metrics_address();
    let mut search = Search::default();
    search.pepper(PEPPER);
    for caller in [PLATFORM, BOOKINGS] {
        search.text("a service key", &key_of(caller));
    }
    let mut bench = Bench::new(&process, &database);
    let (bench, search) = tokio::task::spawn_blocking(move || {
        talk(&mut bench, &mut search);
        stay(&mut bench);
        (bench, search)
    })
    .await
    .expect("they run");
    let (status, scrape) = http::get(metrics_address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(process.signal("TERM").success());

    assert_eq!(
        bench.ran,
        COMMANDS.into_iter().collect(),
        "every command was run"
    );
    let log = process.log();
    assert!(log.contains("\"TRACE\"") && log.contains("traces") || log.contains("TRACE"));
    assert!(sink.spans().len() > 50, "{} spans", sink.spans().len());
    assert!(scrape.contains("countersign_tokens_issued_total 3"));
    assert_eq!(search.find(&bench.printed), [], "printed");
    assert_eq!(search.find(log.as_bytes()), [], "in the log");
    assert_eq!(search.find(scrape.as_bytes()), [], "in the metrics");
    assert_eq!(search.find(&sink.bytes()), [], "in the spans");
    assert_eq!(
        search.find(database.dump().await.as_bytes()),
        [],
        "in the database"
    );
}

#[test]
fn the_list_of_commands_is_the_one_that_help_gives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let commands = |of: &[&str]| -> Vec<String> {
        let arguments = of.iter().chain(&["--help"]);
        let output = countersign(arguments, &folder)
            .output()
            .expect("the binary runs");
        let help = String::from_utf8(output.stdout).expect("text");
        let (_, list) = help.split_once("Commands:\n").unwrap_or(("", ""));
        let (list, _) = list.split_once("\n\n").unwrap_or((list, ""));
        let names = list
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let mut told = BTreeSet::new();
    for command in commands(&[]) {
        let below: Vec<String> = match command.as_str() {
            "help" => Vec::new(),
            name => commands(&[name])
                .into_iter()
                .filter(|name| name != "help")
                .collect(),
        };
        match below.is_empty() {
            true => drop(told.insert(command)),
            false => told.extend(below.iter().map(|name| format!("{command} {name}"))),
        }
    }
    let listed: BTreeSet<String> = COMMANDS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(told, listed);
}

on_both![no_command_nor_its_server_tells_a_secret];
