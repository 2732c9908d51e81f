//! Ending every token of a member, or of a workspace, in one write.

use countersign::pb::{
    DenyReason, ListTokensRequest, RevokeTokensRequest, TokenState, event::Details,
};

use crate::support::{
    client::{Client, events, refusal},
    database::{TestDatabase, on_both},
    server::{PLATFORM, TestServer},
};

async fn revoke_all(client: &Client, member_id: &str, reason: &str) -> String {
    let request = RevokeTokensRequest {
        workspace_id: "acme".to_owned(),
        member_id: member_id.to_owned(),
        reason: reason.to_owned(),
        ..Default::default()
    };
    let answer = client.tokens.clone().revoke_tokens(request).await;
    answer.expect("they are revoked").into_inner().revision
}

async fn all_tokens_of_a_member_end_and_only_those(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    client.put_member("acme", "pia", "member").await;
    let mut of_max = Vec::new();
    for name in ["a", "b", "c"] {
        of_max.push(client.issue("acme", "max", name, None).await.secret);
    }
    let of_pia = client.issue("acme", "pia", "a", None).await.secret;
    let before = events(&client).await.len();

    let revision = revoke_all(&client, "max", "stolen laptop").await;
    for token in &of_max {
        assert_eq!(
            refusal(&client, token).await,
            Some(DenyReason::RevokedToken)
        );
    }
    assert_eq!(refusal(&client, &of_pia).await, None);

    // One change, whose event says why; and so does each record.
    let events = events(&client).await;
    assert_eq!(events.len(), before + 1);
    assert_eq!(
        (&events[0].revision, events[0].member_id.as_str()),
        (&revision, "max")
    );
    let Some(Details::TokensRevoked(details)) = &events[0].details else {
        panic!("{:?}", events[0].details);
    };
    assert_eq!(details.reason, "stolen laptop");
    let list = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
        ..Default::default()
    };
    let listed = client
        .tokens
        .clone()
        .list_tokens(list)
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(listed.tokens.len(), 3);
    for token in listed.tokens {
        assert_eq!(token.state(), TokenState::Revoked);
        assert_eq!(token.revoke_reason, "stolen laptop");
        assert_eq!(token.revoked_by.expect("somebody").caller, PLATFORM);
    }

    // The member goes on: its names are free, its new tokens work, and a second time ends those.
    let again = client.issue("acme", "max", "a", None).await.secret;
    assert_eq!(refusal(&client, &again).await, None);
    revoke_all(&client, "max", "").await;
    assert_eq!(
        refusal(&client, &again).await,
        Some(DenyReason::RevokedToken)
    );
}

async fn all_tokens_of_a_workspace_end_and_its_members_stay(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.create_workspace("other").await;
    let mut ended = Vec::new();
    for member in ["max", "pia"] {
        client.put_member("acme", member, "member").await;
        ended.push(client.issue("acme", member, "a", None).await.secret);
    }
    client.put_member("other", "max", "member").await;
    let elsewhere = client.issue("other", "max", "a", None).await.secret;

    revoke_all(&client, "", "the workspace's backup leaked").await;
    for token in &ended {
        assert_eq!(
            refusal(&client, token).await,
            Some(DenyReason::RevokedToken)
        );
    }
    assert_eq!(refusal(&client, &elsewhere).await, None);
    let fresh = client.issue("acme", "max", "a", None).await.secret;
    assert_eq!(refusal(&client, &fresh).await, None);
}

async fn those_of_the_removed_are_left_as_they_ended(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    client.issue("acme", "max", "a", None).await;
    client.remove_member("acme", "max").await;
    let before = database.dump().await;
    revoke_all(&client, "max", "again").await;
    assert_eq!(database.dump().await, before);
    client.delete_workspace("acme").await;
    let before = database.dump().await;
    revoke_all(&client, "", "again").await;
    assert_eq!(database.dump().await, before);
}

on_both![
    all_tokens_of_a_member_end_and_only_those,
    all_tokens_of_a_workspace_end_and_its_members_stay,
    those_of_the_removed_are_left_as_they_ended,
];
