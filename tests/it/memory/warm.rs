//! What is in memory is decided from memory: the statements that the server sends are counted, but for those that follow
//! the feed.

use countersign::pb::{
    BatchAuthorizeRequest, BatchMode, Check, MemberState, Outcome, Resource,
    UpdateWorkspaceRequest, WorkspaceState, resource::Owner,
};
use tokio::task::JoinSet;

use super::{WORKSPACE, ask, fills, is_allowed, issue, warm};
use crate::support::{
    call::unknown_secret,
    client::Client,
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    statements::Statements,
};

const DECISIONS: usize = 10_000;
const WORKERS: usize = 20;
const BATCHES: usize = 100;
const CHECKS: usize = 50;
const ROUNDS: usize = 10;

async fn start(database: &TestDatabase) -> (TestServer, Client, Statements) {
    let statements = Statements::default();
    let setup = Setup {
        statements: Some(statements.clone()),
        ..Setup::default()
    };
    let server = setup.start(database).await;
    let client = server.client(PLATFORM);
    (server, client, statements)
}

fn batch(secret: &str) -> BatchAuthorizeRequest {
    let check = |number: usize| Check {
        action: "bookings.read".to_owned(),
        resource: Some(Resource {
            id: number.to_string(),
            owner: Some(Owner::Bearer(true)),
            ..Default::default()
        }),
    };
    BatchAuthorizeRequest {
        token: secret.to_owned(),
        checks: (0..CHECKS).map(check).collect(),
        mode: BatchMode::All.into(),
        ..Default::default()
    }
}

async fn ten_thousand_decisions_of_a_warm_token_take_no_statement(database: TestDatabase) {
    let (_server, client, statements) = start(&database).await;
    let secrets = issue(&client, 1).await;
    statements.take();
    warm(&client, &secrets).await;
    assert_eq!(
        fills(&statements),
        1,
        "it was cold, and the statements count"
    );

    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (client, secret) = (client.clone(), secrets[0].clone());
        workers.spawn(async move {
            for _ in 0..DECISIONS / WORKERS {
                assert!(is_allowed(&client, &secret).await);
            }
        });
    }
    workers.join_all().await;
    for _ in 0..BATCHES {
        let mut authorization = client.authorization.clone();
        let answer = authorization.batch_authorize(batch(&secrets[0])).await;
        let decisions = answer.expect("decisions").into_inner().decisions;
        assert_eq!(decisions.len(), CHECKS);
        let mut outcomes = decisions.iter().map(|decision| decision.outcome());
        assert!(outcomes.all(|outcome| outcome == Outcome::Allow));
    }
    assert_eq!(statements.take(), [""; 0]);
}

/// What is changed, and what is said of the first token then.
type Change = (&'static str, bool);

const CHANGES: [Change; 8] = [
    ("the member gets another role", true),
    ("the member is suspended", false),
    ("the member is reactivated", true),
    ("the workspace is suspended", false),
    ("the workspace is reactivated", true),
    ("the workspace gets another name", true),
    ("the token is revoked", false),
    ("the member is removed", false),
];

async fn make(client: &Client, change: &str, token_id: &str) {
    match change {
        "the member gets another role" => client.set_member_role(WORKSPACE, "m0", "admin").await,
        "the member is suspended" => {
            let state = MemberState::Suspended;
            client.set_member_state(WORKSPACE, "m0", state).await;
        }
        "the member is reactivated" => {
            let state = MemberState::Active;
            client.set_member_state(WORKSPACE, "m0", state).await;
        }
        "the workspace is suspended" => {
            let state = WorkspaceState::Suspended;
            client.set_workspace_state(WORKSPACE, state).await;
        }
        "the workspace is reactivated" => {
            let state = WorkspaceState::Active;
            client.set_workspace_state(WORKSPACE, state).await;
        }
        "the workspace gets another name" => {
            let request = UpdateWorkspaceRequest {
                workspace_id: WORKSPACE.to_owned(),
                name: "another".to_owned(),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["name".to_owned()],
                }),
                ..Default::default()
            };
            let answer = client.directory.clone().update_workspace(request).await;
            answer.expect("the workspace gets another name");
        }
        "the token is revoked" => drop(client.revoke(token_id).await),
        "the member is removed" => client.remove_member(WORKSPACE, "m0").await,
        other => panic!("{other}: nobody knows how"),
    }
}

async fn after_a_change_one_fill_makes_a_token_warm_again(database: TestDatabase) {
    let (_server, client, statements) = start(&database).await;
    let secrets = issue(&client, 1).await;
    warm(&client, &secrets).await;
    let answer = ask(&client, &secrets[0]).await.expect("a decision");
    let token_id = answer.principal.expect("an allow tells whose").token_id;
    for (change, is_good) in CHANGES {
        make(&client, change, &token_id).await;
        statements.take();
        for _ in 0..50 {
            assert_eq!(is_allowed(&client, &secrets[0]).await, is_good, "{change}");
        }
        assert_eq!(fills(&statements), 1, "{change}");
    }
}

async fn what_a_change_is_not_about_stays_warm(database: TestDatabase) {
    let (_server, client, statements) = start(&database).await;
    let secrets = issue(&client, 80).await;
    warm(&client, &secrets).await;
    let answer = ask(&client, &secrets[0]).await.expect("a decision");
    let token_id = answer.principal.expect("an allow tells whose").token_id;
    client.create_workspace("other").await;
    client.put_member("other", "m0", "member").await;
    client.remove_member("other", "m0").await;
    client.delete_workspace("other").await;
    client.issue(WORKSPACE, "m1", "more", None).await;
    client.revoke(&token_id).await;
    client.set_member_role(WORKSPACE, "m0", "admin").await;
    statements.take();
    // Those of the other member.
    warm(&client, &secrets[40..]).await;
    assert_eq!(statements.take(), [""; 0]);
    // One of them brings the member back for all.
    warm(&client, &secrets[1..40]).await;
    assert_eq!(fills(&statements), 1);

    let state = WorkspaceState::Suspended;
    client.set_workspace_state(WORKSPACE, state).await;
    statements.take();
    // The revoked one last: it would bring the workspace back too.
    for secret in secrets.iter().rev() {
        assert!(!is_allowed(&client, secret).await);
    }
    assert_eq!(
        fills(&statements),
        2,
        "the workspace's, and the revoked token's"
    );
}

async fn a_token_is_looked_up_once_however_many_present_it(database: TestDatabase) {
    let (_server, client, statements) = start(&database).await;
    let mut secrets = issue(&client, ROUNDS).await;
    secrets.extend((0..ROUNDS).map(|_| unknown_secret()));
    for (number, secret) in secrets.iter().enumerate() {
        statements.take();
        let mut workers = JoinSet::new();
        for _ in 0..100 {
            let (client, secret) = (client.clone(), secret.clone());
            workers.spawn(async move { is_allowed(&client, &secret).await });
        }
        for is_allowed in workers.join_all().await {
            assert_eq!(is_allowed, number < ROUNDS);
        }
        assert_eq!(fills(&statements), 1, "{number}");
    }
}

on_both![
    ten_thousand_decisions_of_a_warm_token_take_no_statement,
    after_a_change_one_fill_makes_a_token_warm_again,
    what_a_change_is_not_about_stays_warm,
    a_token_is_looked_up_once_however_many_present_it,
];
