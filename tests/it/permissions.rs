//! What a decision tells of how it came about, and everything that a bearer may do.

use std::time::Duration;

use countersign::pb::{
    AuthorizeRequest, AuthorizeResponse, Context, DenyReason, Explanation, ListPermissionsRequest,
    ListPermissionsResponse, MemberState, Reach, WorkspaceState, resource::Owner,
};

use crate::support::{
    client::{Client, authorize_request},
    database::{TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, TestServer},
};

/// What the default policy lets a member do to its own.
const OWN: [&str; 19] = [
    "appointments.delete",
    "appointments.list",
    "appointments.read",
    "appointments.update",
    "availability.create",
    "availability.delete",
    "availability.list",
    "availability.read",
    "availability.update",
    "bookings.create",
    "bookings.delete",
    "bookings.list",
    "bookings.read",
    "bookings.update",
    "meeting-types.create",
    "meeting-types.delete",
    "meeting-types.list",
    "meeting-types.read",
    "meeting-types.update",
];

async fn explained(client: &Client, request: AuthorizeRequest) -> AuthorizeResponse {
    let request = AuthorizeRequest {
        explain: true,
        ..request
    };
    let answer = client.authorization.clone().authorize(request).await;
    answer.expect("a decision").into_inner()
}

async fn permissions(client: &Client, token: &str, on_behalf_of: &str) -> ListPermissionsResponse {
    let request = ListPermissionsRequest {
        token: token.to_owned(),
        context: Some(Context {
            on_behalf_of: on_behalf_of.to_owned(),
            ..Default::default()
        }),
    };
    let answer = client.authorization.clone().list_permissions(request).await;
    answer.expect("an answer").into_inner()
}

async fn a_decision_is_explained_by_the_rule_that_made_it(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let (platform, service) = (server.client(PLATFORM), server.client(BOOKINGS));
    platform.create_workspace("acme").await;
    platform.put_member("acme", "ada", "admin").await;
    platform.put_member("acme", "max", "member").await;
    let ada = platform.issue("acme", "ada", "a", None).await.secret;
    let max = platform.issue("acme", "max", "m", None).await.secret;
    let of_ada = || Some(Owner::OwnerId("ada".to_owned()));
    let all = || Some(Owner::Collection(true));
    let cases = [
        (
            &max,
            "bookings.read",
            "acme",
            Some(Owner::Bearer(true)),
            "roles.member.own: bookings.*",
            Reach::Own,
        ),
        (
            &max,
            "bookings.read",
            "acme",
            of_ada(),
            "roles.member.own: bookings.*",
            Reach::Own,
        ),
        (
            &ada,
            "bookings.read",
            "acme",
            None,
            "roles.admin.workspace: bookings.read",
            Reach::Workspace,
        ),
        (
            &ada,
            "bookings.create",
            "acme",
            of_ada(),
            "roles.member.own: bookings.*",
            Reach::Own,
        ),
        (
            &max,
            "users.list",
            "acme",
            all(),
            "no rule of the role `member` covers `users.list`",
            Reach::Unspecified,
        ),
        (
            &ada,
            "users.delete",
            "acme",
            None,
            "`users.delete` is above the ceiling of tokens, whatever the policy says",
            Reach::Unspecified,
        ),
        (
            &ada,
            "bookings.approve",
            "acme",
            None,
            "the policy declares no `bookings.approve`",
            Reach::Unspecified,
        ),
        (
            &ada,
            "bookings.read",
            "other",
            None,
            "the token is of the workspace `acme`, the resource is not",
            Reach::Unspecified,
        ),
    ];
    let policy = countersign::domain::policy::Policy::embedded().expect("the default policy");
    for (token, action, workspace, owner, rule, reach) in cases {
        let request = authorize_request(token, action, workspace, owner);
        let role = if *token == ada { "admin" } else { "member" };
        let expected = Explanation {
            role: role.to_owned(),
            rule: rule.to_owned(),
            reach: reach.into(),
            policy_hash: policy.hash().to_owned(),
            missing_scope: String::new(),
        };
        let answer = explained(&service, request.clone()).await;
        assert_eq!(
            answer.explanation.as_deref(),
            Some(&expected),
            "{action} {rule}"
        );
        // Unasked, it is not given, and the decision is the same.
        let plain = service.authorization.clone().authorize(request).await;
        let plain = plain.expect("a decision").into_inner();
        assert_eq!(plain.explanation, None);
        assert_eq!(plain.decision, answer.decision);
    }
}

async fn acting_for_another_is_explained(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let max = platform.issue("acme", "max", "m", None).await.secret;
    let all = Some(Owner::Collection(true));
    let request = AuthorizeRequest {
        context: Some(Context {
            on_behalf_of: "ada".to_owned(),
            ..Default::default()
        }),
        ..authorize_request(&max, "bookings.read", "", all)
    };
    let told = explained(&platform, request)
        .await
        .explanation
        .expect("one");
    assert_eq!(
        told.rule,
        "the token acts as `max` and asks to act for another"
    );
}

async fn nothing_is_explained_of_a_token_that_is_no_good(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let revoked = platform.issue("acme", "max", "a", None).await;
    platform
        .revoke(&revoked.token.expect("a token").token_id)
        .await;
    let expired = platform
        .issue("acme", "max", "b", Some(Duration::from_secs(1)))
        .await;
    server.clock().advance(Duration::from_secs(1));
    let unknown = crate::support::call::unknown_secret();
    for token in [
        &revoked.secret,
        &expired.secret,
        &unknown,
        &"odd".to_owned(),
    ] {
        let owner = Some(Owner::Bearer(true));
        let answer = explained(
            &platform,
            authorize_request(token, "bookings.read", "", owner),
        )
        .await;
        assert_eq!((answer.principal, answer.explanation), (None, None));
        let answer = permissions(&platform, token, "").await;
        assert_ne!(answer.reason(), DenyReason::Unspecified);
        assert_eq!((answer.principal, answer.permissions.len()), (None, 0));
    }
}

async fn a_bearer_is_told_everything_it_may_do(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let (platform, service) = (server.client(PLATFORM), server.client(BOOKINGS));
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let token = platform.issue("acme", "max", "a", None).await.secret;
    let list = |answer: &ListPermissionsResponse| -> Vec<(String, Reach)> {
        let permissions = answer.permissions.iter();
        permissions.map(|p| (p.action.clone(), p.reach())).collect()
    };

    let member = permissions(&service, &format!("Bearer {token}"), "").await;
    let own: Vec<_> = OWN
        .iter()
        .map(|action| ((*action).to_owned(), Reach::Own))
        .collect();
    assert_eq!(
        (member.reason(), list(&member)),
        (DenyReason::Unspecified, own)
    );
    assert_eq!(member.principal.expect("a principal").role, "member");

    platform.set_member_role("acme", "max", "admin").await;
    let admin = permissions(&service, &token, "max").await;
    let reach = |action: &str| {
        list(&admin)
            .iter()
            .find(|(a, _)| a == action)
            .map(|(_, r)| *r)
    };
    assert_eq!(admin.permissions.len(), OWN.len() + 2);
    assert_eq!(reach("users.list"), Some(Reach::Workspace));
    assert_eq!(reach("bookings.create"), Some(Reach::Own));
    assert_eq!(reach("users.create"), None);
    // What is listed is what is decided.
    for (action, reach) in list(&admin) {
        let owner = Some(Owner::Bearer(true));
        let answer = service.authorize(&token, &action, "", owner).await;
        assert_eq!(
            answer.decision.expect("a decision").reach(),
            reach,
            "{action}"
        );
    }

    let refused = permissions(&service, &token, "ada").await;
    assert_eq!(refused.reason(), DenyReason::Impersonation);
    assert_eq!(refused.permissions.len(), 0);
    platform
        .set_member_state("acme", "max", MemberState::Suspended)
        .await;
    let suspended = permissions(&service, &token, "").await;
    assert_eq!(suspended.reason(), DenyReason::MemberSuspended);
    assert!(suspended.principal.is_some() && suspended.permissions.is_empty());
    platform
        .set_workspace_state("acme", WorkspaceState::Suspended)
        .await;
    let suspended = permissions(&service, &token, "").await;
    assert_eq!(suspended.reason(), DenyReason::WorkspaceSuspended);
}

on_both![
    a_decision_is_explained_by_the_rule_that_made_it,
    acting_for_another_is_explained,
    nothing_is_explained_of_a_token_that_is_no_good,
    a_bearer_is_told_everything_it_may_do,
];
