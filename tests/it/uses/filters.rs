//! Lists of tokens that were not used lately, and of those that end soon: to the millisecond, page by page.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{ListTokensRequest, ListTokensResponse, TokenPolicy, TokenState},
};
use tonic::{Code, Status};

use super::{AT_ONCE, issue, populate, setup, until_used, use_now};
use crate::support::{
    client::{Client, policy_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
    status::assert_status,
};

const MILLISECOND: Duration = Duration::from_millis(1);

/// So many milliseconds after, less a nanosecond: to be truncated.
fn instant(at: Timestamp, millis: i64) -> prost_types::Timestamp {
    let at = at.0 + millis;
    prost_types::Timestamp {
        seconds: at.div_euclid(1000),
        nanos: i32::try_from(at.rem_euclid(1000) * 1_000_000 + 999_999).expect("in range"),
    }
}

fn unused_since(at: Timestamp, millis: i64) -> ListTokensRequest {
    ListTokensRequest {
        workspace_id: "acme".to_owned(),
        unused_since: Some(instant(at, millis)),
        ..Default::default()
    }
}

fn expires_before(at: Timestamp, millis: i64) -> ListTokensRequest {
    ListTokensRequest {
        workspace_id: "acme".to_owned(),
        expires_before: Some(instant(at, millis)),
        ..Default::default()
    }
}

async fn page(client: &Client, request: ListTokensRequest) -> Result<ListTokensResponse, Status> {
    let answer = client.tokens.clone().list_tokens(request).await;
    answer.map(tonic::Response::into_inner)
}

/// The names on all pages of one each, oldest first.
async fn names(client: &Client, request: ListTokensRequest) -> Vec<String> {
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTokensRequest {
            page_size: 1,
            page_token,
            ..request.clone()
        };
        let page = page(client, request).await.expect("a page");
        assert!(page.tokens.len() <= 1);
        names.extend(page.tokens.into_iter().map(|token| token.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            names.reverse();
            return names;
        }
    }
}

async fn unused_are_those_whose_last_use_or_issue_is_before(database: TestDatabase) {
    let clock = TestClock::default();
    let server = setup(AT_ONCE, &clock).start(&database).await;
    let client = populate(&server).await;
    let issued_at = clock.now();
    let used = issue(&client, "used").await;
    issue(&client, "never used").await;
    clock.advance(Duration::from_secs(1));
    let used_at = clock.now();
    use_now(&client, &used.secret).await;
    issue(&client, "new").await;
    until_used(&client, &used.token_id, used_at).await;

    let unused = async |at, millis| names(&client, unused_since(at, millis)).await;
    assert_eq!(unused(issued_at, 0).await, [""; 0]);
    assert_eq!(unused(issued_at, 1).await, ["never used"]);
    assert_eq!(unused(used_at, 0).await, ["never used"]);
    assert_eq!(
        unused(used_at, 1).await.len(),
        3,
        "in no order within one instant"
    );

    // With other filters, each narrows.
    let of_state = ListTokensRequest {
        states: vec![TokenState::Revoked.into()],
        ..unused_since(used_at, 1)
    };
    assert_eq!(names(&client, of_state.clone()).await, [""; 0]);
    client.revoke(&used.token_id).await;
    assert_eq!(names(&client, of_state).await, ["used"]);
    let both = ListTokensRequest {
        expires_before: Some(instant(used_at, 0)),
        ..unused_since(used_at, 1)
    };
    assert_eq!(names(&client, both).await, [""; 0]);

    // A page token goes with the filter that it was made for.
    let first = ListTokensRequest {
        page_size: 1,
        ..unused_since(used_at, 1)
    };
    let page_token = page(&client, first).await.expect("a page").next_page_token;
    for other in [
        unused_since(used_at, 2),
        expires_before(used_at, 1),
        ListTokensRequest {
            workspace_id: "acme".to_owned(),
            ..Default::default()
        },
    ] {
        let request = ListTokensRequest {
            page_token: page_token.clone(),
            ..other
        };
        let refused = page(&client, request).await.expect_err("it is refused");
        let (code, field) = (Code::InvalidArgument, Some("page_token"));
        assert_status(&refused, code, "PAGE_TOKEN_INVALID", field);
    }
}

async fn ending_are_those_that_end_before_by_themselves_or_by_policy(database: TestDatabase) {
    let clock = TestClock::default();
    let server = setup(AT_ONCE, &clock).start(&database).await;
    let client = populate(&server).await;
    let hour = Duration::from_secs(3600);
    let now = clock.now();
    client.issue("acme", "max", "endless", None).await;
    client.issue("acme", "max", "an hour", Some(hour)).await;
    clock.advance(MILLISECOND);
    client.issue("acme", "max", "later", Some(hour)).await;

    let ending = async |at, millis| names(&client, expires_before(at, millis)).await;
    let in_an_hour = now.plus(hour);
    assert_eq!(ending(in_an_hour, 0).await, [""; 0]);
    assert_eq!(ending(in_an_hour, 1).await, ["an hour"]);
    assert_eq!(ending(in_an_hour, 2).await, ["an hour", "later"]);

    let set_policy = async |policy: TokenPolicy, path: &str| {
        let request = policy_request("acme", policy, &[path]);
        let answer = client.directory.clone().update_workspace(request).await;
        answer.expect("the policy is set");
    };
    let half = hour / 2;
    let policy = TokenPolicy {
        max_lifetime: Some(prost_types::Duration::try_from(half).expect("in range")),
        ..Default::default()
    };
    set_policy(policy, "token_policy.max_lifetime").await;
    let in_half = now.plus(half);
    assert_eq!(ending(in_half, 0).await, [""; 0]);
    assert_eq!(ending(in_half, 1).await.len(), 2, "issued at one instant");
    assert_eq!(ending(in_half, 2).await.len(), 3);

    // What has no expiry where one is required has ended as it began.
    let policy = TokenPolicy {
        require_expiry: true,
        ..Default::default()
    };
    set_policy(policy, "token_policy.require_expiry").await;
    assert_eq!(ending(now, 0).await, [""; 0]);
    assert_eq!(ending(now, 1).await, ["endless"]);
    clock.set(in_half);
    let expired = ListTokensRequest {
        states: vec![TokenState::Active.into()],
        ..expires_before(in_an_hour, 2)
    };
    assert_eq!(names(&client, expired).await, ["later"]);
}

on_both![
    unused_are_those_whose_last_use_or_issue_is_before,
    ending_are_those_that_end_before_by_themselves_or_by_policy,
];
