//! Secrets that were found where they should not be: their tokens are revoked in one change, and nobody learns which of them
//! were tokens.

use std::{collections::BTreeSet, time::Duration};

use countersign::pb::{
    Actor, RevokeLeakedTokensRequest, RevokeTokensRequest, TokenState, event::Details,
};
use tonic::{Code, Status};

use crate::support::{
    call::unknown_secret,
    client::{Client, events, get, revoke_request, rotate_request},
    database::{TestDatabase, on_both},
    history::History,
    server::{BOOKINGS, PLATFORM, TestServer},
    status::assert_status,
};

/// A token that was issued: its id and its secret.
type Issued = (String, String);

async fn start(database: &TestDatabase) -> (TestServer, Client) {
    let server = TestServer::start(database).await;
    let platform = server.client(PLATFORM);
    for workspace_id in ["acme", "other"] {
        platform.create_workspace(workspace_id).await;
        for member_id in ["max", "pia"] {
            platform.put_member(workspace_id, member_id, "member").await;
        }
    }
    (server, platform)
}

async fn issue(client: &Client, workspace_id: &str, member_id: &str, name: &str) -> Issued {
    let issued = client.issue(workspace_id, member_id, name, None).await;
    (issued.token.expect("a token").token_id, issued.secret)
}

/// So many tokens of each member of each workspace.
async fn issue_everywhere(client: &Client, each: usize) -> Vec<Issued> {
    let mut issued = Vec::new();
    for number in 0..each {
        for workspace_id in ["acme", "other"] {
            for member_id in ["max", "pia"] {
                let name = format!("{number}");
                issued.push(issue(client, workspace_id, member_id, &name).await);
            }
        }
    }
    issued
}

async fn report(client: &Client, secrets: Vec<String>, source: &str) -> Result<String, Status> {
    let request = RevokeLeakedTokensRequest {
        secrets,
        source: source.to_owned(),
    };
    let answer = client.tokens.clone().revoke_leaked_tokens(request).await;
    answer.map(|answer| answer.into_inner().revision)
}

async fn what_was_found_is_revoked_and_nothing_else(database: TestDatabase) {
    let (_server, platform) = start(&database).await;
    let leaked = issue_everywhere(&platform, 3).await;
    let (kept, _) = issue(&platform, "acme", "max", "kept").await;
    let dead = issue(&platform, "acme", "max", "dead").await;
    platform.revoke(&dead.0).await;
    let before = events(&platform).await.len();

    let mut secrets: Vec<String> = leaked.iter().map(|(_, secret)| secret.clone()).collect();
    // As a header value, twice, dead, unknown, and none at all.
    secrets[0] = format!("Bearer {}", secrets[0]);
    secrets.push(leaked[1].1.clone());
    secrets.push(dead.1);
    secrets.push(unknown_secret());
    secrets.extend(["nonsense".to_owned(), String::new()]);
    let revision = report(&platform, secrets.clone(), "paste site").await;
    let revision = revision.expect("an answer");

    for (token_id, _) in &leaked {
        let token = get(&platform, token_id).await;
        assert_eq!(token.state(), TokenState::Revoked);
        assert_eq!(token.revoke_reason, "leaked: paste site");
        assert_eq!(token.revoked_by.expect("somebody").caller, PLATFORM);
    }
    assert_eq!(get(&platform, &kept).await.state(), TokenState::Active);
    assert_eq!(
        get(&platform, &dead.0).await.revoke_reason,
        "no longer needed"
    );
    let told = events(&platform).await;
    assert_eq!(told.len(), before + leaked.len());
    assert_eq!(told[0].revision, revision);
    let mut of = BTreeSet::new();
    for event in &told[..leaked.len()] {
        let Some(Details::TokenRevoked(details)) = &event.details else {
            panic!("{event:?}");
        };
        assert_eq!(details.reason, "leaked: paste site");
        assert_eq!(details.leak_source.as_deref(), Some("paste site"));
        assert!(details.by_secret);
        of.insert(event.token_id.clone());
    }
    assert_eq!(of, leaked.into_iter().map(|(id, _)| id).collect());
    History::read(&database).await.assert_sound(&[]);

    let before = database.dump().await;
    let again = report(&platform, secrets, "paste site").await;
    assert_eq!(
        again.expect("an answer"),
        revision,
        "nothing is left to revoke"
    );
    assert_eq!(database.dump().await, before);
}

async fn whoever_may_only_ask_for_decisions_may_report(database: TestDatabase) {
    let (server, platform) = start(&database).await;
    let (token_id, secret) = issue(&platform, "acme", "max", "leaked").await;
    let bookings = server.client(BOOKINGS);
    let head = events(&platform).await[0].revision.clone();
    for nobodys in [unknown_secret(), "nonsense".to_owned()] {
        let answer = report(&bookings, vec![nobodys], "").await;
        assert_eq!(answer.expect("an answer"), head);
    }
    report(&bookings, vec![secret], "")
        .await
        .expect("an answer");
    let token = get(&platform, &token_id).await;
    assert_eq!(token.revoke_reason, "leaked");
    assert_eq!(token.revoked_by.expect("somebody").caller, BOOKINGS);

    // As by secret, twenty times in a second: three were made.
    for _ in 3..20 {
        report(&bookings, vec![unknown_secret()], "")
            .await
            .expect("an answer");
    }
    let refused = report(&bookings, vec![unknown_secret()], "").await;
    let refused = refused.expect_err("one too many");
    assert_status(&refused, Code::ResourceExhausted, "TOO_MANY_REQUESTS", None);
    server.clock().advance(Duration::from_secs(1));
    assert!(report(&bookings, vec![unknown_secret()], "").await.is_ok());
}

async fn a_report_holds_up_to_a_thousand_secrets(database: TestDatabase) {
    let (_server, platform) = start(&database).await;
    let leaked = issue_everywhere(&platform, 40).await;
    let mut secrets: Vec<String> = leaked.iter().map(|(_, secret)| secret.clone()).collect();
    secrets.resize_with(1001, unknown_secret);
    let before = database.dump().await;
    let refused = report(&platform, secrets.clone(), "").await;
    let refused = refused.expect_err("one too many");
    let code = Code::InvalidArgument;
    assert_status(&refused, code, "FIELD_TOO_LONG", Some("secrets"));
    assert_eq!(database.dump().await, before);
    secrets.truncate(1000);
    report(&platform, secrets, &"s".repeat(100))
        .await
        .expect("an answer");
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_REVOKED"), leaked.len());
}

async fn reports_meet_revocations_rotations_and_one_another(database: TestDatabase) {
    let (server, platform) = start(&database).await;
    let leaked = issue_everywhere(&platform, 10).await;
    let secrets: Vec<String> = leaked.iter().map(|(_, secret)| secret.clone()).collect();
    let mut running = Vec::new();
    for round in 0..6_usize {
        // In another order each time: whoever locks as it comes would lock itself in.
        let mut secrets = secrets.clone();
        secrets.rotate_left(round * 7);
        if round % 2 == 1 {
            secrets.reverse();
        }
        let client = platform.clone();
        running.push(tokio::spawn(async move {
            report(&client, secrets, "").await.map(drop)
        }));
    }
    for (number, (token_id, _)) in leaked.iter().rev().enumerate() {
        let mut tokens = platform.tokens.clone();
        let token_id = token_id.clone();
        running.push(tokio::spawn(async move {
            if number % 2 == 0 {
                return tokens
                    .revoke_token(revoke_request(&token_id))
                    .await
                    .map(drop);
            }
            match tokens.rotate_token(rotate_request(&token_id)).await {
                // It came too late.
                Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
                answer => answer.map(drop),
            }
        }));
    }
    for workspace_id in ["acme", "other"] {
        let mut tokens = platform.tokens.clone();
        let request = RevokeTokensRequest {
            workspace_id: workspace_id.to_owned(),
            ..Default::default()
        };
        running.push(tokio::spawn(async move {
            tokens.revoke_tokens(request).await.map(drop)
        }));
    }
    for call in running {
        let answer = call.await.expect("it does not panic");
        answer.unwrap_or_else(|status| panic!("{status:?}"));
    }
    for (token_id, _) in &leaked {
        let state = get(&platform, token_id).await.state();
        assert_ne!(state, TokenState::Active, "{token_id}");
    }
    History::read(&database).await.assert_sound(&[]);
    drop(server);
}

async fn an_actor_has_no_place_in_a_report(database: TestDatabase) {
    // Who holds a secret may have it revoked, for whomever it acts: the message has no field for it.
    let (server, platform) = start(&database).await;
    let (token_id, secret) = issue(&platform, "acme", "max", "leaked").await;
    let dashboard = server.client(crate::support::server::DASHBOARD);
    report(&dashboard, vec![secret], "")
        .await
        .expect("an answer");
    let by = get(&platform, &token_id).await.revoked_by;
    assert_eq!(by.expect("somebody").actor, None::<Actor>);
}

on_both![
    what_was_found_is_revoked_and_nothing_else,
    whoever_may_only_ask_for_decisions_may_report,
    a_report_holds_up_to_a_thousand_secrets,
    reports_meet_revocations_rotations_and_one_another,
    an_actor_has_no_place_in_a_report,
];
