//! What a workspace asks of its tokens: when one is issued, whenever it is used, and once it is loosened again.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{
        DenyReason, IssueTokenRequest, TokenPolicy, TokenState, UpdateWorkspaceRequest,
        UpdateWorkspaceResponse, event::Details, issue_token_request::Expiry,
    },
};
use tonic::{Code, Status};

use super::{acme, ask_own, get, instant, list};
use crate::support::{
    client::{Client, issue_request, policy_request},
    database::{TestDatabase, on_both},
    status::assert_status,
};

const DAY: i64 = 24 * 60 * 60;

fn span(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn update(policy: TokenPolicy, paths: &[&str]) -> UpdateWorkspaceRequest {
    policy_request("acme", policy, paths)
}

async fn try_update(
    client: &Client,
    request: UpdateWorkspaceRequest,
) -> Result<UpdateWorkspaceResponse, Status> {
    let answer = client.directory.clone().update_workspace(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn set(client: &Client, policy: TokenPolicy) {
    let answer = try_update(client, update(policy, &["token_policy"])).await;
    let workspace = answer
        .expect("it is changed")
        .workspace
        .expect("it is told");
    assert_eq!(workspace.token_policy, Some(policy));
}

/// Issues for `max`; the expiry of the token, or why not.
async fn issue(
    client: &Client,
    name: &str,
    expiry: Option<Expiry>,
) -> Result<(String, Option<prost_types::Timestamp>), Status> {
    let request = IssueTokenRequest {
        expiry,
        ..issue_request("acme", "max", name, None)
    };
    let answer = client
        .tokens
        .clone()
        .issue_token(request)
        .await?
        .into_inner();
    let token = answer.token.expect("the answer carries it");
    Ok((answer.secret, token.expires_at))
}

async fn what_is_issued_keeps_to_the_policy(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let now = server.clock().now();
    set(
        &platform,
        TokenPolicy {
            require_expiry: true,
            max_lifetime: Some(span(30 * DAY)),
            default_lifetime: Some(span(7 * DAY)),
            ..TokenPolicy::default()
        },
    )
    .await;
    let day = Duration::from_secs(DAY.unsigned_abs());
    let (_, expires_at) = issue(&platform, "default", None)
        .await
        .expect("it is issued");
    assert_eq!(expires_at, Some(instant(now.plus(day * 7))));
    let longest = Expiry::Ttl(span(30 * DAY));
    let (_, expires_at) = issue(&platform, "longest", Some(longest))
        .await
        .expect("it is issued");
    assert_eq!(expires_at, Some(instant(now.plus(day * 30))));

    let never = issue(&platform, "never", Some(Expiry::Never(true))).await;
    let refused = never.expect_err("an expiry is required");
    assert_status(&refused, Code::FailedPrecondition, "EXPIRY_REQUIRED", None);
    let past = Timestamp(now.plus(day * 30).0 + 1);
    let longer = issue(&platform, "longer", Some(Expiry::ExpiresAt(instant(past)))).await;
    let refused = longer.expect_err("it is a millisecond too long");
    assert_status(
        &refused,
        Code::FailedPrecondition,
        "LIFETIME_TOO_LONG",
        None,
    );

    // Without the rest, a limit on lifetimes alone refuses what never expires as well.
    let rest = [
        "token_policy.require_expiry",
        "token_policy.default_lifetime",
    ];
    let loosened = try_update(&platform, update(TokenPolicy::default(), &rest)).await;
    let policy = loosened
        .expect("it is changed")
        .workspace
        .and_then(|w| w.token_policy);
    assert_eq!(
        policy.and_then(|policy| policy.max_lifetime),
        Some(span(30 * DAY))
    );
    let never = issue(&platform, "never", None).await;
    let refused = never.expect_err("it would live too long");
    assert_status(
        &refused,
        Code::FailedPrecondition,
        "LIFETIME_TOO_LONG",
        None,
    );
}

async fn what_it_ends_is_back_when_it_is_loosened(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock().clone();
    let start = clock.now();
    let (endless, _) = issue(&platform, "endless", None)
        .await
        .expect("it is issued");
    let year = Some(Expiry::Ttl(span(365 * DAY)));
    let (long, expires_at) = issue(&platform, "long", year).await.expect("it is issued");
    let policy = TokenPolicy {
        require_expiry: true,
        max_lifetime: Some(span(DAY)),
        ..TokenPolicy::default()
    };
    let mut asked = update(policy, &["token_policy"]);
    asked.validate_only = true;
    let validated = try_update(&platform, asked.clone())
        .await
        .expect("it is told");
    assert_eq!(
        (validated.live_tokens_ended, validated.revision.as_str()),
        (1, "")
    );
    assert_eq!(
        validated.workspace.and_then(|w| w.token_policy),
        Some(policy)
    );
    assert!(
        ask_own(&platform, &endless).await.is_ok(),
        "nothing was changed"
    );

    set(&platform, policy).await;
    let day = Duration::from_secs(DAY.unsigned_abs());
    assert_eq!(
        ask_own(&platform, &endless).await,
        Err(DenyReason::ExpiredToken)
    );
    clock.set(Timestamp(start.plus(day).0 - 1));
    let allowed = ask_own(&platform, &long)
        .await
        .expect("it is a millisecond short");
    assert_eq!(
        allowed.reusable_for.map(|span| (span.seconds, span.nanos)),
        Some((0, 1_000_000))
    );
    assert_eq!(
        allowed.principal.and_then(|principal| principal.expires_at),
        expires_at
    );
    assert_eq!(
        list(&platform, "max", &[TokenState::Active], 0).await.len(),
        1
    );
    clock.set(start.plus(day));
    assert_eq!(
        ask_own(&platform, &long).await,
        Err(DenyReason::ExpiredToken)
    );

    // Both keep their names and their places.
    assert_eq!(list(&platform, "max", &[TokenState::Active], 0).await, []);
    let expired = list(&platform, "max", &[TokenState::Expired], 0).await;
    assert_eq!(expired.len(), 2);
    for token in &expired {
        assert_eq!(
            get(&platform, &token.token_id).await.state(),
            TokenState::Expired
        );
        let again = issue(&platform, &token.name, Some(Expiry::Ttl(span(60)))).await;
        let taken = again.expect_err("the name is taken");
        assert_status(&taken, Code::AlreadyExists, "TOKEN_NAME_TAKEN", None);
    }
    let two = TokenPolicy {
        max_live_tokens_per_member: 2,
        ..policy
    };
    set(&platform, two).await;
    let third = issue(&platform, "third", Some(Expiry::Ttl(span(60)))).await;
    let refused = third.expect_err("there are two");
    assert_status(
        &refused,
        Code::FailedPrecondition,
        "TOKEN_LIMIT_REACHED",
        None,
    );

    set(&platform, TokenPolicy::default()).await;
    for secret in [&endless, &long] {
        assert!(ask_own(&platform, secret).await.is_ok());
    }
    asked.token_policy = Some(policy);
    let validated = try_update(&platform, asked).await.expect("it is told");
    assert_eq!(validated.live_tokens_ended, 2);
}

async fn a_policy_that_contradicts_itself_is_refused(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let before = database.dump().await;
    let default = TokenPolicy::default();
    let lifetimes = |max, default_lifetime| TokenPolicy {
        max_lifetime: max,
        default_lifetime,
        ..default
    };
    let tokens = |max_live_tokens_per_member| TokenPolicy {
        max_live_tokens_per_member,
        ..default
    };
    let idle = |idle_limit| TokenPolicy {
        idle_limit: Some(idle_limit),
        ..default
    };
    let too_short = prost_types::Duration {
        seconds: DAY - 1,
        nanos: 999_000_000,
    };
    let longest = span(36_500 * DAY);
    let too_long = prost_types::Duration {
        nanos: 1_000_000,
        ..longest
    };
    for (policy, field, reason) in [
        (
            lifetimes(Some(too_long), None),
            "max_lifetime",
            "FIELD_OUT_OF_RANGE",
        ),
        (
            lifetimes(None, Some(too_long)),
            "default_lifetime",
            "FIELD_OUT_OF_RANGE",
        ),
        (
            lifetimes(Some(span(0)), None),
            "max_lifetime",
            "FIELD_OUT_OF_RANGE",
        ),
        (
            lifetimes(Some(span(1)), Some(span(2))),
            "default_lifetime",
            "FIELD_CONFLICT",
        ),
        (idle(too_short), "idle_limit", "FIELD_OUT_OF_RANGE"),
        (idle(too_long), "idle_limit", "FIELD_OUT_OF_RANGE"),
        (
            tokens(-1),
            "max_live_tokens_per_member",
            "FIELD_OUT_OF_RANGE",
        ),
        (
            tokens(1001),
            "max_live_tokens_per_member",
            "FIELD_OUT_OF_RANGE",
        ),
    ] {
        let field = format!("token_policy.{field}");
        for validate_only in [false, true] {
            let mut request = update(policy, &["token_policy"]);
            request.validate_only = validate_only;
            let refused = try_update(&platform, request).await;
            let refused = refused.expect_err("it is refused");
            assert_status(&refused, Code::InvalidArgument, reason, Some(&field));
        }
    }
    assert_eq!(database.dump().await, before);
    for policy in [
        lifetimes(Some(longest), Some(longest)),
        idle(span(DAY)),
        idle(longest),
        tokens(1),
        tokens(1000),
    ] {
        set(&platform, policy).await;
    }
}

async fn a_change_is_an_event_and_none_is_none(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let policy = TokenPolicy {
        max_lifetime: Some(span(DAY)),
        idle_limit: Some(span(DAY)),
        max_live_tokens_per_member: 3,
        revoke_family_on_reuse: true,
        ..TokenPolicy::default()
    };
    set(&platform, policy).await;
    let newest = async || {
        let request = countersign::pb::ListEventsRequest::default();
        let events = platform.events.clone().list_events(request).await;
        events.expect("events").into_inner().events.swap_remove(0)
    };
    let event = newest().await;
    let Some(Details::WorkspaceUpdated(details)) = &event.details else {
        panic!("{:?}", event.details);
    };
    assert_eq!(details.token_policy, Some(policy));
    assert_eq!((&details.name, details.state), (&None, None));
    set(&platform, policy).await;
    assert_eq!(newest().await.revision, event.revision);

    // A workspace that starts anew asks nothing.
    platform.delete_workspace("acme").await;
    let workspace = platform.create_workspace("acme").await;
    assert_eq!(workspace.token_policy, Some(TokenPolicy::default()));
}

/// A binary from before there were policies reads the workspace's state and does not find it among those that it knows.
async fn a_policy_that_ends_tokens_marks_the_workspace(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let state = async || {
        let dump = database.dump().await;
        dump.contains("active+policy")
    };
    assert!(!state().await);
    let harmless = TokenPolicy {
        default_lifetime: Some(span(DAY)),
        max_live_tokens_per_member: 3,
        revoke_family_on_reuse: true,
        ..TokenPolicy::default()
    };
    set(&platform, harmless).await;
    assert!(!state().await);
    for ends in [
        TokenPolicy {
            require_expiry: true,
            ..harmless
        },
        TokenPolicy {
            max_lifetime: Some(span(DAY)),
            ..harmless
        },
    ] {
        set(&platform, ends).await;
        assert!(state().await);
    }
    // One that knows the other two does not know this.
    let idle = TokenPolicy {
        idle_limit: Some(span(DAY)),
        require_expiry: true,
        ..harmless
    };
    set(&platform, idle).await;
    assert!(!state().await && database.dump().await.contains("active+idle"));
    set(&platform, TokenPolicy::default()).await;
    assert!(!state().await);
}

on_both![
    what_is_issued_keeps_to_the_policy,
    what_it_ends_is_back_when_it_is_loosened,
    a_policy_that_contradicts_itself_is_refused,
    a_change_is_an_event_and_none_is_none,
    a_policy_that_ends_tokens_marks_the_workspace,
];
