//! `token issue|list|get|revoke` against a running server.

use serde_json::json;

use super::person::Person;

#[test]
fn an_issued_token_is_shown_once_and_works() {
    let person = Person::with_dev();
    let done = person.run("token issue --workspace demo --member max --name laptop --ttl 90d");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stderr, "");
    let lines: Vec<_> = done.stdout.lines().collect();
    let secret = lines.iter().find_map(|line| line.strip_prefix("secret: "));
    let secret = secret.unwrap().to_owned();
    let warning = "Keep it now: it is shown this once and cannot be shown again.";
    assert_eq!(lines.last(), Some(&warning));
    assert!(lines.contains(&"name       laptop"), "{}", done.stdout);
    assert!(!done.stdout.contains('\x1b'));

    let decision = person.run_with("authorize --action bookings.read --bearer", &secret);
    assert_eq!(decision.code, Some(0));
    let list = person.run("token list --workspace demo --all");
    assert!(!list.stdout.contains(&secret));
}

#[test]
fn each_expiry_is_taken_and_only_one() {
    let person = Person::with_dev();
    let issue = "token issue --workspace demo --member max --name";
    let never = person.json(&format!("{issue} a --never"));
    assert!(never["token"]["expires_at"].is_null());
    assert_eq!(never["warnings"][0]["kind"], "WARNING_KIND_NO_EXPIRY");
    assert!(never["secret"].as_str().unwrap().starts_with("csn_pat_1"));
    let unset = person.json(&format!("{issue} b"));
    assert!(unset["token"]["expires_at"].is_null());
    let at = person.json(&format!("{issue} c --expires-at 2099-01-31T01:00:00+01:00"));
    assert_eq!(at["token"]["expires_at"], "2099-01-31T00:00:00Z");
    let ttl = person.json(&format!("{issue} d --ttl 1500ms"));
    let year = |value: &serde_json::Value| value.as_str().unwrap()[..4].to_owned();
    assert_eq!(
        year(&ttl["token"]["expires_at"]),
        year(&ttl["token"]["created_at"])
    );

    for wrong in [
        "--ttl 1d --never",
        "--ttl 90",
        "--expires-at tomorrow",
        "--expires-at 2099-01-31",
    ] {
        let done = person.run(&format!("{issue} e {wrong}"));
        assert_eq!(done.code, Some(64), "{wrong}");
    }
}

#[test]
fn limits_are_passed_on_and_shown() {
    let person = Person::with_dev();
    let issue = "token issue --workspace demo --member max --name";
    let limits = "--scope bookings.*,*.list --scope users.read --allowed-cidr 192.0.2.0/24,::1";
    let issued = person.json(&format!("{issue} narrow {limits}"));
    let token = &issued["token"];
    assert_eq!(
        token["scopes"],
        json!(["bookings.*", "*.list", "users.read"])
    );
    assert_eq!(token["allowed_cidrs"], json!(["192.0.2.0/24", "::1/128"]));
    let id = token["token_id"].as_str().unwrap();
    let got = person.run(&format!("token get {id}"));
    for line in [
        "scopes     bookings.* *.list users.read",
        "networks   192.0.2.0/24 ::1/128",
    ] {
        assert!(
            got.stdout.lines().any(|told| told == line),
            "{}",
            got.stdout
        );
    }
    person.run(&format!("{issue} one --scope *.read"));
    let table = person
        .run("token list --workspace demo --member max")
        .stdout;
    let ends: Vec<Vec<_>> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let end = |line: usize| ends[line][ends[line].len() - 2..].to_vec();
    assert_eq!(end(1), ["*.read", "any"], "{table}");
    assert_eq!(end(2), ["bookings.* +2", "192.0.2.0/24 +1"], "{table}");
    assert_eq!(end(3), ["all", "any"], "{table}");
    let event = person.run("events --workspace demo --limit 2").stdout;
    for told in [
        "scopes=[\"bookings.*\",\"*.list\",\"users.read\"]",
        "allowed_cidrs=[\"192.0.2.0/24\",\"::1/128\"]",
    ] {
        assert!(event.contains(told), "{event}");
    }
    let lines: Vec<_> = event.lines().collect();
    assert!(
        !lines[1].contains("allowed_cidrs"),
        "what is not set is not told: {event}"
    );

    let secret = issued["secret"].as_str().unwrap();
    let read = "authorize --action bookings.read --bearer";
    let code = |arguments: &str| person.run_with(&format!("{read} {arguments}"), secret).code;
    assert_eq!(code("--client-ip 192.0.2.9"), Some(0));
    assert_eq!(code("--client-ip ::ffff:192.0.2.9"), Some(0));
    assert_eq!(code("--client-ip 192.0.3.9"), Some(1));
    assert_eq!(code("--explain"), Some(1));
    assert_eq!(code("--client-ip nowhere"), Some(2), "no decision");
    let missing = "authorize --action meeting-types.read --bearer --explain --client-ip ::1";
    let denied = person.run_with(missing, secret);
    assert_eq!(denied.code, Some(1));
    for line in [
        "reason         OUT_OF_SCOPE",
        "missing scope  meeting-types.read",
    ] {
        assert!(
            denied.stdout.lines().any(|told| told == line),
            "{}",
            denied.stdout
        );
    }
    let listed = person.run_with("permissions --client-ip ::1", secret);
    assert_eq!(listed.code, Some(0), "{}", listed.stdout);
    assert!(
        listed
            .stdout
            .contains("\nscopes     bookings.* *.list users.read\n")
    );
    assert!(listed.stdout.contains("\nbookings.read "));
    assert!(!listed.stdout.contains("meeting-types.read"));
    assert_eq!(person.run_with("permissions", secret).code, Some(1));

    let bad = person.run(&format!(
        "{issue} bad --scope tokens.* --allowed-cidr 192.0.2.1/24"
    ));
    assert_eq!(bad.code, Some(1));
    let told = "  scopes[0]: `tokens.*` is above what any token may do\n  \
                allowed_cidrs[0]: has bits set after its prefix: `192.0.2.0/24` has none\n";
    assert!(bad.stderr.ends_with(told), "{}", bad.stderr);
}

#[test]
fn a_token_without_expiry_is_warned_about() {
    let done = Person::with_dev().run("token issue --workspace demo --member max --name x");
    assert!(
        done.stdout.contains("\nwarning: the token never expires: "),
        "{}",
        done.stdout
    );
}

#[test]
fn what_the_server_refuses_is_one_sentence_with_its_reason() {
    let person = Person::with_dev();
    person
        .run("token issue --workspace demo --member max --name dev")
        .must_fail(
            1,
            "error: a live token of this member is already named `dev` (TOKEN_NAME_TAKEN)\n",
        );
    person
        .run("token issue --workspace demo --member nobody --name x")
        .must_fail(
            1,
            "error: member `nobody` does not exist in workspace `demo` (MEMBER_NOT_FOUND)\n",
        );
    let bad = person.run("token issue --workspace no/where --member a/b --name x");
    assert_eq!(bad.code, Some(1));
    let told: Vec<_> = bad.stderr.lines().collect();
    assert_eq!(told[0], "error: the request was refused (FIELD_MALFORMED)");
    assert!(told[1].starts_with("  workspace_id: must "), "{told:?}");
    assert!(told[2].starts_with("  member_id: must "), "{told:?}");
    assert_eq!(told.len(), 3);
}

#[test]
fn a_list_is_a_table_or_json_filtered_and_paged() {
    let person = Person::with_dev();
    for name in ["one", "two", "three"] {
        person.json(&format!(
            "token issue --workspace demo --member max --name {name}"
        ));
    }
    let table = person.run("token list --workspace demo --member max");
    let lines: Vec<Vec<_>> = table
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "TOKEN", "MEMBER", "NAME", "HINT", "STATE", "CREATED", "EXPIRES", "LAST", "USED",
            "SCOPES", "NETWORKS"
        ]
    );
    let names: Vec<_> = lines[1..].iter().map(|line| line[2]).collect();
    assert_eq!(names, ["three", "two", "one", "dev"]);
    assert!(lines[1..].iter().all(|line| line[4] == "ACTIVE"));
    assert_eq!(lines[1][6..], ["never", "never", "all", "any"]);
    assert!(!table.stdout.contains('\x1b'), "no colour in a pipe");

    let names = |command: &str| -> Vec<String> {
        let list = person.json(command);
        let tokens = list["tokens"].as_array().unwrap().iter();
        let name = |token: &serde_json::Value| token["name"].as_str().unwrap().to_owned();
        tokens.map(name).collect()
    };
    assert_eq!(
        names("token list --workspace demo --page-size 2"),
        ["three", "two"]
    );
    assert_eq!(
        names("token list --workspace demo --page-size 2 --all").len(),
        5
    );
    // None was used, and the demo's own expire.
    let list = "token list --workspace demo --member max";
    let unused = |since| names(&format!("{list} --unused-since {since}")).len();
    assert_eq!(unused("2000-01-01T00:00:00Z"), 0);
    assert_eq!(unused("2099-01-01T00:00:00Z"), 4);
    let ending = |before| names(&format!("{list} --expires-before {before}"));
    assert_eq!(ending("2000-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(ending("2099-01-01T00:00:00+01:00"), ["dev"]);
    let page = person.json("token list --workspace demo --page-size 4");
    let next = page["next_page_token"].as_str().unwrap();
    assert_eq!(
        names(&format!("token list --workspace demo --page-token {next}")),
        ["dev"]
    );
    let more = person.run("token list --workspace demo --page-size 2");
    assert!(
        more.stdout.contains("\nThere are more: add --all, or "),
        "{}",
        more.stdout
    );

    let id = person.json("token list --workspace demo --member ada")["tokens"][0]["token_id"]
        .as_str()
        .unwrap()
        .to_owned();
    person.json(&format!("token revoke {id}"));
    let of_state = |state: &str| {
        let command = format!("token list --workspace demo --state {state}");
        names(&command).len()
    };
    assert_eq!(of_state("active"), 4);
    assert_eq!(of_state("revoked"), 1);
    assert_eq!(of_state("expired"), 0);
    assert_eq!(of_state("active,revoked"), 5);
}

#[test]
fn colour_is_by_state_where_it_is_asked_for() {
    let person = Person::with_dev();
    let id = person.json("token list --workspace demo")["tokens"][0]["token_id"]
        .as_str()
        .unwrap()
        .to_owned();
    person.run(&format!("token revoke {id}"));
    let list = person.run("token list --workspace demo --color always");
    assert!(list.stdout.contains("\x1b[32mACTIVE\x1b[0m"));
    assert!(list.stdout.contains("\x1b[31mREVOKED\x1b[0m"));
    let plain = person.run("token list --workspace demo --color never");
    assert!(!plain.stdout.contains('\x1b'));
}

#[test]
fn a_token_is_found_and_revoked_by_id_and_by_secret() {
    let person = Person::with_dev();
    let (max, ada) = (person.token_of("max"), person.token_of("ada"));
    let by_secret = person.json_with("token get --secret-stdin", &max);
    let id = by_secret["token"]["token_id"].as_str().unwrap().to_owned();
    assert_eq!(person.json(&format!("token get {id}")), by_secret);
    let text = person.run(&format!("token get {id}"));
    assert!(
        text.stdout.contains("state      ACTIVE\n"),
        "{}",
        text.stdout
    );

    let revoked = person.json(&format!("token revoke {id} --reason lost"));
    assert_eq!(revoked["token"]["state"], "TOKEN_STATE_REVOKED");
    assert_eq!(revoked["token"]["revoke_reason"], "lost");
    // Again, by secret: it succeeds and tells of the first time.
    let file = person.file("secret", &format!("Bearer {max}\n"));
    let again = person.json(&format!("token revoke --secret-file {file}"));
    assert_eq!(again["token"], revoked["token"]);
    let text = person.run_with("token revoke --secret-stdin", &ada);
    assert!(
        text.stdout.contains("state       REVOKED\n"),
        "{}",
        text.stdout
    );
    let denied = person.run_with("authorize --action bookings.read --bearer", &max);
    assert_eq!(denied.code, Some(1));
}

#[test]
fn an_unknown_secret_is_told_apart_without_being_an_error() {
    let person = Person::with_dev();
    let got = person.run_with("token get --secret-stdin", "csn_pat_1nonsense");
    assert_eq!(got.code, Some(1));
    assert!(got.stdout.starts_with("nothing is told of this token: "));
    let revoked = person.run_with("token revoke --secret-stdin", "csn_pat_1nonsense");
    assert_eq!(revoked.code, Some(0));
    assert!(revoked.stdout.starts_with("done: "));
    for done in [got, revoked] {
        assert!(!(done.stdout + &done.stderr).contains("nonsense"));
    }
}

#[test]
fn a_target_is_given_in_exactly_one_way() {
    let person = Person::with_dev();
    for command in ["get", "revoke"] {
        for arguments in [
            "",
            " tok_1 --secret-stdin",
            " --secret-stdin --secret-file x",
        ] {
            let done = person.run(&format!("token {command}{arguments}"));
            assert_eq!(done.code, Some(64), "{command}{arguments}");
        }
        let id = person.run(&format!("token {command} hunter2"));
        assert_eq!(id.code, Some(64));
        assert!(id.stderr.contains("begins with `tok_`"), "{}", id.stderr);
        assert!(!id.stderr.contains("hunter2"));
    }
}

#[test]
fn a_secret_among_the_arguments_is_refused_and_not_repeated() {
    let person = Person::with_dev();
    let token = person.token_of("max");
    for command in [
        format!("token inspect {token}"),
        format!("token issue --secret {token}"),
        format!("authorize {token} --action bookings.read --bearer"),
        format!("permissions {token}"),
        format!("events --key csn_key_{}", "a".repeat(43)),
        format!("token get {token}"),
        format!("token revoke {token}"),
    ] {
        let done = person.run(&command);
        assert_eq!(done.code, Some(64), "{command}");
        let told = done.stdout + &done.stderr;
        assert!(!told.contains(&token) && !told.contains("aaaa"), "{told}");
        let is_unknown_option = told.contains("unexpected argument '--");
        let is_explained = told.contains("process list shows");
        assert!(is_explained || is_unknown_option, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_named_for_callers_that_act_for_members() {
    let platform = Person::with_serve().await.calling_as("platform");
    platform.json("workspace create acme --name Acme");
    platform.json("member put max --workspace acme --role member");
    let person = platform.calling_as("dashboard");
    let issue = "token issue --workspace acme --member max --name x";
    let without = person.run(issue);
    assert_eq!(without.code, Some(1));
    assert!(
        without.stderr.contains("(ACTOR_REQUIRED)\n  actor: "),
        "{}",
        without.stderr
    );
    let issued = person.json(&format!("{issue} --actor acme/max"));
    let id = issued["token"]["token_id"].as_str().unwrap();
    let list = person.json("token list --workspace acme --actor acme/max");
    assert_eq!(list["tokens"].as_array().unwrap().len(), 1);
    person.json(&format!("token get {id} --actor acme/max"));
    let revoked = person.json(&format!("token revoke {id} --actor acme/max"));
    let actor = &revoked["token"]["revoked_by"]["actor"];
    assert_eq!(actor["member_id"], "max");
    let text = person.run(&format!("token get {id} --actor acme/max"));
    assert!(
        text.stdout.contains("revoked by  dashboard for acme/max\n"),
        "{}",
        text.stdout
    );
    assert_eq!(person.run(&format!("{issue} --actor max")).code, Some(64));
}
