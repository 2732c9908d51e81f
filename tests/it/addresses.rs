//! Tokens that may be used from some networks only, through the front door.

use countersign::pb::{
    AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchMode, Check, Context,
    DenyReason, ListPermissionsRequest, MemberState, Resource, resource::Owner,
};

use crate::support::{
    client::{Client, authorize_request},
    database::{TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, TestServer},
};

async fn acme(server: &TestServer) -> Client {
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    platform
}

fn from(client_ip: &str) -> Option<Context> {
    Some(Context {
        client_ip: client_ip.to_owned(),
        ..Default::default()
    })
}

async fn explained(client: &Client, token: &str, context: Option<Context>) -> AuthorizeResponse {
    let owner = Some(Owner::Bearer(true));
    let request = AuthorizeRequest {
        context,
        explain: true,
        ..authorize_request(token, "bookings.read", "", owner)
    };
    let answer = client.authorization.clone().authorize(request).await;
    answer.expect("a decision").into_inner()
}

/// Why the token may not be used from there; unspecified where it may.
async fn reason(client: &Client, token: &str, client_ip: &str) -> DenyReason {
    let answer = explained(client, token, from(client_ip)).await;
    answer.decision.expect("a decision").reason()
}

async fn a_token_is_good_from_within_its_networks_only(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let (platform, service) = (acme(&server).await, server.client(BOOKINGS));
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (
            &["192.0.2.0/24"],
            &[
                "192.0.2.0",
                "192.0.2.255",
                "::ffff:192.0.2.7",
                "::ffff:c000:207",
            ],
            &[
                "",
                "192.0.1.255",
                "192.0.3.0",
                "::ffff:192.0.3.0",
                "::1",
                "::c000:207",
            ],
        ),
        (
            &["::ffff:198.51.100.6/127", "203.0.113.9"],
            &["198.51.100.6", "::ffff:198.51.100.7", "203.0.113.9"],
            &[
                "",
                "198.51.100.5",
                "198.51.100.8",
                "203.0.113.8",
                "203.0.113.10",
            ],
        ),
        (
            &["2001:db8::/32", "2001:db9::1"],
            &[
                "2001:db8::",
                "2001:DB8:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:db9::1",
            ],
            &[
                "",
                "2001:db7:ffff::",
                "2001:db9::",
                "2001:db9::2",
                "192.0.2.1",
            ],
        ),
        (
            &["0.0.0.0/0"],
            &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"],
            &["", "::", "2001:db8::1"],
        ),
        (
            &["::/0"],
            &["::", "2001:db8::1"],
            &["", "192.0.2.1", "::ffff:192.0.2.1"],
        ),
        // A token that is limited to nothing may be used from anywhere, told or not.
        (&[], &["", "192.0.2.1", "::1"], &[]),
    ];
    for (number, (networks, inside, outside)) in cases.into_iter().enumerate() {
        let name = format!("token {number}");
        let issued = platform
            .issue_limited("acme", "max", &name, [&[], networks])
            .await;
        for (addresses, expected) in [
            (inside, DenyReason::Unspecified),
            (outside, DenyReason::AddressNotAllowed),
        ] {
            for address in addresses {
                let reason = reason(&service, &issued.secret, address).await;
                assert_eq!(reason, expected, "{networks:?} {address:?}");
            }
        }
    }
}

async fn networks_are_told_in_one_form(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let given = [
        "192.0.2.1",
        "::ffff:198.51.100.0/120",
        "2001:DB8:0::/32",
        "::1",
        "0.0.0.0/0",
    ];
    let told = [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "2001:db8::/32",
        "::1/128",
        "0.0.0.0/0",
    ];
    let issued = platform
        .issue_limited("acme", "max", "limited", [&[], &given])
        .await;
    let token = issued.token.expect("the answer carries it");
    assert_eq!(token.allowed_cidrs, told);
    let revoked = platform.revoke(&token.token_id).await;
    assert_eq!(revoked.allowed_cidrs, told, "as it is stored");
}

async fn from_elsewhere_nothing_is_allowed_and_why_is_told(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let (platform, service) = (acme(&server).await, server.client(BOOKINGS));
    let limits: [&[&str]; 2] = [&["bookings.read"], &["192.0.2.0/24"]];
    let issued = platform
        .issue_limited("acme", "max", "limited", limits)
        .await;
    let told = [
        (
            "",
            "the token may be used from some networks only, and no `client_ip` was told",
        ),
        (
            "::ffff:203.0.113.1",
            "the token may be used from some networks only, and `203.0.113.1` is in none",
        ),
    ];
    for (address, rule) in told {
        let answer = explained(&service, &issued.secret, from(address)).await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.reason(), DenyReason::AddressNotAllowed);
        assert_eq!(
            decision.message,
            "the token may not be used from this address"
        );
        assert_eq!(answer.principal.expect("it is good").member_id, "max");
        let explanation = answer.explanation.expect("it is explained");
        assert_eq!(explanation.rule, rule);
    }
    let answer = explained(&service, &issued.secret, None).await;
    let decision = answer.decision.expect("a decision");
    assert_eq!(
        decision.reason(),
        DenyReason::AddressNotAllowed,
        "no context at all"
    );
}

async fn a_batch_and_a_list_are_of_one_address(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let (platform, service) = (acme(&server).await, server.client(BOOKINGS));
    let limits: [&[&str]; 2] = [&["bookings.read"], &["192.0.2.0/24"]];
    let issued = platform
        .issue_limited("acme", "max", "limited", limits)
        .await;
    let check = |action: &str| Check {
        action: action.to_owned(),
        resource: Some(Resource {
            owner: Some(Owner::Bearer(true)),
            ..Default::default()
        }),
    };
    for (address, expected) in [
        (
            "192.0.2.1",
            [
                DenyReason::Unspecified,
                DenyReason::OutOfScope,
                DenyReason::AboveTokenCeiling,
            ],
        ),
        ("192.0.3.1", [DenyReason::AddressNotAllowed; 3]),
    ] {
        let request = BatchAuthorizeRequest {
            token: issued.secret.clone(),
            checks: ["bookings.read", "bookings.list", "users.delete"]
                .map(check)
                .into(),
            context: from(address),
            mode: BatchMode::All.into(),
        };
        let batch = service.authorization.clone().batch_authorize(request).await;
        let batch = batch.expect("decisions").into_inner();
        let reasons: Vec<_> = batch
            .decisions
            .iter()
            .map(|decision| decision.reason())
            .collect();
        assert_eq!(reasons, expected, "{address}");
        assert!(batch.principal.is_some());

        let request = ListPermissionsRequest {
            token: issued.secret.clone(),
            context: from(address),
        };
        let list = service
            .authorization
            .clone()
            .list_permissions(request)
            .await;
        let list = list.expect("an answer").into_inner();
        let actions: Vec<_> = list.permissions.iter().map(|p| p.action.as_str()).collect();
        let is_inside = expected[0] == DenyReason::Unspecified;
        assert_eq!(
            list.reason(),
            if is_inside {
                DenyReason::Unspecified
            } else {
                expected[0]
            }
        );
        assert_eq!(
            actions,
            if is_inside {
                vec!["bookings.read"]
            } else {
                vec![]
            }
        );
        assert!(list.principal.is_some());
    }
}

/// What comes before and after it is in the decision table; this is about the circumstances, which come together.
async fn an_address_is_looked_at_after_suspensions_and_before_impersonation(
    database: TestDatabase,
) {
    let server = TestServer::start(&database).await;
    let platform = acme(&server).await;
    let issued = platform
        .issue_limited("acme", "max", "limited", [&[], &["192.0.2.1"]])
        .await;
    let for_ada = |client_ip: &str| {
        Some(Context {
            on_behalf_of: "ada".to_owned(),
            client_ip: client_ip.to_owned(),
            ..Default::default()
        })
    };
    let reason = async |client_ip: &str| {
        let answer = explained(&platform, &issued.secret, for_ada(client_ip)).await;
        answer.decision.expect("a decision").reason()
    };
    assert_eq!(reason("192.0.2.2").await, DenyReason::AddressNotAllowed);
    assert_eq!(reason("192.0.2.1").await, DenyReason::Impersonation);
    let suspended = MemberState::Suspended;
    platform.set_member_state("acme", "max", suspended).await;
    assert_eq!(reason("192.0.2.2").await, DenyReason::MemberSuspended);
}

on_both![
    a_token_is_good_from_within_its_networks_only,
    networks_are_told_in_one_form,
    from_elsewhere_nothing_is_allowed_and_why_is_told,
    a_batch_and_a_list_are_of_one_address,
    an_address_is_looked_at_after_suspensions_and_before_impersonation,
];
