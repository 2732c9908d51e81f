//! Scopes through the front door: what is issued with them, what they leave of a role, and what they come to when roles and
//! policies change.

use countersign::{
    domain::policy::Policy,
    pb::{
        BatchAuthorizeRequest, BatchMode, Check, DenyReason, IssueTokenRequest, IssueTokenResponse,
        ListPermissionsRequest, ListTokensRequest, Outcome, Reach, Resource, resource::Owner,
    },
};
use tonic::Code;

use crate::support::{
    client::{Client, authorize_request, issue_request},
    database::{TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, Setup, TestServer},
    status::{assert_status, bad_fields},
};

async fn acme(server: &TestServer) -> Client {
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "ada", "admin").await;
    platform.put_member("acme", "max", "member").await;
    platform
}

fn id(issued: &IssueTokenResponse) -> String {
    let token = issued.token.as_ref().expect("the answer carries it");
    token.token_id.clone()
}

/// Everything that the bearer may do.
async fn permissions(client: &Client, token: &str) -> Vec<String> {
    let request = ListPermissionsRequest {
        token: token.to_owned(),
        context: None,
    };
    let answer = client.authorization.clone().list_permissions(request).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!(answer.reason(), DenyReason::Unspecified);
    answer.permissions.into_iter().map(|p| p.action).collect()
}

/// Whether the bearer may do this to its own: how far, or why not.
async fn ask(client: &Client, token: &str, action: &str) -> Result<Reach, DenyReason> {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(token, action, "", owner).await;
    let decision = answer.decision.expect("a decision");
    match decision.outcome() {
        Outcome::Allow => Ok(decision.reach()),
        _ => Err(decision.reason()),
    }
}

async fn scopes_are_told_wherever_the_token_is(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let scopes = ["bookings.*", "*.list", "users.read", "users.read"];
    let issued = platform
        .issue_limited("acme", "max", "narrow", [&scopes, &[]])
        .await;
    let plain = platform.issue("acme", "max", "plain", None).await;
    let request = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        ..Default::default()
    };
    let listed = platform.tokens.clone().list_tokens(request).await;
    let listed = listed.expect("a page").into_inner().tokens;
    let revoked = platform.revoke(&id(&issued)).await;
    assert_eq!(revoked.scopes, scopes, "a dead one too");
    for (issued, scopes) in [(&issued, &scopes[..]), (&plain, &[])] {
        let token = issued.token.as_ref().expect("the answer carries it");
        assert_eq!(token.scopes, scopes);
        assert!(listed.contains(token), "{listed:?}");
    }
    let owner = || Some(Owner::Bearer(true));
    let answer = platform
        .authorize(&plain.secret, "bookings.read", "", owner())
        .await;
    assert_eq!(answer.principal.expect("it is good").scopes, [""; 0]);
    let again = platform
        .issue_limited("acme", "max", "again", [&scopes, &[]])
        .await;
    let answer = platform
        .authorize(&again.secret, "meeting-types.read", "", owner())
        .await;
    let decision = answer.decision.expect("a decision");
    assert_eq!(decision.reason(), DenyReason::OutOfScope);
    assert_eq!(answer.principal.expect("it is good").scopes, scopes);
}

async fn a_token_does_what_its_scopes_leave_of_the_role(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let service = server.client(BOOKINGS);
    let all = platform.issue("acme", "ada", "all", None).await.secret;
    let all = permissions(&service, &all).await;
    type Kept = fn(&str) -> bool;
    let cases: [(&[&str], Kept); 5] = [
        (&["bookings.read"], |action| action == "bookings.read"),
        (&["bookings.*"], |action| action.starts_with("bookings.")),
        (&["*.read"], |action| action.ends_with(".read")),
        (&["users.*", "*.delete"], |action| {
            action.starts_with("users.") || action.ends_with(".delete")
        }),
        (&["availability.create", "availability.*"], |action| {
            action.starts_with("availability.")
        }),
    ];
    for (number, (scopes, is_kept)) in cases.into_iter().enumerate() {
        let name = format!("token {number}");
        let issued = platform
            .issue_limited("acme", "ada", &name, [scopes, &[]])
            .await;
        let kept: Vec<&String> = all.iter().filter(|action| is_kept(action)).collect();
        let told = permissions(&service, &issued.secret).await;
        assert_eq!(told.iter().collect::<Vec<_>>(), kept, "{scopes:?}");
        let checks = all.iter().map(|action| Check {
            action: action.clone(),
            resource: Some(Resource {
                owner: Some(Owner::Bearer(true)),
                ..Default::default()
            }),
        });
        let request = BatchAuthorizeRequest {
            token: issued.secret.clone(),
            checks: checks.collect(),
            mode: BatchMode::All.into(),
            ..Default::default()
        };
        let batch = service.authorization.clone().batch_authorize(request).await;
        let batch = batch.expect("decisions").into_inner().decisions;
        for (action, decision) in all.iter().zip(batch) {
            let expected = match is_kept(action) {
                true => (Outcome::Allow, DenyReason::Unspecified),
                false => (Outcome::Deny, DenyReason::OutOfScope),
            };
            let decided = (decision.outcome(), decision.reason());
            assert_eq!(decided, expected, "{scopes:?} {action}");
        }
    }
}

async fn the_explanation_names_the_scope_that_is_missing(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let scopes = ["bookings.read", "users.list"];
    let issued = platform
        .issue_limited("acme", "max", "narrow", [&scopes, &[]])
        .await;
    let cases = [
        ("bookings.update", DenyReason::OutOfScope, "bookings.update"),
        // The role lacks it too; the scopes are looked at before.
        ("users.read", DenyReason::OutOfScope, "users.read"),
        ("users.list", DenyReason::RoleNotPermitted, ""),
        ("users.delete", DenyReason::AboveTokenCeiling, ""),
        ("bookings.approve", DenyReason::UnknownAction, ""),
        ("bookings.read", DenyReason::Unspecified, ""),
    ];
    for (action, reason, missing) in cases {
        let owner = Some(Owner::Bearer(true));
        let mut request = authorize_request(&issued.secret, action, "", owner);
        request.explain = true;
        let answer = platform.authorization.clone().authorize(request).await;
        let answer = answer.expect("a decision").into_inner();
        assert_eq!(answer.decision.expect("one").reason(), reason, "{action}");
        let explanation = answer.explanation.expect("it is explained");
        assert_eq!(explanation.missing_scope, missing, "{action}");
        if reason == DenyReason::OutOfScope {
            let rule = format!("no scope of the token covers `{action}`");
            assert_eq!(explanation.rule, rule);
        }
    }
}

async fn a_scope_gives_what_the_role_has_now(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    // That the role lacks the first is no reason to refuse: it may come to have it.
    let scopes = ["users.list", "bookings.read"];
    let token = platform
        .issue_limited("acme", "max", "narrow", [&scopes, &[]])
        .await
        .secret;
    let asks = [
        "users.list",
        "bookings.read",
        "bookings.update",
        "users.read",
    ];
    let expected = [
        (
            "member",
            [
                Err(DenyReason::RoleNotPermitted),
                Ok(Reach::Own),
                Err(DenyReason::OutOfScope),
                Err(DenyReason::OutOfScope),
            ],
        ),
        (
            "admin",
            [
                Ok(Reach::Workspace),
                Ok(Reach::Workspace),
                Err(DenyReason::OutOfScope),
                Err(DenyReason::OutOfScope),
            ],
        ),
    ];
    for (role, decisions) in expected.iter().cycle().take(3) {
        platform.set_member_role("acme", "max", role).await;
        for (action, expected) in asks.iter().zip(decisions) {
            assert_eq!(
                ask(&platform, &token, action).await,
                *expected,
                "{role} {action}"
            );
        }
    }
}

/// Without bookings, and with rooms.
const OTHER_POLICY: &str = r#"
[resources.rooms]
verbs = ["list", "read", "rent"]
collection = ["list"]
[resources.users]
verbs = ["read"]
[roles.member]
own = ["rooms.*"]
[roles.admin]
workspace = ["rooms.*", "users.read"]
"#;

async fn scopes_outlive_the_policy_that_they_were_issued_under(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let issue = async |name: &str, scopes: &[&str]| {
        platform
            .issue_limited("acme", "max", name, [scopes, &[]])
            .await
            .secret
    };
    let bookings = issue("bookings", &["bookings.*", "meeting-types.read"]).await;
    let reading = issue("reading", &["*.read"]).await;
    let own = Ok(Reach::Own);
    assert_eq!(ask(&platform, &bookings, "bookings.read").await, own);
    assert_eq!(permissions(&platform, &bookings).await.len(), 6);
    assert_eq!(permissions(&platform, &reading).await.len(), 4);

    let policy = Policy::parse(OTHER_POLICY).expect("the policy is good");
    let other = Setup {
        policy,
        ..Setup::default()
    };
    assert!(server.reload(other).await);
    // What is no longer declared matches nothing, and does not turn into everything.
    let unknown = Err(DenyReason::UnknownAction);
    assert_eq!(ask(&platform, &bookings, "bookings.read").await, unknown);
    let out_of_scope = Err(DenyReason::OutOfScope);
    assert_eq!(ask(&platform, &bookings, "rooms.read").await, out_of_scope);
    assert_eq!(permissions(&platform, &bookings).await, [""; 0]);
    // A pattern stands for what is declared now.
    assert_eq!(ask(&platform, &reading, "rooms.read").await, own);
    assert_eq!(ask(&platform, &reading, "rooms.rent").await, out_of_scope);
    assert_eq!(permissions(&platform, &reading).await, ["rooms.read"]);
    // What can be issued is what is declared now.
    let rooms = issue("rooms", &["rooms.rent"]).await;
    assert_eq!(ask(&platform, &rooms, "rooms.rent").await, own);
    let request = IssueTokenRequest {
        scopes: vec!["bookings.*".to_owned()],
        ..issue_request("acme", "max", "late", None)
    };
    let status = platform.tokens.clone().issue_token(request).await;
    let status = status.expect_err("it matches nothing");
    let field = Some("scopes[0]");
    assert_status(&status, Code::InvalidArgument, "SCOPE_UNKNOWN", field);

    assert!(server.reload(Setup::default()).await);
    assert_eq!(ask(&platform, &bookings, "bookings.read").await, own);
    assert_eq!(permissions(&platform, &bookings).await.len(), 6);
    assert_eq!(permissions(&platform, &rooms).await, [""; 0]);
}

async fn fifty_of_the_longest_scopes_are_kept_and_used(database: TestDatabase) {
    let verbs: Vec<String> = (10..60)
        .map(|n| format!("r{}{n}", "x".repeat(116)))
        .collect();
    let actions: Vec<String> = verbs
        .iter()
        .map(|verb| format!("bookings.{verb}"))
        .collect();
    assert!(actions.iter().all(|action| action.len() == 128));
    let text = format!(
        "[resources.bookings]\nverbs = {verbs:?}\n[roles.member]\nown = ['bookings.*']\n[roles.admin]\n"
    );
    let setup = Setup {
        policy: Policy::parse(&text).expect("the policy is good"),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let platform = acme(&server).await;
    let scopes: Vec<&str> = actions.iter().map(String::as_str).collect();
    let issued = platform
        .issue_limited("acme", "max", "many", [&scopes, &[]])
        .await;
    assert_eq!(issued.token.expect("a token").scopes, actions);
    for action in [&actions[0], &actions[49]] {
        assert_eq!(ask(&platform, &issued.secret, action).await, Ok(Reach::Own));
    }
    assert_eq!(permissions(&platform, &issued.secret).await, actions);
}

async fn of_many_that_are_refused_so_many_are_told_as_fit_into_an_answer(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let request = IssueTokenRequest {
        scopes: vec![format!("bookings.{}", "x".repeat(119)); 50],
        ..issue_request("acme", "max", "many", None)
    };
    let status = platform.tokens.clone().issue_token(request).await;
    let status = status.expect_err("they match nothing");
    let field = Some("scopes[19]");
    assert_status(&status, Code::InvalidArgument, "SCOPE_UNKNOWN", field);
    assert_eq!(bad_fields(&status).len(), 20);
}

on_both![
    of_many_that_are_refused_so_many_are_told_as_fit_into_an_answer,
    scopes_are_told_wherever_the_token_is,
    a_token_does_what_its_scopes_leave_of_the_role,
    the_explanation_names_the_scope_that_is_missing,
    a_scope_gives_what_the_role_has_now,
    scopes_outlive_the_policy_that_they_were_issued_under,
    fifty_of_the_longest_scopes_are_kept_and_used,
];
