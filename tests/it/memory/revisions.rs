//! What an answer tells of its age: the revision that it is of, and for how long it may be used again.

use std::time::Duration;

use countersign::pb::{
    AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchMode, Check, Context,
    DenyReason, IssueTokenResponse, RevokeTokenRequest, SetMemberRoleRequest,
};
use tonic::{Code, Response, Status};

use super::{BOUND, WORKSPACE, is_allowed, issue, question};
use crate::support::{
    call::unknown_secret,
    client::{Client, revoke_request},
    database::{Backend, TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    status::assert_status,
};

const ROUNDS: usize = 50;

fn since(secret: &str, revision: &str) -> AuthorizeRequest {
    AuthorizeRequest {
        context: Some(Context {
            min_revision: revision.to_owned(),
            ..Default::default()
        }),
        ..question(secret)
    }
}

async fn ask_since(
    client: &Client,
    secret: &str,
    revision: &str,
) -> Result<AuthorizeResponse, Status> {
    let mut authorization = client.authorization.clone();
    let answer = authorization.authorize(since(secret, revision)).await;
    answer.map(Response::into_inner)
}

fn batch(secret: &str, revision: &str) -> BatchAuthorizeRequest {
    let AuthorizeRequest {
        action,
        resource,
        context,
        ..
    } = since(secret, revision);
    BatchAuthorizeRequest {
        token: secret.to_owned(),
        checks: vec![Check { action, resource }; 3],
        context,
        mode: BatchMode::All.into(),
    }
}

fn number(revision: &str) -> i64 {
    let (number, _) = revision.split_once('-').unwrap_or((revision, ""));
    number.parse().unwrap_or_else(|_| panic!("{revision}"))
}

fn reason(answer: &AuthorizeResponse) -> DenyReason {
    answer.decision.as_ref().expect("a decision").reason()
}

async fn revoke(client: &Client, issued: &IssueTokenResponse) -> String {
    let token_id = &issued.token.as_ref().expect("a token").token_id;
    let request: RevokeTokenRequest = revoke_request(token_id);
    let answer = client.tokens.clone().revoke_token(request).await;
    answer.expect("it is revoked").into_inner().revision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_another_replica_made_is_honoured_at_once_by_who_names_it() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let [here, there] = [
        TestServer::start(&database).await,
        TestServer::start(&database).await,
    ];
    let [here, there] = [&here, &there].map(|server| server.client(PLATFORM));
    issue(&here, 1).await;
    for round in 0..ROUNDS {
        let issued = there.issue(WORKSPACE, "m0", "one", None).await;
        let answer = ask_since(&here, &issued.secret, &issued.revision).await;
        let answer = answer.expect("it is known");
        assert_eq!(reason(&answer), DenyReason::Unspecified, "{round}");
        assert!(number(&answer.revision) >= number(&issued.revision));
        // Warm here by now.
        let revision = revoke(&there, &issued).await;
        let answer = ask_since(&here, &issued.secret, &revision).await;
        let answer = answer.expect("it is known");
        assert_eq!(reason(&answer), DenyReason::RevokedToken, "{round}");
        assert!(number(&answer.revision) >= number(&revision));
        let mut authorization = here.authorization.clone();
        let answer = authorization.batch_authorize(batch(&issued.secret, &revision));
        let answer = answer.await.expect("decisions").into_inner();
        assert!(number(&answer.revision) >= number(&revision));
        for decision in &answer.decisions {
            assert_eq!(decision.reason(), DenyReason::RevokedToken, "{round}");
        }
    }
    // The same of a role, which is not the token's own.
    let issued = there.issue(WORKSPACE, "m0", "one", None).await;
    for round in 0..ROUNDS {
        let role = ["admin", "member"][round % 2];
        let request = SetMemberRoleRequest {
            workspace_id: WORKSPACE.to_owned(),
            member_id: "m0".to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let answer = there.directory.clone().set_member_role(request).await;
        let revision = answer.expect("the role changes").into_inner().revision;
        let answer = ask_since(&here, &issued.secret, &revision).await;
        let answer = answer.expect("it is known");
        assert_eq!(answer.principal.expect("an allow").role, role, "{round}");
        assert!(number(&answer.revision) >= number(&revision));
    }
}

async fn a_revision_that_nobody_made_is_unknown_and_an_old_one_is_not(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    issue(&client, 1).await;
    let mut old = Vec::new();
    for name in ["first", "second", "third"] {
        old.push(client.issue(WORKSPACE, "m0", name, None).await);
    }
    server.stop().await.expect("it ends well");
    // What was before its start it does not remember.
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let [secret, last] = [&old[0].secret, &old[2].revision];
    for issued in &old {
        for _ in 0..3 {
            let answer = ask_since(&client, secret, &issued.revision).await;
            let answer = answer.expect("it is known");
            assert_eq!(reason(&answer), DenyReason::Unspecified);
            assert!(number(&answer.revision) >= number(last));
        }
    }

    // Of the right form: another position under this name, another name at this position, one that is to come.
    let (position, name) = last.split_once('-').expect("a position and a name");
    let (before, _) = old[1].revision.split_once('-').expect("the same");
    let other: String = name
        .chars()
        .rev()
        .map(|digit| if digit == '0' { '1' } else { '0' })
        .collect();
    let next = number(last) + 1;
    for unknown in [
        format!("{before}-{name}"),
        format!("{position}-{other}"),
        format!("{next}-{name}"),
        format!("{}-{name}", i64::MAX),
    ] {
        for _ in 0..2 {
            let answer = ask_since(&client, secret, &unknown).await;
            let status = answer.expect_err(&unknown);
            let code = Code::FailedPrecondition;
            assert_status(&status, code, "REVISION_UNKNOWN", None);
            let mut authorization = client.authorization.clone();
            let answer = authorization.batch_authorize(batch(secret, &unknown)).await;
            let status = answer.expect_err(&unknown);
            assert_status(&status, code, "REVISION_UNKNOWN", None);
        }
        // What was never a token needs no state at all.
        let answer = ask_since(&client, "no token", &unknown).await;
        let answer = answer.expect("a decision");
        assert_eq!(reason(&answer), DenyReason::MalformedToken);
        assert_eq!((answer.revision.as_str(), answer.reusable_for), ("", None));
    }
    let answer = ask_since(&client, secret, "soon").await;
    let status = answer.expect_err("it is no revision");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

async fn an_answer_may_be_used_again_until_the_bound_or_the_expiry(database: TestDatabase) {
    let setup = Setup::default();
    let (clock, began) = (setup.clock.clone(), setup.clock.now());
    let server = setup.start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, 1).await;
    let expiring = client.issue(WORKSPACE, "m0", "expiring", Some(Duration::from_secs(60)));
    let expiring = expiring.await.secret;
    let reusable = async |secret: &str| {
        let answer = super::ask(&client, secret).await.expect("a decision");
        let mut authorization = client.authorization.clone();
        let batch = authorization.batch_authorize(batch(secret, "")).await;
        let batch = batch.expect("decisions").into_inner();
        [answer.reusable_for, batch.reusable_for].map(|reusable_for| {
            reusable_for.map(|told| Duration::try_from(told).expect("it is not negative"))
        })
    };
    let revoked = client.issue(WORKSPACE, "m0", "revoked", None).await;
    revoke(&client, &revoked).await;
    for secret in [&secrets[0], &expiring, &revoked.secret, &unknown_secret()] {
        for _ in 0..50 {
            for told in reusable(secret).await {
                let told = told.expect("an allow or a denial");
                assert!(told <= BOUND, "{told:?}");
            }
        }
    }
    // Some are of a view that is younger than its poll is long.
    let told = reusable(&secrets[0]).await;
    assert!(
        told.into_iter().flatten().max() > Some(Duration::ZERO),
        "{told:?}"
    );
    for malformed in ["", "no token", "csn_pat_short"] {
        assert_eq!(reusable(malformed).await, [None, None], "{malformed}");
    }

    for left in [300, 50, 1] {
        let left = Duration::from_millis(left);
        clock.set(began.plus(Duration::from_secs(60) - left));
        assert!(is_allowed(&client, &expiring).await);
        for told in reusable(&expiring).await {
            let told = told.expect("an allow");
            assert!(told <= left, "{told:?} of {left:?}");
        }
    }
}

on_both![
    a_revision_that_nobody_made_is_unknown_and_an_old_one_is_not,
    an_answer_may_be_used_again_until_the_bound_or_the_expiry,
];
