//! What the record of a token tells: its state, and if it was revoked, when, by whom and why.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{
        Actor, DenyReason, GetTokenRequest, RevokeTokenRequest, RevokedBy, Token, TokenState,
        get_token_request, revoke_token_request::Target,
    },
};

use super::{acme, ask_own, get, instant, list};
use crate::support::{
    client::{Client, revoke_request},
    database::{TestDatabase, on_both},
    server::{DASHBOARD, PLATFORM},
};

const SECOND: Duration = Duration::from_secs(1);

/// When, by whom and why a token was revoked.
fn revocation(token: &Token) -> (Option<prost_types::Timestamp>, Option<RevokedBy>, &str) {
    (
        token.revoked_at,
        token.revoked_by.clone(),
        token.revoke_reason.as_str(),
    )
}

fn by(caller: &str) -> Option<RevokedBy> {
    Some(RevokedBy {
        caller: caller.to_owned(),
        actor: None,
    })
}

async fn get_by_secret(client: &Client, secret: &str) -> Option<Token> {
    let request = GetTokenRequest {
        target: Some(get_token_request::Target::Secret(secret.to_owned())),
        ..Default::default()
    };
    let response = client.tokens.clone().get_token(request).await;
    response.expect("an answer").into_inner().token
}

async fn old_tokens_of_a_re_added_member_stay_dead_and_say_why(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let plain = platform.issue("acme", "max", "plain", None).await;
    let expiring = platform
        .issue("acme", "max", "expiring", Some(3 * SECOND))
        .await;
    let lost = platform.issue("acme", "max", "lost", None).await;
    let others = platform.issue("acme", "ada", "plain", None).await;
    let max = Actor {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
    };
    let id = |issued: &countersign::pb::IssueTokenResponse| {
        issued
            .token
            .as_ref()
            .expect("the answer carries it")
            .token_id
            .clone()
    };
    server.clock().advance(SECOND);
    let lost_at = instant(server.clock().now());
    let request = RevokeTokenRequest {
        reason: "lost laptop".to_owned(),
        actor: Some(max.clone()),
        ..revoke_request(&id(&lost))
    };
    let dashboard = server.client(DASHBOARD);
    dashboard
        .tokens
        .clone()
        .revoke_token(request)
        .await
        .expect("it is revoked");
    server.clock().advance(SECOND);
    let removed_at = instant(server.clock().now());
    platform.remove_member("acme", "max").await;
    server.clock().advance(5 * SECOND);
    for secret in [&plain.secret, &expiring.secret, &lost.secret] {
        assert_eq!(
            ask_own(&platform, secret).await,
            Err(DenyReason::MemberRemoved)
        );
    }
    platform.put_member("acme", "max", "member").await;

    let removal = (Some(removed_at), by(PLATFORM), "the member was removed");
    let loss = RevokedBy {
        caller: DASHBOARD.to_owned(),
        actor: Some(max),
    };
    let loss = (Some(lost_at), Some(loss), "lost laptop");
    let listed = list(&platform, "max", &[], 0).await;
    for (issued, expected) in [(&plain, &removal), (&expiring, &removal), (&lost, &loss)] {
        assert_eq!(
            ask_own(&platform, &issued.secret).await,
            Err(DenyReason::RevokedToken)
        );
        let token = get(&platform, &id(issued)).await;
        assert_eq!(token.state(), TokenState::Revoked);
        assert_eq!(&revocation(&token), expected);
        assert!(listed.contains(&token));
        assert_eq!(get_by_secret(&platform, &issued.secret).await, Some(token));
    }
    assert!(
        ask_own(&platform, &others.secret).await.is_ok(),
        "another member's lives on"
    );
    // The old names are free, and a new token works.
    let again = platform.issue("acme", "max", "plain", None).await;
    assert!(ask_own(&platform, &again.secret).await.is_ok());
    assert_eq!(
        revocation(&get(&platform, &id(&again)).await),
        (None, None, "")
    );
}

async fn tokens_of_a_deleted_workspace_tell_of_its_deletion_for_good(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "deploy", None).await;
    let token_id = issued.token.expect("the answer carries it").token_id;
    server.clock().advance(SECOND);
    let deletion = (
        Some(instant(server.clock().now())),
        by(PLATFORM),
        "the workspace was deleted",
    );
    platform.delete_workspace("acme").await;
    assert_eq!(revocation(&get(&platform, &token_id).await), deletion);
    assert_eq!(
        ask_own(&platform, &issued.secret).await,
        Err(DenyReason::WorkspaceDeleted)
    );

    server.clock().advance(SECOND);
    platform.create_workspace("acme").await;
    assert_eq!(
        ask_own(&platform, &issued.secret).await,
        Err(DenyReason::MemberRemoved)
    );
    server.clock().advance(SECOND);
    platform.put_member("acme", "max", "member").await;
    assert_eq!(
        ask_own(&platform, &issued.secret).await,
        Err(DenyReason::RevokedToken)
    );
    // Removed once more: what ended the token first is what its record tells.
    server.clock().advance(SECOND);
    platform.remove_member("acme", "max").await;
    platform.put_member("acme", "max", "member").await;
    let token = get(&platform, &token_id).await;
    assert_eq!(token.state(), TokenState::Revoked);
    assert_eq!(revocation(&token), deletion);
    assert_eq!(list(&platform, "", &[], 0).await, [token]);
}

async fn states_partition_every_list(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    platform.put_member("acme", "eve", "member").await;
    for member in ["max", "ada", "eve"] {
        platform.issue("acme", member, "lasting", None).await;
        platform.issue("acme", member, "short", Some(SECOND)).await;
        let revoked = platform
            .issue("acme", member, "revoked", Some(SECOND))
            .await;
        platform
            .revoke(&revoked.token.expect("the answer carries it").token_id)
            .await;
        server.clock().advance(Duration::from_millis(1));
    }
    // Its tokens end with its generation, two of them before they expire.
    platform.remove_member("acme", "eve").await;
    platform.put_member("acme", "eve", "member").await;
    platform.issue("acme", "eve", "new", Some(2 * SECOND)).await;
    server.clock().advance(SECOND);

    let states = [TokenState::Active, TokenState::Expired, TokenState::Revoked];
    for (member, counts) in [("", [3, 2, 5]), ("max", [1, 1, 1]), ("eve", [1, 0, 3])] {
        let all = list(&platform, member, &[], 0).await;
        let counted = states.map(|state| all.iter().filter(|token| token.state() == state).count());
        assert_eq!(counted, counts, "{member}");
        for subset in 1..8 {
            let chosen: Vec<TokenState> = (0..3)
                .filter(|bit| subset >> bit & 1 == 1)
                .map(|bit| states[bit])
                .collect();
            let expected: Vec<Token> = all
                .iter()
                .filter(|token| chosen.contains(&token.state()))
                .cloned()
                .collect();
            assert_eq!(
                list(&platform, member, &chosen, 0).await,
                expected,
                "{chosen:?}"
            );
            assert_eq!(
                list(&platform, member, &chosen, 1).await,
                expected,
                "{chosen:?}"
            );
        }
        for token in &all {
            assert_eq!(get(&platform, &token.token_id).await, *token);
        }
    }
}

async fn revoking_a_dead_token_succeeds_changes_nothing_and_tells_when_it_died(
    database: TestDatabase,
) {
    let (server, platform) = acme(&database).await;
    platform.put_member("acme", "eve", "member").await;
    let revoked = platform.issue("acme", "max", "revoked", None).await;
    let ended = platform.issue("acme", "eve", "ended", None).await;
    let id = |issued: &countersign::pb::IssueTokenResponse| {
        issued
            .token
            .as_ref()
            .expect("the answer carries it")
            .token_id
            .clone()
    };
    let revoked_at = instant(server.clock().now());
    platform.revoke(&id(&revoked)).await;
    server.clock().advance(2 * SECOND);
    let ended_at = instant(server.clock().now());
    platform.remove_member("acme", "eve").await;
    let before = database.dump().await;
    server.clock().advance(SECOND);

    let dead = [
        (
            &revoked,
            TokenState::Revoked,
            (Some(revoked_at), by(PLATFORM), "no longer needed"),
        ),
        (
            &ended,
            TokenState::Revoked,
            (Some(ended_at), by(PLATFORM), "the member was removed"),
        ),
    ];
    let mut revisions = Vec::new();
    for (issued, state, expected) in dead {
        let targets = [
            Target::TokenId(id(issued)),
            Target::Secret(issued.secret.clone()),
        ];
        for target in targets {
            let request = RevokeTokenRequest {
                target: Some(target),
                reason: "to be sure".to_owned(),
                ..Default::default()
            };
            let answer = platform.tokens.clone().revoke_token(request).await;
            let answer = answer.expect("it succeeds").into_inner();
            let token = answer.token.expect("the answer carries it");
            assert_eq!(token.state(), state);
            assert_eq!(revocation(&token), expected);
            assert_eq!(get(&platform, &token.token_id).await, token);
            revisions.push(answer.revision);
        }
    }
    revisions.dedup();
    assert_eq!(revisions.len(), 1, "the head");
    assert_eq!(database.dump().await, before);
}

async fn revoking_an_expired_token_outlasts_any_clock(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "short", Some(SECOND)).await;
    let token = issued.token.expect("the answer carries it");
    server.clock().advance(2 * SECOND);
    assert_eq!(
        get(&platform, &token.token_id).await.state(),
        TokenState::Expired
    );
    let revoked_at = instant(server.clock().now());
    let revoked = platform.revoke(&token.token_id).await;
    assert_eq!(revoked.state(), TokenState::Revoked);
    let expected = (Some(revoked_at), by(PLATFORM), "no longer needed");
    assert_eq!(revocation(&revoked), expected);
    assert_eq!(
        revoked.expires_at, token.expires_at,
        "it tells when it expired, too"
    );
    // By a clock that is behind it has not expired yet.
    let now = server.clock().now();
    server.clock().set(Timestamp(now.0 - 1_500));
    assert_eq!(get(&platform, &token.token_id).await, revoked);
}

on_both![
    revoking_an_expired_token_outlasts_any_clock,
    old_tokens_of_a_re_added_member_stay_dead_and_say_why,
    tokens_of_a_deleted_workspace_tell_of_its_deletion_for_good,
    states_partition_every_list,
    revoking_a_dead_token_succeeds_changes_nothing_and_tells_when_it_died,
];
