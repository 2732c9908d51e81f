//! The way to the server: where it is, the service key, and what is said when either is wrong.

use super::person::Person;
use crate::support::{
    process::countersign,
    server::{BOOKINGS, PLATFORM, key_of},
};

/// Every command that talks to a server and needs a key.
const COMMANDS: [&str; 20] = [
    "token issue --workspace demo --member max --name x",
    "token list --workspace demo",
    "token get tok_1",
    "token revoke tok_1",
    "member list --workspace demo",
    "member get max --workspace demo",
    "member put max --workspace demo --role member",
    "member set-role max --workspace demo --role member",
    "member suspend max --workspace demo",
    "member reactivate max --workspace demo",
    "member remove max --workspace demo --yes",
    "workspace create demo --name Demo",
    "workspace get demo",
    "workspace list",
    "workspace update demo --name Demo",
    "workspace delete demo --yes",
    "events",
    "token get --secret-stdin",
    "authorize --action bookings.read --bearer",
    "permissions",
];

fn code_of_failure(command: &str) -> i32 {
    match command.starts_with("authorize") || command.starts_with("permissions") {
        true => 2,
        false => 1,
    }
}

#[test]
fn without_a_server_every_command_says_what_was_tried() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS.into_iter().chain(["healthcheck"]) {
        let words = command.split(' ').chain(["--server", &address]);
        let done = super::person::run(countersign(words, &folder), "x");
        let told = format!(
            "error: cannot reach http://{address}: Connection refused (os error 111)\n  \
             is it running there? say where it is with `--server` or COUNTERSIGN_SERVER\n"
        );
        done.must_fail(code_of_failure(command), &told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_with_a_wrong_one_every_command_is_refused() {
    let mut person = Person::with_serve().await;
    // Failed authentication is limited to 10 a second.
    let patiently = |person: &Person, command: &str| loop {
        let done = person.run_with(command, "x");
        if !done.stderr.contains("(TOO_MANY_REQUESTS)") {
            return done;
        }
        assert!(done.stderr.contains("\n  trying again may help, after "));
    };
    for command in COMMANDS {
        let done = patiently(&person, command);
        let told = "error: a credential is required: send a service key as `x-countersign-key`, \
                    an identity token as `authorization`, or a client certificate that names a caller (CREDENTIAL_MISSING)\n  \
                    give a service key: `--key-file`, COUNTERSIGN_KEY_FILE or COUNTERSIGN_KEY\n";
        done.must_fail(code_of_failure(command), told);
    }
    person = person.env("COUNTERSIGN_KEY", &key_of("nobody"));
    for command in ["events", "authorize --action bookings.read --bearer"] {
        let done = patiently(&person, command);
        let told = "error: the credential is not valid (CREDENTIAL_INVALID)\n";
        done.must_fail(code_of_failure(command), told);
    }
    person = person.calling_as(BOOKINGS);
    person.run("events").must_fail(
        1,
        "error: caller `bookings` lacks the grant `events.read` (GRANT_MISSING)\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_from_the_environment_or_a_file() {
    let person = Person::with_serve().await.calling_as(PLATFORM);
    assert_eq!(person.run("events").code, Some(0));

    let key = key_of(PLATFORM);
    let alone = person.file("alone", &format!("{key}\n"));
    let whole = person.file("whole", &format!("key: {key}\ndigest: blake3:00\n"));
    let empty = person.file("empty", "\n");
    let two = person.env("COUNTERSIGN_KEY_FILE", &alone);
    two.run("events").must_fail(
        64,
        "error: COUNTERSIGN_KEY and COUNTERSIGN_KEY_FILE are both set: set one of them\n",
    );
    let named = two.env("COUNTERSIGN_KEY", "");
    assert_eq!(named.run("events").code, Some(0));
    // A flag overrides the environment.
    let wrong = named.env("COUNTERSIGN_KEY_FILE", "nowhere");
    let done = wrong.run("events");
    assert!(
        done.stderr.starts_with("error: cannot read `nowhere`: "),
        "{}",
        done.stderr
    );
    for file in [&alone, &whole] {
        let done = wrong.run(&format!("events --key-file {file}"));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    let done = wrong.run(&format!("events --key-file {empty}"));
    let told = format!(
        "error: `{empty}` holds no service key: it should be one word, `csn_key_` and 43 characters\n"
    );
    done.must_fail(1, &told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_needs_no_key_and_answers_by_its_exit_code() {
    let person = Person::with_serve().await;
    let serving = person.run("healthcheck");
    assert_eq!(
        (serving.code, serving.stdout.as_str()),
        (Some(0), "SERVING\n")
    );
    let json = person.json("healthcheck").to_string();
    assert_eq!(json, r#"{"service":"","status":"SERVING"}"#);
    let unknown = person.run("healthcheck --service nonsense");
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.starts_with("error: "), "{}", unknown.stderr);
}

#[test]
fn an_address_is_taken_in_each_of_its_forms_or_refused() {
    let person = Person::with_dev();
    let address = person.process.address();
    for form in [format!("{address}"), format!("http://{address}/")] {
        let done = person.run(&format!("healthcheck --server {form}"));
        assert_eq!(done.code, Some(0), "{form}: {}", done.stderr);
    }
    for form in ["ftp://x", "http://x/path", ":1"] {
        let done = person.run(&format!("healthcheck --server {form}"));
        assert_eq!(done.code, Some(64), "{form}");
    }
    let tls = person.run(&format!("healthcheck --server https://{address}"));
    assert_eq!(tls.code, Some(1));
    assert!(
        tls.stderr.contains("does it speak TLS there?"),
        "{}",
        tls.stderr
    );
    let files = person.run("healthcheck --ca-file ca.pem");
    assert_eq!(files.code, Some(64));
    assert!(
        files.stderr.contains("write `https://…`"),
        "{}",
        files.stderr
    );
    let missing = person.run(&format!(
        "healthcheck --server https://{address} --ca-file nowhere"
    ));
    assert!(missing.stderr.starts_with("error: cannot read `nowhere`: "));
    let wrong = person.file("wrong.pem", "not a certificate");
    let wrong = format!("healthcheck --server https://{address} --ca-file {wrong}");
    let wrong = person.run(&wrong);
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong
            .stderr
            .ends_with("wrong.pem` holds no certificate (PEM)\n"),
        "{}",
        wrong.stderr
    );
    let half = person.run("healthcheck --client-cert c.pem");
    assert_eq!(half.code, Some(64));
}

#[test]
fn a_server_that_does_not_answer_is_given_up_on() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = format!("--server={address}");
    let words = ["healthcheck", "--timeout", "300ms", &server];
    let done = super::person::run(countersign(words, &folder), "");
    let told = format!(
        "error: no answer from http://{address} within 300ms\n  wait longer with `--timeout`\n"
    );
    done.must_fail(1, &told);
}
