//! What a restart with another configuration leaves of tokens: another policy, another prefix.

use countersign::{
    domain::{policy::Policy, secret::TokenFormat},
    pb::{DenyReason, MemberState, SetMemberRoleRequest, resource::Owner},
};
use tonic::Code;

use super::ask_own;
use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    status::assert_status,
};

/// The default policy's roles and one more.
const WITH_AUDITOR: &str = r#"
[resources.bookings]
verbs = ["read"]
[roles.member]
own = ["bookings.read"]
[roles.auditor]
workspace = ["bookings.read"]
"#;

/// A server that prints tokens with `prefix` and takes those of `retired` as well.
async fn with_prefixes(
    database: &TestDatabase,
    prefix: &str,
    retired: &[&str],
) -> (TestServer, Client) {
    let retired: Vec<String> = retired.iter().map(|&prefix| prefix.to_owned()).collect();
    let setup = Setup {
        token_format: TokenFormat::new(prefix, &retired).expect("good prefixes"),
        ..Setup::default()
    };
    let server = setup.start(database).await;
    let platform = server.client(PLATFORM);
    (server, platform)
}

async fn a_role_that_the_policy_no_longer_has_permits_nothing(database: TestDatabase) {
    let setup = Setup {
        policy: Policy::parse(WITH_AUDITOR).expect("a good policy"),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "auditor").await;
    let secret = platform.issue("acme", "max", "deploy", None).await.secret;
    let answer = ask_own(&platform, &secret).await.expect("an auditor may");
    assert_eq!(answer.principal.expect("whose it is").role, "auditor");
    server.stop().await.expect("it stops");

    let server = TestServer::start(&database).await;
    let platform = server.client(PLATFORM);
    let owners = [
        Owner::Bearer(true),
        Owner::OwnerId("max".to_owned()),
        Owner::OwnerId("eve".to_owned()),
    ];
    for owner in owners {
        let answer = platform
            .authorize(&secret, "bookings.read", "acme", Some(owner))
            .await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.reason(), DenyReason::RoleNotPermitted);
        assert_eq!(answer.principal.expect("whose it is").role, "auditor");
    }
    // Nobody else can be given it, whoever has it can still be managed, and another role is all it takes.
    let request = SetMemberRoleRequest {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
        role: "auditor".to_owned(),
        ..Default::default()
    };
    let refused = platform.directory.clone().set_member_role(request).await;
    let refused = refused.expect_err("there is no such role");
    assert_status(
        &refused,
        Code::InvalidArgument,
        "ROLE_UNKNOWN",
        Some("role"),
    );
    platform
        .set_member_state("acme", "max", MemberState::Suspended)
        .await;
    platform
        .set_member_state("acme", "max", MemberState::Active)
        .await;
    platform.set_member_role("acme", "max", "member").await;
    assert!(ask_own(&platform, &secret).await.is_ok());
}

async fn renaming_the_prefix_kills_no_token(database: TestDatabase) {
    let (server, platform) = with_prefixes(&database, "csn_pat", &[]).await;
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let old = platform.issue("acme", "max", "old", None).await.secret;
    server.stop().await.expect("it stops");

    let (server, platform) = with_prefixes(&database, "acme", &["csn_pat"]).await;
    assert!(
        ask_own(&platform, &old).await.is_ok(),
        "the prefix is retired, not refused"
    );
    let new = platform.issue("acme", "max", "new", None).await.secret;
    assert!(new.starts_with("acme_1"), "it has the new prefix");
    assert!(ask_own(&platform, &new).await.is_ok());
    // The prefix is no part of what is stored: the old secret under the new prefix is the same token.
    let secret = TokenFormat::default().parse(&old).expect("it is a token");
    let renamed = TokenFormat::new("acme", &[])
        .expect("a prefix")
        .print(&secret);
    let of = async |secret: &str| {
        let answer = ask_own(&platform, secret).await.expect("it is allowed");
        answer.principal.expect("whose it is").token_id
    };
    assert_eq!(of(renamed.expose()).await, of(&old).await);
    server.stop().await.expect("it stops");

    let (server, platform) = with_prefixes(&database, "acme", &[]).await;
    assert_eq!(
        ask_own(&platform, &old).await,
        Err(DenyReason::MalformedToken)
    );
    assert!(ask_own(&platform, &new).await.is_ok());
    server.stop().await.expect("it stops");

    let (_server, platform) = with_prefixes(&database, "csn_pat", &["acme"]).await;
    for secret in [old, new] {
        assert!(ask_own(&platform, &secret).await.is_ok(), "renamed back");
    }
}

on_both![
    a_role_that_the_policy_no_longer_has_permits_nothing,
    renaming_the_prefix_kills_no_token,
];
