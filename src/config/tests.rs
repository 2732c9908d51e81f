//! Tests of what a good configuration means. What is refused, and how, is tested through the command.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

const CALLERS: &str = r#"
    [[callers]]
    name = "bookings"
    key_digests = ["blake3:0000000000000000000000000000000000000000000000000000000000000001"]
    grants = ["authorize", "tokens.read"]

    [[callers]]
    name = "dashboard"
    key_digests = [
        "blake3:0000000000000000000000000000000000000000000000000000000000000002",
        "blake3:0000000000000000000000000000000000000000000000000000000000000003",
    ]
    grants = ["tokens.issue"]
    acts_for = "platform"
    spiffe_ids = []
    service_accounts = []
"#;
const PEPPERS: &str = "p2:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=,p1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn serve_with(extra: &str) -> Sources {
    let text = format!("tls = \"off\"\npeppers = \"{PEPPERS}\"\n{extra}\n{CALLERS}");
    Sources::of_file("test.toml", text)
}

fn loaded(mode: Mode, sources: &Sources) -> Config {
    match load(mode, sources) {
        Ok(config) => config,
        Err(faults) => unreachable!("{faults}"),
    }
}

#[test]
fn defaults_of_serve_are_those_documented() {
    let config = loaded(Mode::Serve, &serve_with(""));
    assert_eq!(config.listen_addr.to_string(), "0.0.0.0:50051");
    assert_eq!(config.metrics_addr.to_string(), "0.0.0.0:9464");
    assert_eq!(config.database_url.expose(), "sqlite://countersign.db");
    assert_eq!(config.database_direct_url, config.database_url);
    assert_eq!(config.peppers.ids().collect::<Vec<_>>(), ["p2", "p1"]);
    assert_eq!(Some(config.policy), Policy::embedded().ok());
    assert_eq!(config.staleness_bound, Duration::from_secs(1));
    assert!(config.reflection);
    assert_eq!(config.drain_delay, Duration::from_secs(2));
    assert_eq!(config.log, "info");
    assert_eq!(config.event_retention, None);
}

#[test]
fn callers_are_read_with_their_grants() {
    use crate::domain::caller::{ActsFor, Grant};

    let Callers::Known(known) = loaded(Mode::Serve, &serve_with("")).callers else {
        unreachable!("serve is never open");
    };
    let told: Vec<_> = known
        .keys
        .iter()
        .map(|(_, caller)| (caller.name.as_str(), caller.acts_for, &caller.grants[..]))
        .collect();
    let dashboard = ("dashboard", ActsFor::Platform, &[Grant::TokensIssue][..]);
    let bookings_grants = [Grant::Authorize, Grant::TokensRead];
    let bookings = ("bookings", ActsFor::Members, &bookings_grants[..]);
    assert_eq!(told, [bookings, dashboard, dashboard]);
}

#[test]
fn each_layer_overrides_those_below() {
    let mut sources = serve_with("staleness_bound = \"2s\"");
    let bound = |sources: &Sources| loaded(Mode::Serve, sources).staleness_bound.as_secs();
    assert_eq!(bound(&sources), 2);
    sources = sources.with_variable("COUNTERSIGN_STALENESS_BOUND", "3s");
    assert_eq!(bound(&sources), 3);
    sources
        .flags
        .values
        .insert("staleness_bound", "4s".to_owned());
    assert_eq!(bound(&sources), 4);
}

#[test]
fn a_higher_layer_overrides_either_form_below() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("url");
    fs::write(&path, "postgres://u:p@localhost/from_file\n")?;
    let path = path.display().to_string();

    let from_text = serve_with("database_url = \"postgres://localhost/from_text\"");
    let config = loaded(
        Mode::Serve,
        &from_text.with_variable("COUNTERSIGN_DATABASE_URL_FILE", &path),
    );
    assert_eq!(
        config.database_url.expose(),
        "postgres://u:p@localhost/from_file"
    );

    let from_file = serve_with(&format!("database_url_file = \"{path}\""));
    let config = loaded(
        Mode::Serve,
        &from_file.with_variable("COUNTERSIGN_DATABASE_URL", "postgres://localhost/from_text"),
    );
    assert_eq!(
        config.database_url.expose(),
        "postgres://localhost/from_text"
    );
    Ok(())
}

#[test]
fn lists_and_nested_keys_have_all_spellings() {
    let retired = |sources: &Sources| format!("{:?}", loaded(Mode::Serve, sources).token_format);
    let in_file = retired(&serve_with(
        r#"retired_token_prefixes = ["old_a", "old_b"]"#,
    ));
    let in_variable = retired(
        &serve_with("").with_variable("COUNTERSIGN_RETIRED_TOKEN_PREFIXES", "old_a, old_b"),
    );
    assert_eq!(in_file, in_variable);
    assert!(in_file.contains("old_b"), "{in_file}");

    let nested = Sources::of_file("test.toml", "[tls]\ncert_file = \"cert.pem\"");
    let dotted = Sources::default().with_variable("COUNTERSIGN_TLS_CERT_FILE", "cert.pem");
    for sources in [nested, dotted] {
        let faults = load(Mode::Serve, &sources)
            .err()
            .map(|faults| faults.to_string());
        assert!(faults.is_some_and(|faults| faults.contains("tls.key_file (not set)")));
    }
}

#[test]
fn a_pods_service_links_are_passed_over() {
    let mut sources = serve_with("");
    for (name, value) in [
        ("COUNTERSIGN_CONFIG", "test.toml"),
        ("COUNTERSIGN_SERVICE_HOST", "10.0.0.1"),
        ("COUNTERSIGN_SERVICE_PORT", "50051"),
        ("COUNTERSIGN_SERVICE_PORT_GRPC", "50051"),
        ("COUNTERSIGN_PORT", "tcp://10.0.0.1:50051"),
        ("COUNTERSIGN_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("COUNTERSIGN_PORT_50051_TCP_PROTO", "tcp"),
        ("COUNTERSIGN_METRICS_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("COUNTERSIGN_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("UNRELATED", "x"),
    ] {
        sources = sources.with_variable(name, value);
    }
    loaded(Mode::Serve, &sources);
    let typo = sources.with_variable("COUNTERSIGN_PORT", "50051");
    assert!(load(Mode::Serve, &typo).is_err());
}

#[test]
fn debug_shows_no_secret() {
    let sources = serve_with("database_url = \"postgres://user:hunter2@host/name\"");
    let debug = format!("{:?}", loaded(Mode::Serve, &sources));
    assert!(debug.contains("p1") && debug.contains("postgres://host/name"));
    assert!(!debug.contains("AQEB") && !debug.contains("AgIC") && !debug.contains("hunter2"));
}

#[test]
fn dev_keeps_its_peppers_beside_the_database() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("dev.db");
    let url = format!("sqlite://{}", database.display());
    let sources = Sources::default().with_variable("COUNTERSIGN_DATABASE_URL", &url);

    let first = loaded(Mode::Dev, &sources);
    assert_eq!(first.listen_addr.to_string(), "127.0.0.1:50051");
    assert_eq!(first.metrics_addr.to_string(), "127.0.0.1:9464");
    assert_eq!(first.drain_delay, Duration::ZERO);
    assert!(matches!(&first.callers, Callers::Open(caller) if caller.name.as_str() == "dev"));

    let kept = directory.path().join("dev.db.peppers");
    assert_eq!(fs::metadata(&kept)?.permissions().mode() & 0o777, 0o600);
    let second = loaded(Mode::Dev, &sources);
    assert_eq!(
        *first.peppers.active().expose(),
        *second.peppers.active().expose()
    );

    let given = sources.with_variable("COUNTERSIGN_PEPPERS", PEPPERS);
    assert_eq!(loaded(Mode::Dev, &given).peppers.active().id(), "p2");
    Ok(())
}

#[test]
fn dev_writes_nothing_when_anything_is_wrong() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/dev.db", directory.path().display());
    let sources = Sources::default()
        .with_variable("COUNTERSIGN_DATABASE_URL", &url)
        .with_variable("COUNTERSIGN_LOG", "inof");
    assert!(load(Mode::Dev, &sources).is_err());
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(())
}

#[test]
fn tools_demand_only_their_own_keys() {
    let sources = Sources::default()
        .with_variable("COUNTERSIGN_DATABASE_URL", "postgres://localhost/name")
        .with_variable(
            "COUNTERSIGN_DATABASE_DIRECT_URL",
            "postgres://127.0.0.1/name",
        );
    let migration = load_migration(&sources);
    assert_eq!(
        migration.map(|(url, bound)| (url.expose().to_owned(), bound)),
        Ok((
            "postgres://127.0.0.1/name".to_owned(),
            Duration::from_secs(1)
        ))
    );
    assert_eq!(load_policy(&sources).ok(), Policy::embedded().ok());
}
