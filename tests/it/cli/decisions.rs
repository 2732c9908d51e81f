//! `authorize` and `permissions`: the answer is in the exit code, and no failure is a denial.

use super::person::Person;

#[test]
fn an_allow_exits_with_0_and_a_denial_with_1() {
    let person = Person::with_dev();
    let (max, ada) = (person.token_of("max"), person.token_of("ada"));
    let read = "authorize --action bookings.read --bearer";
    let allowed = person.run_with(read, &max);
    assert_eq!(allowed.code, Some(0));
    assert!(
        allowed
            .stdout
            .starts_with("decision   ALLOW\nmessage    allowed\nreach      OWN\n"),
        "{}",
        allowed.stdout
    );
    assert!(allowed.stdout.contains("\nmember     max\n"));

    let list = "authorize --action users.list --collection";
    let denied = person.run_with(list, &max);
    assert_eq!(denied.code, Some(1));
    assert_eq!(denied.stderr, "");
    assert!(
        denied.stdout.starts_with(
            "decision   DENY\nreason     ROLE_NOT_PERMITTED\nmessage    the user's role "
        ),
        "{}",
        denied.stdout
    );
    let file = person.file("ada", &format!("Bearer {ada}\n"));
    let by_file = person.run(&format!("{list} --token-file {file}"));
    assert_eq!(by_file.code, Some(0));
    assert!(by_file.stdout.contains("reach      WORKSPACE\n"));
    for done in [allowed, denied, by_file] {
        assert!(!done.stdout.contains('\x1b'));
        assert!(!done.stdout.contains(&max) && !done.stdout.contains(&ada));
    }
}

#[test]
fn each_owner_and_circumstance_is_passed_on() {
    let person = Person::with_dev();
    let max = person.token_of("max");
    let code = |arguments: &str| {
        let command = format!("authorize --action bookings.read {arguments}");
        person.run_with(&command, &max).code
    };
    assert_eq!(code("--workspace demo --owner-id max"), Some(0));
    assert_eq!(code("--workspace demo --owner-id ada"), Some(1));
    assert_eq!(code("--workspace demo --no-owner"), Some(1));
    assert_eq!(code("--workspace other --bearer"), Some(1));
    assert_eq!(code("--bearer --on-behalf-of max"), Some(0));
    assert_eq!(code("--bearer --on-behalf-of ada"), Some(1));
    assert_eq!(code(""), Some(64), "a forgotten owner is no decision");
    assert_eq!(code("--bearer --collection"), Some(64));
}

#[test]
fn an_explanation_is_printed_where_it_is_asked_for() {
    let person = Person::with_dev();
    let max = person.token_of("max");
    let read = "authorize --action bookings.read --bearer";
    let text = person.run_with(&format!("{read} --explain"), &max);
    assert!(text.stdout.contains("\nrule          "), "{}", text.stdout);
    assert!(text.stdout.contains("\npolicy        "), "{}", text.stdout);
    let json = person.json_with(&format!("{read} --explain"), &max);
    assert_eq!(json["explanation"]["role"], "member");
    assert_eq!(json["decision"]["outcome"], "OUTCOME_ALLOW");
    let without = person.json_with(read, &max);
    assert!(without["explanation"].is_null());
}

#[test]
fn colour_tells_allow_from_deny() {
    let person = Person::with_dev();
    let max = person.token_of("max");
    let painted = |arguments: &str| {
        let command = format!("authorize {arguments} --color always");
        person.run_with(&command, &max).stdout
    };
    let allowed = painted("--action bookings.read --bearer");
    assert!(allowed.contains("\x1b[32mALLOW\x1b[0m"), "{allowed}");
    let denied = painted("--action users.read --bearer");
    assert!(denied.contains("\x1b[31mDENY\x1b[0m"), "{denied}");
}

#[test]
fn what_the_bearer_presents_is_decided_and_what_the_caller_asks_may_be_wrong() {
    let person = Person::with_dev();
    let read = "authorize --action bookings.read --bearer";
    for odd in ["", "hunter2"] {
        let denied = person.run_with(read, odd);
        assert_eq!(denied.code, Some(1));
        assert!(denied.stdout.contains("MALFORMED_TOKEN"));
    }
    let wrong = person.run_with("authorize --action nonsense --no-owner", "x");
    wrong.must_fail(
        2,
        "error: the request was refused (FIELD_MALFORMED)\n  \
         action: must be `<resource type>.<verb>` in lower-case kebab, such as `bookings.read`\n  \
         resource.workspace_id: is required\n",
    );
    let unreadable = person.run(&format!("{read} --token-file nowhere"));
    assert_eq!(unreadable.code, Some(2), "{}", unreadable.stderr);
}

#[test]
fn permissions_are_listed_for_a_good_token_only() {
    let person = Person::with_dev();
    let max = person.token_of("max");
    let good = person.run_with("permissions", &max);
    assert_eq!(good.code, Some(0));
    assert!(good.stdout.starts_with("state      good\n"));
    assert!(good.stdout.contains("\nmember     max\n"));
    let shown = good.stdout.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words == ["bookings.read", "OWN"]
    });
    assert!(shown, "{}", good.stdout);
    let json = person.json_with("permissions", &max);
    assert_eq!(json["principal"]["member_id"], "max");
    assert_eq!(json["permissions"][0]["reach"], "REACH_OWN");

    let bad = person.run_with("permissions", "hunter2");
    assert_eq!(bad.code, Some(1));
    assert_eq!(bad.stdout, "state  MALFORMED_TOKEN\n");
    let foreign = person.run_with("permissions --on-behalf-of ada", &max);
    assert_eq!(foreign.code, Some(1));
    assert!(foreign.stdout.contains("IMPERSONATION"));
    let nowhere = person.run_with("permissions --server 127.0.0.1:1", &max);
    assert_eq!(nowhere.code, Some(2));
}
