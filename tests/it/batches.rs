//! Many decisions at once, and decisions from a known change on.

use countersign::pb::{
    AuthorizeRequest, BatchAuthorizeRequest, BatchAuthorizeResponse, BatchMode, Check, Context,
    DenyReason, Outcome, Resource, resource::Owner,
};
use tonic::Code;

use crate::support::{
    client::{Client, authorize_request},
    database::{TestDatabase, on_both},
    server::{PLATFORM, TestServer},
    status::assert_status,
};

fn check(action: &str, owner: Option<Owner>) -> Check {
    Check {
        action: action.to_owned(),
        resource: Some(Resource {
            workspace_id: "acme".to_owned(),
            owner,
            ..Default::default()
        }),
    }
}

/// What is decided of each is allow, deny, allow, deny, allow.
fn checks() -> Vec<Check> {
    vec![
        check("bookings.read", Some(Owner::Bearer(true))),
        check("users.list", Some(Owner::Collection(true))),
        check("bookings.list", Some(Owner::Collection(true))),
        check("bookings.read", None),
        check(
            "availability.update",
            Some(Owner::OwnerId("max".to_owned())),
        ),
    ]
}

async fn batch(
    client: &Client,
    token: &str,
    checks: Vec<Check>,
    mode: BatchMode,
) -> BatchAuthorizeResponse {
    let request = BatchAuthorizeRequest {
        token: token.to_owned(),
        checks,
        context: None,
        mode: mode.into(),
    };
    let answer = client.authorization.clone().batch_authorize(request).await;
    answer.expect("decisions").into_inner()
}

fn outcomes(answer: &BatchAuthorizeResponse) -> Vec<Outcome> {
    answer
        .decisions
        .iter()
        .map(|decision| decision.outcome())
        .collect()
}

async fn a_batch_decides_each_check_as_alone_and_stops_where_it_was_told(database: TestDatabase) {
    use Outcome::{Allow, Deny, NotEvaluated};

    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let token = client.issue("acme", "max", "a", None).await.secret;

    let all = batch(&client, &token, checks(), BatchMode::All).await;
    assert_eq!(outcomes(&all), [Allow, Deny, Allow, Deny, Allow]);
    assert_eq!(
        all.principal.as_ref().map(|p| p.member_id.as_str()),
        Some("max")
    );
    for (check, decision) in checks().into_iter().zip(&all.decisions) {
        let owner = check.resource.and_then(|resource| resource.owner);
        let alone = client.authorize(&token, &check.action, "acme", owner).await;
        assert_eq!(alone.decision.as_ref(), Some(decision), "{}", check.action);
        assert_eq!(alone.revision, all.revision);
    }

    let every = batch(&client, &token, checks(), BatchMode::StopAtFirstDeny).await;
    assert_eq!(
        outcomes(&every),
        [Allow, Deny, NotEvaluated, NotEvaluated, NotEvaluated]
    );
    let any = batch(&client, &token, checks(), BatchMode::StopAtFirstAllow).await;
    assert_eq!(
        outcomes(&any),
        [
            Allow,
            NotEvaluated,
            NotEvaluated,
            NotEvaluated,
            NotEvaluated
        ]
    );
    let late: Vec<Check> = checks().into_iter().skip(1).collect();
    let any = batch(&client, &token, late, BatchMode::StopAtFirstAllow).await;
    assert_eq!(outcomes(&any), [Deny, Allow, NotEvaluated, NotEvaluated]);

    let many = vec![checks()[0].clone(); 1000];
    let many = batch(&client, &token, many, BatchMode::All).await;
    assert_eq!(outcomes(&many), vec![Allow; 1000]);
}

async fn a_batch_tells_nothing_of_a_token_that_is_no_good(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let issued = client.issue("acme", "max", "a", None).await;
    client
        .revoke(&issued.token.expect("a token").token_id)
        .await;
    for (token, reason) in [
        (issued.secret.as_str(), DenyReason::RevokedToken),
        (
            &crate::support::call::unknown_secret(),
            DenyReason::UnknownToken,
        ),
        ("odd", DenyReason::MalformedToken),
    ] {
        let answer = batch(&client, token, checks(), BatchMode::All).await;
        assert_eq!(answer.principal, None);
        let reasons: Vec<_> = answer.decisions.iter().map(|d| d.reason()).collect();
        assert_eq!(reasons, [reason; 5]);
        assert_eq!(
            answer.revision.is_empty(),
            reason == DenyReason::MalformedToken
        );
    }
}

async fn a_decision_is_made_from_a_known_revision_on(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let issued = client.issue("acme", "max", "a", None).await;
    let earlier = client.issue("acme", "max", "b", None).await.revision;
    let newest = client.issue("acme", "max", "c", None).await.revision;
    let ask = |min_revision: &str| {
        let owner = Some(Owner::Bearer(true));
        let request = AuthorizeRequest {
            context: Some(Context {
                min_revision: min_revision.to_owned(),
                ..Default::default()
            }),
            ..authorize_request(&issued.secret, "bookings.read", "", owner)
        };
        let mut decisions = client.authorization.clone();
        async move {
            decisions
                .authorize(request)
                .await
                .map(tonic::Response::into_inner)
        }
    };
    for known in [&issued.revision, &earlier, &newest] {
        let answer = ask(known).await.expect("a decision");
        assert_eq!(answer.decision.expect("one").outcome(), Outcome::Allow);
        assert_eq!(answer.revision, newest);
    }
    // Of another feed: beyond the head, and the right number with another event's id.
    let (number, id) = newest.split_once('-').expect("a revision");
    let number: i64 = number.parse().expect("a number");
    let other: String = id.chars().rev().collect();
    for unknown in [
        format!("{}-{id}", number + 1),
        format!("{number}-{other}"),
        format!("{}-{id}", number - 1),
    ] {
        let status = ask(&unknown).await.expect_err("it is not known");
        assert_status(&status, Code::FailedPrecondition, "REVISION_UNKNOWN", None);
    }
}

on_both![
    a_batch_decides_each_check_as_alone_and_stops_where_it_was_told,
    a_batch_tells_nothing_of_a_token_that_is_no_good,
    a_decision_is_made_from_a_known_revision_on,
];
