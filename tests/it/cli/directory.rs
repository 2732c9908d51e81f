//! `member …`, `workspace …` and `events` against a running server.

use super::person::Person;

#[test]
fn a_member_is_put_changed_suspended_and_removed() {
    let person = Person::with_dev();
    let member = |command: &str| person.json(command)["member"].clone();
    let put = member("member put eve --workspace demo --role member");
    assert_eq!(put["state"], "MEMBER_STATE_ACTIVE");
    assert_eq!(put["role"], "member");
    assert_eq!(member("member get eve --workspace demo"), put);
    let etag = put["etag"].as_str().unwrap();
    let guarded = format!("member set-role eve --workspace demo --role admin --etag {etag}");
    assert_eq!(member(&guarded)["role"], "admin");
    let late = person.run(&guarded);
    assert_eq!(late.code, Some(1));
    assert!(late.stderr.contains("(ETAG_MISMATCH)"), "{}", late.stderr);
    let suspended = member("member suspend eve --workspace demo");
    assert_eq!(suspended["state"], "MEMBER_STATE_SUSPENDED");
    let active = member("member reactivate eve --workspace demo");
    assert_eq!(active["state"], "MEMBER_STATE_ACTIVE");

    person
        .run("member remove eve --workspace demo")
        .must_fail(
            64,
            "error: this removes member `eve` of workspace `demo` and ends its tokens for good: add --yes to do it\n",
        );
    let removed = member("member remove eve --workspace demo --yes");
    assert_eq!(removed["state"], "MEMBER_STATE_REMOVED");
    let text = person.run("member get eve --workspace demo");
    assert!(
        text.stdout.contains("state      REMOVED\n"),
        "{}",
        text.stdout
    );
}

#[test]
fn members_are_a_table_or_json() {
    let person = Person::with_dev();
    let table = person.run("member list --workspace demo");
    let lines: Vec<Vec<_>> = table
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["MEMBER", "ROLE", "STATE", "CREATED", "UPDATED"]);
    assert_eq!(lines[1][..3], ["ada", "admin", "ACTIVE"]);
    assert_eq!(lines[2][..3], ["max", "member", "ACTIVE"]);
    let list = person.json("member list --workspace demo --page-size 1 --all");
    assert_eq!(list["members"].as_array().unwrap().len(), 2);
    assert_eq!(list["next_page_token"], "");
}

#[test]
fn what_the_directory_refuses_is_told() {
    let person = Person::with_dev();
    person
        .run("member put eve --workspace demo --role boss")
        .must_fail(
            1,
            "error: the request was refused (ROLE_UNKNOWN)\n  role: `boss` is not a role of the policy\n",
        );
    person.run("member list --workspace nowhere").must_fail(
        1,
        "error: workspace `nowhere` does not exist (WORKSPACE_NOT_FOUND)\n",
    );
    person.run("workspace create demo --name Demo").must_fail(
        1,
        "error: workspace `demo` exists already (WORKSPACE_EXISTS)\n",
    );
}

#[test]
fn a_workspace_is_created_changed_and_deleted() {
    let person = Person::with_dev();
    let workspace = |command: &str| person.json(command)["workspace"].clone();
    let created = workspace("workspace create acme --name Acme");
    assert_eq!(created["name"], "Acme");
    assert_eq!(workspace("workspace get acme"), created);
    let renamed = workspace("workspace update acme --name Ajax");
    assert_eq!(renamed["name"], "Ajax");
    assert_eq!(renamed["state"], "WORKSPACE_STATE_ACTIVE");
    let both = workspace("workspace update acme --name Acme --state suspended");
    assert_eq!(both["name"], "Acme");
    assert_eq!(both["state"], "WORKSPACE_STATE_SUSPENDED");
    let active = workspace("workspace update acme --state active");
    assert_eq!(active["state"], "WORKSPACE_STATE_ACTIVE");
    assert_eq!(active["name"], "Acme");
    assert_eq!(person.run("workspace update acme").code, Some(64));

    let list = person.run("workspace list");
    let ids: Vec<_> = list
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(ids, ["WORKSPACE", "acme", "demo"]);

    let asked = person.run("workspace delete acme");
    assert_eq!(asked.code, Some(64));
    assert!(asked.stderr.contains("add --yes to do it"));
    let still = workspace("workspace get acme");
    assert_eq!(still["state"], "WORKSPACE_STATE_ACTIVE");
    let deleted = workspace("workspace delete acme --yes");
    assert_eq!(deleted["state"], "WORKSPACE_STATE_DELETED");
    let text = person.run("workspace get acme");
    assert!(text.stdout.contains("state      DELETED\n"));
}

#[test]
fn events_are_told_newest_first_up_to_the_limit() {
    let person = Person::with_dev();
    person.json("workspace create acme --name Acme");
    person.json("member put eve --workspace acme --role admin");
    let table = person.run("events --workspace acme");
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("AT "));
    assert!(
        lines[1].contains("member added") && lines[1].ends_with("role=admin"),
        "{}",
        table.stdout
    );
    assert!(
        lines[2].contains("workspace created") && lines[2].ends_with("name=Acme"),
        "{}",
        table.stdout
    );
    assert_eq!(lines.len(), 3);

    let json = person.json("events --workspace acme --limit 1");
    let event = &json["events"][0];
    assert_eq!(event["member_added"]["role"], "admin");
    assert_eq!(event["caller"], "dev");
    assert!(event["actor"].is_null());
    assert_eq!(json["events"].as_array().unwrap().len(), 1);
    assert_ne!(json["next_page_token"], "");
    let more = person.run("events --limit 2");
    assert!(more.stdout.ends_with("\nThere are more: raise --limit\n"));
    let all = person.json("events --limit 1000");
    assert_eq!(all["next_page_token"], "");
    assert!(all["events"].as_array().unwrap().last().unwrap()["feed_started"].is_object());
    assert_eq!(person.run("events --limit 0").code, Some(64));
}
