//! What was there goes on as if its events were: nothing that anybody decides by, or that is done once, is in them.

use std::time::Duration;

use countersign::{
    pb::{
        DenyReason, Event, IssueTokenRequest, IssueTokenResponse, RevokeTokensRequest, Token,
        TokenState, event::Details,
    },
    server::Limits,
};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};
use tonic::Code;

use super::{DAY, PATIENCE, WEEK, acme, age, change, kept, number, setup, until_dropped};
use crate::{
    notices::swept,
    restore_guard::guard,
    support::{
        client::{self, Client, get, issue_request, refusal, rotate_request},
        database::{TestDatabase, on_both},
        server::{PLATFORM, Setup},
        status::assert_status,
    },
};

/// Drops all events but the newest.
async fn drop_all(database: &TestDatabase, platform: &Client) {
    let newest = client::events(platform).await.remove(0);
    let newest = number(&newest.revision);
    age(database, 0..=newest).await;
    until_dropped(platform, newest).await;
}

/// Waits until this is told, and answers of which tokens.
async fn until_told(client: &Client, is_it: fn(&Details) -> bool) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let events = client::events(client).await;
        let told = |event: &&Event| event.details.as_ref().is_some_and(is_it);
        let told: Vec<String> = events
            .iter()
            .filter(told)
            .map(|it| it.token_id.clone())
            .collect();
        if !told.is_empty() {
            return told;
        }
        assert!(Instant::now() < deadline, "it is told");
        sleep(Duration::from_millis(2)).await;
    }
}

fn is_reuse(details: &Details) -> bool {
    matches!(details, Details::TokenReused(_))
}

fn id(issued: &IssueTokenResponse) -> String {
    issued.token.as_ref().expect("a token").token_id.clone()
}

async fn rotate(client: &Client, token_id: &str) -> String {
    let answer = client
        .tokens
        .clone()
        .rotate_token(rotate_request(token_id))
        .await;
    answer.expect("it is rotated").into_inner().secret
}

async fn records(client: &Client, issued: &[IssueTokenResponse]) -> Vec<Token> {
    let mut records = Vec::new();
    for issued in issued {
        let record = get(client, &id(issued)).await;
        // That it was asked about is told later.
        records.push(Token {
            last_used_at: None,
            ..record
        });
    }
    records
}

async fn what_was_made_and_ended_stays_so(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    platform.put_member("acme", "ada", "admin").await;
    let mut issued = Vec::new();
    for (member_id, name) in [
        ("max", "live"),
        ("max", "revoked"),
        ("max", "rotated"),
        ("ada", "left"),
    ] {
        issued.push(platform.issue("acme", member_id, name, None).await);
    }
    platform.revoke(&id(&issued[1])).await;
    let successor = rotate(&platform, &id(&issued[2])).await;
    let request = RevokeTokensRequest {
        workspace_id: "acme".to_owned(),
        member_id: "ada".to_owned(),
        reason: "left".to_owned(),
        ..Default::default()
    };
    let ended = platform.tokens.clone().revoke_tokens(request).await;
    ended.expect("they are revoked");
    let expected = [
        (&issued[0].secret, None),
        (&issued[1].secret, Some(DenyReason::RevokedToken)),
        (&issued[2].secret, Some(DenyReason::ExpiredToken)),
        (&issued[3].secret, Some(DenyReason::RevokedToken)),
        (&successor, None),
    ];
    assert_eq!(refusal(&platform, expected[2].0).await, expected[2].1);
    until_told(&platform, is_reuse).await;
    let before = records(&platform, &issued).await;
    let of_ada = &before[3];
    assert_eq!(of_ada.state(), TokenState::Revoked);
    assert_eq!(
        (of_ada.revoke_reason.as_str(), of_ada.revoked_by.is_some()),
        ("left", true)
    );
    // What is kept is not what is told once.
    change(&platform, 1).await;
    drop_all(&database, &platform).await;
    let mut last = *kept(&platform).await.last().expect("an event");
    // Then by a server that finds all of it in the database.
    let mut servers = vec![server];
    for name in ["warm", "cold"] {
        let client = servers[0].client(PLATFORM);
        assert_eq!(records(&client, &issued).await, before);
        for (secret, reason) in expected {
            for _ in 0..3 {
                assert_eq!(refusal(&client, secret).await, reason, "{name}");
            }
        }
        // Another one's reuse is told; that of the first would have been by then.
        let other = client.issue("acme", "max", name, None).await;
        rotate(&client, &id(&other)).await;
        refusal(&client, &other.secret).await;
        assert_eq!(until_told(&client, is_reuse).await, [id(&other)]);
        change(&client, 1).await;
        last += 5;
        assert_eq!(kept(&client).await, Vec::from_iter(last - 5..=last));
        drop_all(&database, &client).await;
        servers.remove(0).stop().await.expect("it stops");
        servers.push(setup(Some(WEEK)).start(&database).await);
    }
}

async fn a_request_that_is_sent_again_is_known(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let request = IssueTokenRequest {
        request_id: "one".to_owned(),
        ..issue_request("acme", "max", "laptop", None)
    };
    let issue = |request: &IssueTokenRequest| {
        let (mut tokens, request) = (platform.tokens.clone(), request.clone());
        async move { tokens.issue_token(request).await }
    };
    let first = issue(&request).await.expect("it is issued").into_inner();
    change(&platform, 2).await;
    drop_all(&database, &platform).await;
    let again = issue(&request).await.expect("it is known").into_inner();
    assert!(
        again.replayed && again.secret.is_empty(),
        "{}",
        again.replayed
    );
    assert_eq!(id(&again), id(&first));
    let other = IssueTokenRequest {
        name: "another".to_owned(),
        ..request
    };
    let status = issue(&other).await.expect_err("it is another request");
    assert_status(&status, Code::AlreadyExists, "REQUEST_ID_REUSED", None);
}

async fn a_notice_is_told_once(database: TestDatabase) {
    let setup = || {
        let setup = setup(Some(WEEK));
        Setup {
            limits: Limits {
                notice_interval: Duration::from_millis(5),
                ..setup.limits
            },
            ..setup
        }
    };
    let server = setup().start(&database).await;
    let (platform, clock) = (server.client(PLATFORM), server.clock().clone());
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let issued = platform
        .issue("acme", "max", "laptop", Some(40 * DAY))
        .await;
    clock.advance(10 * DAY);
    let told = until_told(&platform, |it| matches!(it, Details::TokenExpiring(_))).await;
    assert_eq!(told, [id(&issued)]);
    change(&platform, 1).await;
    drop_all(&database, &platform).await;
    server.stop().await.expect("it stops");
    let server = Setup {
        clock: clock.clone(),
        ..setup()
    };
    let server = server.start(&database).await;
    let platform = server.client(PLATFORM);
    assert_eq!(swept(&platform, &clock).await, []);
    // And the next ones as ever.
    clock.advance(23 * DAY);
    let days: Vec<u32> = swept(&platform, &clock)
        .await
        .iter()
        .map(|told| told.1)
        .collect();
    assert_eq!(days, [7]);
    clock.advance(7 * DAY);
    let days: Vec<u32> = swept(&platform, &clock)
        .await
        .iter()
        .map(|told| told.1)
        .collect();
    assert_eq!(days, [7, 0]);
}

async fn restore_guard_ends_all_that_there_is(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "laptop", None).await;
    change(&platform, 2).await;
    drop_all(&database, &platform).await;
    let newest = kept(&platform).await;
    server.stop().await.expect("it stops");
    let (code, _, complaints) = block_in_place(|| guard(&database, &["--workspace", "acme"]));
    assert_eq!(code, Some(0), "{complaints}");
    let server = setup(Some(WEEK)).start(&database).await;
    let platform = server.client(PLATFORM);
    let reason = refusal(&platform, &issued.secret).await;
    assert_eq!(reason, Some(DenyReason::RevokedToken));
    assert_eq!(kept(&platform).await, [newest[0], newest[0] + 1]);
    let told = until_told(&platform, |it| matches!(it, Details::TokensRevoked(_))).await;
    assert_eq!(told.len(), 1);
}

on_both![
    what_was_made_and_ended_stays_so,
    a_request_that_is_sent_again_is_known,
    a_notice_is_told_once,
    restore_guard_ends_all_that_there_is,
];
