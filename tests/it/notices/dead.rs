//! Of what is dead nothing is told; of what is only suspended it is.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{MemberState, RevokeTokensRequest, RotateTokenRequest, TokenPolicy},
};

use super::{DAY, MILLISECOND, acme, before, issue, swept, told};
use crate::support::{
    client::{Client, policy_request, rotate_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
};

/// A token in a workspace of its own.
async fn alone(client: &Client, workspace_id: &str) -> String {
    client.create_workspace(workspace_id).await;
    client.put_member(workspace_id, "max", "member").await;
    let issued = client.issue(workspace_id, "max", "deploy", Some(40 * DAY));
    issued.await.token.expect("a token").token_id
}

async fn revoke_all(client: &Client, workspace_id: &str, member_id: &str) {
    let request = RevokeTokensRequest {
        workspace_id: workspace_id.to_owned(),
        member_id: member_id.to_owned(),
        reason: "an incident".to_owned(),
        ..Default::default()
    };
    let revoked = client.tokens.clone().revoke_tokens(request).await;
    revoked.expect("they are revoked");
}

async fn set_max_lifetime(client: &Client, lifetime: Option<Duration>) {
    let lifetime = lifetime.map(|span| prost_types::Duration::try_from(span).expect("in range"));
    let policy = TokenPolicy {
        max_lifetime: lifetime,
        ..Default::default()
    };
    let request = policy_request("under-policy", policy, &["token_policy.max_lifetime"]);
    let updated = client.directory.clone().update_workspace(request).await;
    updated.expect("the policy changes");
}

/// Through every notice of tokens that expire then.
async fn pass(client: &Client, clock: &TestClock, end: Timestamp) {
    for days in [30, 7, 1, 0] {
        clock.set(before(end, days).max(clock.now()));
        swept(client, clock).await;
    }
}

async fn nothing_is_told_of_a_token_that_is_revoked_however_it_was(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let end = clock.now().plus(40 * DAY);
    let revoked = issue(&platform, "revoked", Some(40 * DAY)).await;
    for workspace_id in ["removed", "member-raised", "raised", "deleted"] {
        alone(&platform, workspace_id).await;
    }
    let live = issue(&platform, "live", Some(40 * DAY)).await;
    platform.revoke(&revoked).await;
    platform.remove_member("removed", "max").await;
    revoke_all(&platform, "member-raised", "max").await;
    revoke_all(&platform, "raised", "").await;
    platform.delete_workspace("deleted").await;
    // They are back, their tokens are not.
    platform.put_member("removed", "max", "member").await;
    platform.create_workspace("deleted").await;
    platform.put_member("deleted", "max", "member").await;
    pass(&platform, clock, end).await;
    let all = swept(&platform, clock).await;
    let days: Vec<u32> = all.iter().map(|(_, days, _)| *days).collect();
    assert_eq!(days, [30, 7, 1, 0]);
    assert!(all.iter().all(|(told, ..)| *told == live), "{all:?}");
}

async fn a_token_that_is_revoked_between_two_notices_has_no_second(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let end = clock.now().plus(40 * DAY);
    let one = issue(&platform, "one", Some(40 * DAY)).await;
    let other = alone(&platform, "other").await;
    clock.set(before(end, 30));
    let first = told(&platform, 2).await;
    assert!(
        [&one, &other]
            .iter()
            .all(|&id| first.iter().any(|(told, ..)| told == id))
    );
    platform.revoke(&one).await;
    revoke_all(&platform, "other", "max").await;
    pass(&platform, clock, end).await;
    assert_eq!(swept(&platform, clock).await, first);
}

async fn of_a_rotated_token_only_its_end_is_told(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let start = clock.now();
    let [overlapping, at_once] = [
        issue(&platform, "overlapping", Some(100 * DAY)).await,
        issue(&platform, "at once", None).await,
    ];
    let overlap = prost_types::Duration::try_from(3 * DAY).expect("in range");
    for (token_id, overlap) in [(&overlapping, Some(overlap)), (&at_once, None)] {
        let request = RotateTokenRequest {
            overlap,
            ..rotate_request(token_id)
        };
        let rotated = platform.tokens.clone().rotate_token(request).await;
        rotated.expect("it is rotated");
    }
    let mut expected = vec![(at_once, 0, start)];
    assert_eq!(told(&platform, 1).await, expected);
    let end = start.plus(3 * DAY);
    clock.set(before(end, 1));
    assert_eq!(swept(&platform, clock).await, expected);
    clock.set(end);
    expected.push((overlapping, 0, end));
    assert_eq!(told(&platform, 2).await, expected);
}

async fn a_suspension_keeps_nothing_from_being_told(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let end = clock.now().plus(40 * DAY);
    let id = issue(&platform, "deploy", Some(40 * DAY)).await;
    platform
        .set_member_state("acme", "max", MemberState::Suspended)
        .await;
    clock.set(before(end, 30));
    assert_eq!(told(&platform, 1).await, [(id, 30, clock.now())]);
}

async fn what_a_policy_has_ended_is_told_of_when_it_expires_itself(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let end = clock.now().plus(40 * DAY);
    let id = alone(&platform, "under-policy").await;
    set_max_lifetime(&platform, Some(20 * DAY)).await;
    clock.set(before(end, 30));
    let mut expected = vec![(id.clone(), 30, clock.now())];
    assert_eq!(
        told(&platform, 1).await,
        expected,
        "it lives for 10 days more"
    );
    clock.set(before(end, 7));
    assert_eq!(swept(&platform, clock).await, expected, "it is dead");
    set_max_lifetime(&platform, None).await;
    assert_eq!(swept(&platform, clock).await, expected, "passed over");
    clock.set(before(end, 1));
    expected.push((id.clone(), 1, clock.now()));
    assert_eq!(told(&platform, 2).await, expected);
    set_max_lifetime(&platform, Some(20 * DAY)).await;
    clock.set(end.plus(MILLISECOND));
    expected.push((id, 0, clock.now()));
    assert_eq!(told(&platform, 3).await, expected);
}

on_both![
    nothing_is_told_of_a_token_that_is_revoked_however_it_was,
    a_token_that_is_revoked_between_two_notices_has_no_second,
    of_a_rotated_token_only_its_end_is_told,
    a_suspension_keeps_nothing_from_being_told,
    what_a_policy_has_ended_is_told_of_when_it_expires_itself,
];
