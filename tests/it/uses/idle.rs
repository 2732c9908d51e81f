//! Tokens that go unused for longer than their workspace lets them: expired to the millisecond, after a look at what other
//! replicas have on record, and back when the limit is loosened.

use std::time::Duration;

use countersign::pb::{
    DenyReason, ListTokensRequest, Outcome, TokenPolicy, TokenState, UpdateWorkspaceRequest,
    UpdateWorkspaceResponse, resource::Owner,
};
use tonic::Code;

use super::{Issued, issue, last_used, populate, present, setup, until_used, use_now};
use crate::support::{
    client::{Client, get, issue_request, policy_request, refusal, rotate_request},
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    server::{PLATFORM, Setup},
    statements::Statements,
    status::assert_status,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MILLISECOND: Duration = Duration::from_millis(1);
const EXPIRED: Option<DenyReason> = Some(DenyReason::ExpiredToken);

async fn update(
    client: &Client,
    limit: Option<Duration>,
    validate_only: bool,
) -> UpdateWorkspaceResponse {
    let idle_limit = limit.map(|limit| limit.try_into().expect("in range"));
    let policy = TokenPolicy {
        idle_limit,
        ..Default::default()
    };
    let request = UpdateWorkspaceRequest {
        validate_only,
        ..policy_request("acme", policy, &["token_policy.idle_limit"])
    };
    let answer = client.directory.clone().update_workspace(request).await;
    let answer = answer.expect("it is changed").into_inner();
    let told = answer.workspace.as_ref().and_then(|told| told.token_policy);
    assert_eq!(told.and_then(|policy| policy.idle_limit), idle_limit);
    answer
}

async fn states(client: &Client, state: TokenState) -> Vec<String> {
    let request = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        states: vec![state.into()],
        ..Default::default()
    };
    let page = client.tokens.clone().list_tokens(request).await;
    let tokens = page.expect("a page").into_inner().tokens;
    tokens.into_iter().map(|token| token.name).collect()
}

async fn what_goes_unused_is_expired_to_the_millisecond_and_back_when_loosened(
    database: TestDatabase,
) {
    let clock = TestClock::default();
    let server = setup(HOUR, &clock).start(&database).await;
    let client = populate(&server).await;
    update(&client, Some(DAY), false).await;
    let unused = issue(&client, "unused").await;
    let used = issue(&client, "used").await;
    clock.advance(DAY - MILLISECOND);
    use_now(&client, &used.secret).await;
    // Almost too late, so it is written at once.
    until_used(&client, &used.token_id, clock.now()).await;
    // A denial is no use.
    let denied = present(&client, &unused.secret, Owner::OwnerId("ada".to_owned())).await;
    assert_eq!(denied, Outcome::Deny);
    clock.advance(MILLISECOND);
    assert_eq!(refusal(&client, &unused.secret).await, EXPIRED);
    use_now(&client, &used.secret).await;
    assert_eq!(states(&client, TokenState::Expired).await, ["unused"]);
    assert_eq!(states(&client, TokenState::Active).await, ["used"]);

    // It keeps its name, and is not rotated.
    let again = issue_request("acme", "max", "unused", None);
    let taken = client.tokens.clone().issue_token(again).await;
    let taken = taken.expect_err("the name is taken");
    assert_status(&taken, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    let rotate = rotate_request(&unused.token_id);
    let refused = client.tokens.clone().rotate_token(rotate).await;
    let refused = refused.expect_err("it has ended");
    assert_status(&refused, Code::FailedPrecondition, "TOKEN_EXPIRED", None);

    clock.advance(DAY - MILLISECOND);
    use_now(&client, &used.secret).await;
    until_used(&client, &used.token_id, clock.now()).await;
    clock.advance(DAY);
    for token in [&unused, &used] {
        assert_eq!(refusal(&client, &token.secret).await, EXPIRED);
        let state = get(&client, &token.token_id).await.state();
        assert_eq!(state, TokenState::Expired);
    }
    update(&client, Some(DAY + MILLISECOND), false).await;
    assert_eq!(refusal(&client, &used.secret).await, None);
    assert_eq!(refusal(&client, &unused.secret).await, EXPIRED);
    update(&client, None, false).await;
    assert_eq!(refusal(&client, &unused.secret).await, None);
}

async fn a_limit_tells_beforehand_what_it_would_end(database: TestDatabase) {
    let clock = TestClock::default();
    let server = setup(HOUR, &clock).start(&database).await;
    let client = populate(&server).await;
    issue(&client, "unused").await;
    clock.advance(DAY - MILLISECOND);
    issue(&client, "younger").await;
    let ended = async |limit| update(&client, Some(limit), true).await.live_tokens_ended;
    assert_eq!(ended(DAY).await, 0);
    clock.advance(MILLISECOND);
    assert_eq!(ended(DAY).await, 1);
    assert_eq!(ended(DAY + MILLISECOND).await, 0);
    clock.advance(2 * DAY);
    assert_eq!(ended(DAY).await, 2);
    assert_eq!(states(&client, TokenState::Active).await.len(), 2);
}

/// A use that this server has not written yet was there when it was read again, and what is idle is read seldom.
async fn who_presents_an_idle_token_does_not_keep_the_database_busy(database: TestDatabase) {
    let (clock, statements) = (TestClock::default(), Statements::default());
    let server = Setup {
        statements: Some(statements.clone()),
        ..setup(HOUR, &clock)
    };
    let server = server.start(&database).await;
    let client = populate(&server).await;
    update(&client, Some(DAY), false).await;
    let Issued { secret, .. } = issue(&client, "unused").await;
    assert_eq!(
        present(&client, &secret, Owner::OwnerId("ada".to_owned())).await,
        Outcome::Deny
    );
    clock.advance(DAY);
    statements.take();
    for _ in 0..20 {
        assert_eq!(refusal(&client, &secret).await, EXPIRED);
    }
    assert_eq!(statements.take_lookups(), 1);
    clock.advance(Duration::from_secs(6));
    for _ in 0..20 {
        assert_eq!(refusal(&client, &secret).await, EXPIRED);
    }
    assert_eq!(statements.take_lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_saw_used_is_not_idle() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let clock = TestClock::default();
    let [one, other] = [
        setup(HOUR, &clock).start(&database).await,
        setup(HOUR, &clock).start(&database).await,
    ];
    let (client, elsewhere) = (populate(&one).await, other.client(PLATFORM));
    update(&client, Some(DAY), false).await;
    let token = issue(&client, "deploy").await;
    // Both know it as never used but now.
    use_now(&client, &token.secret).await;
    use_now(&elsewhere, &token.secret).await;
    // In the last minute: written at once, though it is written only every hour otherwise.
    clock.advance(DAY - MILLISECOND);
    use_now(&client, &token.secret).await;
    until_used(&client, &token.token_id, clock.now()).await;
    clock.advance(MILLISECOND);
    use_now(&elsewhere, &token.secret).await;
    clock.advance(DAY - MILLISECOND);
    assert_eq!(refusal(&elsewhere, &token.secret).await, None);
    clock.advance(DAY);
    for client in [&client, &elsewhere] {
        assert_eq!(refusal(client, &token.secret).await, EXPIRED);
    }
    assert!(last_used(&client, &token.token_id).await.is_some());
}

on_both![
    what_goes_unused_is_expired_to_the_millisecond_and_back_when_loosened,
    a_limit_tells_beforehand_what_it_would_end,
    who_presents_an_idle_token_does_not_keep_the_database_busy,
];
