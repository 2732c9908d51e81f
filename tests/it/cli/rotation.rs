//! `token rotate|revoke-all|revoke-leaked`, and requests that are sent again, against a running server.

use super::person::Person;

#[test]
fn a_rotated_token_has_a_successor_whose_secret_is_shown_once() {
    let person = Person::with_dev();
    let issued = person.json("token issue --workspace demo --member max --name laptop --never");
    let id = issued["token"]["token_id"].as_str().unwrap();
    let old = issued["secret"].as_str().unwrap();
    let rotate = format!("token rotate {id} --overlap 1h --ttl 90d --request-id monday");
    let done = person.run(&rotate);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let lines: Vec<_> = done.stdout.lines().collect();
    let secret = lines.iter().find_map(|line| line.strip_prefix("secret: "));
    let secret = secret.unwrap();
    assert!(lines.contains(&"name         laptop"), "{}", done.stdout);
    assert!(lines.contains(&format!("predecessor  {id}").as_str()));
    let last = lines.last().unwrap();
    assert!(last.starts_with(&format!("The token {id} works until 2")));
    for secret in [old, secret] {
        let decision = person.run_with("authorize --action bookings.read --bearer", secret);
        assert_eq!(decision.code, Some(0));
    }

    // Again: told, without the secret. And another request is not the same.
    let again = person.run(&rotate);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stdout.contains("csn_pat_1"));
    assert!(
        again
            .stdout
            .contains("\nMade before, by the same request id: ")
    );
    let again = person.json(&rotate);
    assert_eq!(again["replayed"], true);
    assert_eq!(again["secret"], "");
    assert_eq!(again["predecessor"]["token_id"], id);
    let successor = again["token"]["token_id"].as_str().unwrap();
    person
        .run("token issue --workspace demo --member max --name other --request-id monday")
        .must_fail(
            1,
            "error: request id `monday` was used for another request (REQUEST_ID_REUSED)\n",
        );
    person.run(&format!("token rotate {id}")).must_fail(
        1,
        &format!(
            "error: token `{id}` was rotated already: its successor is `{successor}` (TOKEN_ROTATED)\n"
        ),
    );
    for line in [&format!("token rotate {old}"), "token rotate"] {
        let done = person.run(line);
        assert_eq!(done.code, Some(64), "{}", done.stderr);
        assert!(!done.stderr.contains(old));
    }
}

#[test]
fn a_retried_issue_or_revocation_is_told() {
    let person = Person::with_dev();
    let issue = "token issue --workspace demo --member max --name a --ttl 1d --request-id one";
    let first = person.json(issue);
    assert_eq!(first["replayed"], false);
    let again = person.json(issue);
    assert_eq!(
        (&again["replayed"], &again["secret"]),
        (&true.into(), &"".into())
    );
    assert_eq!(again["token"], first["token"]);
    let id = first["token"]["token_id"].as_str().unwrap();
    let revoke = format!("token revoke {id} --request-id two");
    assert_eq!(person.json(&revoke)["replayed"], false);
    assert_eq!(person.json(&revoke)["replayed"], true);
}

#[test]
fn every_token_of_a_member_or_workspace_ends_with_yes() {
    let person = Person::with_dev();
    let state = |member: &str| {
        let list = person.json(&format!("token list --workspace demo --member {member}"));
        list["tokens"][0]["state"].as_str().unwrap().to_owned()
    };
    let of_max = "token revoke-all --workspace demo --member max --reason over";
    let done = person.run(of_max);
    assert_eq!(done.code, Some(64));
    assert!(done.stderr.contains("add --yes"), "{}", done.stderr);
    assert_eq!(state("max"), "TOKEN_STATE_ACTIVE");
    let done = person.run(&format!("{of_max} --yes"));
    assert_eq!(
        done.stdout,
        "done: every token of member `max` of workspace `demo` has ended\n"
    );
    assert_eq!(state("max"), "TOKEN_STATE_REVOKED");
    assert_eq!(state("ada"), "TOKEN_STATE_ACTIVE");
    let done = person.json("token revoke-all --workspace demo --yes");
    assert!(done["revision"].as_str().unwrap().contains('-'));
    assert_eq!(state("ada"), "TOKEN_STATE_REVOKED");
}

#[test]
fn leaked_secrets_are_read_from_standard_input_or_a_file() {
    let person = Person::with_dev();
    let mut secrets = Vec::new();
    for name in ["a", "b", "c"] {
        let line = format!("token issue --workspace demo --member max --name {name} --ttl 1d");
        let secret = person.json(&line)["secret"].as_str().unwrap().to_owned();
        secrets.push(secret);
    }
    let report = "token revoke-leaked --source paste";
    let told = "done: those of them that were tokens authorize nothing now\n";
    let lines = format!("{}\n\n  Bearer {}\nnonsense\n", secrets[0], secrets[1]);
    let done = person.run_with(report, &lines);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), told),
        "{}",
        done.stderr
    );
    // More than one request holds.
    let mut many = "nonsense\n".repeat(2500);
    many.push_str(&secrets[2]);
    let file = person.file("found", &many);
    let done = person.run(&format!("{report} --secrets-file {file}"));
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), told),
        "{}",
        done.stderr
    );
    for secret in &secrets {
        let decision = person.run_with("authorize --action bookings.read --bearer", secret);
        assert_eq!(decision.code, Some(1));
    }
    let list = person.json("token list --workspace demo --state revoked");
    let tokens = list["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    for token in tokens {
        assert_eq!(token["revoke_reason"], "leaked: paste");
    }
    person
        .run_with(report, " \n\n")
        .must_fail(64, "error: there is no secret to read\n");
}
