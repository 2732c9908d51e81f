//! The log of decisions of the real binary: every denial and a share of the allows, each found by the id in its answer, and
//! never a secret.

use countersign::pb::{
    BatchAuthorizeRequest, BatchMode, Check, DenyReason, Outcome, Resource, resource::Owner,
};
use serde_json::Value;

use super::traces::migrate;
use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    http::Scrape,
    process::Process,
    server::{BOOKINGS, PLATFORM, key_of},
};

async fn start(database: &TestDatabase, config: &str) -> (Process, Client, Client) {
    migrate(database).await;
    let process = Process::serve(database, config);
    let platform = process.client_with_key(Some(&key_of(PLATFORM)));
    let bookings = process.client_with_key(Some(&key_of(BOOKINGS)));
    (process, platform, bookings)
}

/// Stops the server, and answers what it logged of decisions.
fn logged(process: &mut Process) -> Vec<Value> {
    assert!(process.signal("TERM").success());
    let log = process.log();
    let read = |line| serde_json::from_str(line).expect("a line is JSON");
    let lines = log.lines().map(read);
    lines
        .filter(|line: &Value| line["target"] == "countersign::decision")
        .collect()
}

/// Asks about the bearer's own; the outcome, the reason, and by what it is found in the log.
async fn ask(client: &Client, secret: &str) -> (Outcome, DenyReason, String) {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    let decision = answer.decision.expect("a decision");
    (decision.outcome(), decision.reason(), answer.decision_id)
}

fn check(action: &str, owner: Owner) -> Check {
    Check {
        action: action.to_owned(),
        resource: Some(Resource {
            workspace_id: "acme".to_owned(),
            owner: Some(owner),
            ..Default::default()
        }),
    }
}

async fn a_logged_decision_tells_what_was_decided_and_no_secret(database: TestDatabase) {
    let (mut process, platform, bookings) = start(&database, "decision_log = \"1\"").await;
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let issued = platform.issue("acme", "max", "deploy", None).await;
    let token_id = issued.token.expect("a token").token_id;
    let secret = issued.secret;
    // From the database, and from memory.
    let allows = [ask(&bookings, &secret).await, ask(&bookings, &secret).await];
    let request = BatchAuthorizeRequest {
        token: secret.clone(),
        checks: vec![
            check("bookings.read", Owner::Bearer(true)),
            check("bookings.read", Owner::OwnerId("eve".to_owned())),
        ],
        mode: BatchMode::All.into(),
        ..Default::default()
    };
    let mut authorization = bookings.authorization.clone();
    let batch = authorization.batch_authorize(request).await;
    let batch = batch.expect("decisions").into_inner();
    platform.revoke(&token_id).await;
    let revoked = ask(&bookings, &secret).await;
    assert_eq!(revoked.1, DenyReason::RevokedToken);
    let malformed = ask(&bookings, "nonsense-that-is-no-token").await;
    assert_eq!(malformed.1, DenyReason::MalformedToken);
    let scrape = Scrape::of(process.metrics_address()).await;
    assert_eq!(
        scrape.get("countersign_decisions_unlogged_total"),
        Some(0.0)
    );

    let lines = logged(&mut process);
    let found: Vec<[&str; 7]> = lines
        .iter()
        .map(|line| {
            [
                "decision_id",
                "outcome",
                "reason",
                "reach",
                "token_id",
                "action",
                "caller",
            ]
            .map(|field| line[field].as_str().unwrap_or_default())
        })
        .collect();
    let id = token_id.as_str();
    let row = |decision_id, outcome, reason, reach, token_id| {
        [
            decision_id,
            outcome,
            reason,
            reach,
            token_id,
            "bookings.read",
            BOOKINGS,
        ]
    };
    let expected = [
        row(&*allows[0].2, "ALLOW", "", "OWN", id),
        row(&*allows[1].2, "ALLOW", "", "OWN", id),
        row(&*batch.decision_id, "ALLOW", "", "OWN", id),
        row(&*batch.decision_id, "DENY", "NOT_OWNER", "", id),
        row(&*revoked.2, "DENY", "REVOKED_TOKEN", "", id),
        row(&*malformed.2, "DENY", "MALFORMED_TOKEN", "", ""),
    ];
    assert_eq!(found, expected);
    for line in &lines[..5] {
        assert_eq!(
            (&line["workspace_id"], &line["member_id"]),
            (&"acme".into(), &"max".into())
        );
        assert!(line["revision"].is_string(), "{line}");
    }
    let ids = [
        &allows[0].2,
        &allows[1].2,
        &batch.decision_id,
        &revoked.2,
        &malformed.2,
    ];
    let mut distinct = ids.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len());
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    let log = process.log();
    assert!(!log.contains(&secret[8..]) && !log.contains("nonsense"));
}

async fn of_allows_only_the_share_is_logged(database: TestDatabase) {
    let cases = [
        ("decision_log = \"0\"", 0, 20),
        ("decision_log = \"0.25\"", 25, 20),
        ("", 0, 0),
        (
            "decision_log = \"1\"\nlog = \"info,countersign::decision=off\"",
            0,
            0,
        ),
    ];
    for (number, (config, allows, denials)) in cases.into_iter().enumerate() {
        let (mut process, platform, bookings) = start(&database, config).await;
        if number == 0 {
            platform.create_workspace("acme").await;
            platform.put_member("acme", "max", "member").await;
        }
        let name = format!("token {number}");
        let issued = platform.issue("acme", "max", &name, None).await;
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(ask(&bookings, &issued.secret).await.2);
        }
        for _ in 0..20 {
            ids.push(ask(&bookings, "nonsense").await.2);
        }
        let lines = logged(&mut process);
        let count = |outcome| {
            let is_it = |line: &&Value| line["outcome"] == outcome;
            lines.iter().filter(is_it).count()
        };
        // Evenly spread, though not to the one.
        let off_by = if allows == 0 { 0 } else { 4 };
        let logged_allows = count("ALLOW");
        assert!(
            logged_allows.abs_diff(allows) <= off_by,
            "{config}: {logged_allows}"
        );
        assert_eq!(count("DENY"), denials, "{config}");
        // Whatever is logged is found by what its answer had.
        ids.retain(|id| !id.is_empty());
        if !config.contains("off") {
            let logged: Vec<&str> = lines
                .iter()
                .map(|line| line["decision_id"].as_str().expect("an id"))
                .collect();
            assert_eq!(logged, ids, "{config}");
        }
    }
}

on_both![
    a_logged_decision_tells_what_was_decided_and_no_secret,
    of_allows_only_the_share_is_logged,
];
