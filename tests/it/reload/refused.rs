//! A reload that is refused changes nothing, and says everything that is wrong; one that is taken in part says which part
//! waits for a restart.

use countersign::{domain::policy::Policy, pb::resource::Owner};

use super::running::{Reloads, Running, file, policies, until};

const NONE: Reloads = Reloads {
    applied: 0,
    refused: 0,
};

const KEPT: &str = "the configuration was not reloaded: the running one stays";

/// Other rules and another level, beside these lines.
fn other(more: &str) -> String {
    file(&format!(
        "log = \"debug\"\npolicy_file = \"other.toml\"\n{more}"
    ))
}

const OTHER: &str = "[resources.boats]\nverbs = [\"read\"]\n[roles.captain]\n";

fn embedded_hash() -> String {
    let embedded = Policy::embedded().expect("it is good");
    embedded.hash().to_owned()
}

fn other_hash() -> String {
    let other = Policy::parse(OTHER).expect("it is good");
    other.hash().to_owned()
}

/// Its callers, its policy and its level are those that it was started with.
async fn assert_unchanged(server: &Running) {
    assert_eq!(policies(&server.scrape()), [embedded_hash()]);
    let owner = Some(Owner::Bearer(true));
    server
        .client()
        .authorize("x", "bookings.read", "", owner)
        .await;
    assert_eq!(server.said("DEBUG"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_every_fault_is_told_by_signal_and_by_change() {
    let server = Running::start(&file(""), &[("other.toml", OTHER)]);
    let bad = other("drain_delay = \"1h\"\ntoken_prefix = \"9\"\nreflexion = true\n")
        .replace("\"authorize\"", "\"authorise\"");
    server.write("countersign.toml", &bad);
    let reloads = server.one_more(NONE, false);
    // Nothing has changed since: only the signal has it read again.
    server.hang_up();
    let reloads = server.one_more(reloads, false);
    // The log comes through a pipe, so it may be behind what was counted.
    until("both refusals are told of", || {
        server.said("ERROR").len() >= 2
    });
    let said = server.said("ERROR");
    assert_eq!(said.len(), 2, "{said:?}");
    for (message, error) in said {
        assert_eq!(message, KEPT);
        let keys: Vec<&str> = error
            .lines()
            .map(|fault| fault.split(' ').next().unwrap_or_default())
            .collect();
        let expected = ["reflexion", "token_prefix", "drain_delay", "callers.grants"];
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let mut told = keys.clone();
        told.sort_unstable();
        assert_eq!(told, expected, "{error}");
        assert!(error.contains("countersign.toml, line 7"), "{error}");
    }
    assert_unchanged(&server).await;

    server.write("countersign.toml", &other(""));
    let reloads = server.one_more(reloads, true);
    assert_eq!(policies(&server.scrape()), [other_hash()]);
    server.hang_up();
    server.one_more(reloads, true);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_broken_or_gone_change_nothing() {
    let configuration = file("policy_file = \"policy.toml\"\n");
    let good = include_str!("../../../src/domain/policy.toml");
    let server = Running::start(&configuration, &[("policy.toml", good)]);
    let told = |text: &str| {
        let said = server.said("ERROR");
        said.last().is_some_and(|(_, error)| error.contains(text))
    };
    let above =
        "[resources.users]\nverbs = [\"delete\"]\n[roles.admin]\nworkspace = [\"users.*\"]\n";
    for (name, text, fault) in [
        ("policy.toml", above, "`policy.toml`, line 4: "),
        ("policy.toml", "[", "`policy.toml`, line 1: "),
        ("countersign.toml", "callers =", "countersign.toml, line 1"),
        ("countersign.toml", "", "peppers (not set)"),
    ] {
        server.take(name, text, fault, || told(fault));
    }
    std::fs::remove_file(server.path("countersign.toml")).expect("it is there");
    let fault = "config (--config): cannot read `countersign.toml`: ";
    until("it is missed", || told(fault));
    assert_eq!(server.reloads().applied, 0);
    assert_unchanged(&server).await;

    server.write("policy.toml", good);
    server.take("countersign.toml", &configuration, "it is taken", || {
        server.reloads().applied > 0
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_need_a_restart_are_told_of_in_one_warning_and_the_rest_is_applied() {
    let server = Running::start(&file(""), &[("other.toml", OTHER)]);
    let changed =
        other("listen_addr = \"127.0.0.1:1\"\nreflection = false\ndrain_delay = \"3s\"\n");
    server.write("countersign.toml", &changed);
    server.one_more(NONE, true);
    assert_eq!(policies(&server.scrape()), [other_hash()]);
    let told =
        "`listen_addr`, `reflection`, `drain_delay` changed, which counts only after a restart";
    until("there is a warning", || !server.said("WARN").is_empty());
    assert_eq!(server.said("WARN"), [(told.to_owned(), String::new())]);
    // It is where it was.
    let owner = Some(Owner::Bearer(true));
    server
        .client()
        .authorize("x", "boats.read", "", owner)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_tls_is_spoken_does_not_change_with_a_reload() {
    let names = ["localhost".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let files = [
        ("other.toml", OTHER),
        ("cert.pem", &cert),
        ("key.pem", &key),
    ];
    // Last, since what follows a table's name is in it.
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    let told = "whether TLS is spoken changes at a restart only";
    let refuse = |server: &Running, more: &str| {
        server.take("countersign.toml", &other(more), "it is refused", || {
            server.reloads().refused > 0
        });
        until("it is told of", || !server.said("ERROR").is_empty());
        let said = server.said("ERROR");
        assert_eq!(said[0], (KEPT.to_owned(), told.to_owned()));
        assert_eq!(server.reloads().applied, 0);
    };

    let plain = Running::start(&file(""), &files);
    refuse(&plain, tls);
    assert_unchanged(&plain).await;

    let secured = Running::start(&file(tls), &files);
    refuse(&secured, "");
    assert_eq!(policies(&secured.scrape()), [embedded_hash()]);
    secured.take("countersign.toml", &other(tls), "it is taken", || {
        policies(&secured.scrape()) == [other_hash()]
    });
}
