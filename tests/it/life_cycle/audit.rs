//! Every filter of the audit trail: by what it is about, by whom, by kind and by time, each alone and with the others.

use std::{collections::BTreeSet, time::Duration};

use countersign::pb::{
    Actor, Event, IssueTokenRequest, ListEventsRequest, RevokeTokenRequest, event::Details,
    revoke_token_request::Target,
};
use tonic::{Code, Status};

use super::{acme, instant};
use crate::support::{
    client::{Client, issue_request, list_events},
    database::{TestDatabase, on_both},
    server::{DASHBOARD, PLATFORM},
    status::assert_status,
};

type Passes = Box<dyn Fn(&Event) -> bool>;
type Set = Box<dyn Fn(&mut ListEventsRequest)>;

fn actor(member_id: &str) -> Option<Actor> {
    Some(Actor {
        workspace_id: "acme".to_owned(),
        member_id: member_id.to_owned(),
    })
}

async fn issue(client: &Client, workspace: &str, member: &str, name: &str) -> String {
    let request = IssueTokenRequest {
        actor: (workspace == "acme").then(|| actor(member)).flatten(),
        ..issue_request(workspace, member, name, None)
    };
    let answer = client.tokens.clone().issue_token(request).await;
    let token = answer.expect("it is issued").into_inner().token;
    token.expect("a token").token_id
}

async fn page(client: &Client, request: ListEventsRequest) -> Result<Vec<Event>, Status> {
    let answer = client.events.clone().list_events(request).await;
    answer.map(|answer| answer.into_inner().events)
}

/// All that pass, in small pages.
async fn list(client: &Client, request: ListEventsRequest) -> Vec<Event> {
    let page_size = 3;
    list_events(
        client,
        ListEventsRequest {
            page_size,
            ..request
        },
    )
    .await
}

async fn each_filter_shows_what_passes_and_all_of_that(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let (dashboard, clock) = (server.client(DASHBOARD), server.clock().clone());
    platform.create_workspace("other").await;
    // The same id elsewhere is somebody else.
    platform.put_member("other", "max", "member").await;
    let mut tokens = Vec::new();
    let start = clock.now();
    for (number, client) in [&platform, &dashboard, &dashboard].into_iter().enumerate() {
        clock.advance(Duration::from_millis(1));
        let name = format!("token {number}");
        tokens.push(issue(client, "acme", "max", &name).await);
        tokens.push(issue(client, "acme", "ada", &name).await);
    }
    issue(&platform, "other", "max", "theirs").await;
    clock.advance(Duration::from_millis(1));
    for token_id in &tokens[1..3] {
        let request = RevokeTokenRequest {
            target: Some(Target::TokenId(token_id.clone())),
            actor: actor("ada"),
            ..Default::default()
        };
        let revoked = dashboard.tokens.clone().revoke_token(request).await;
        revoked.expect("it is revoked");
    }
    let all = list(&platform, ListEventsRequest::default()).await;
    let token_id = tokens[1].clone();
    let (since, before) = (start.plus(Duration::from_millis(2)), clock.now());
    let at = move |event: &Event| event.occurred_at.expect("a time");
    let is_about = |event: &Event, member: &str| event.member_id == member;
    let mut filters: Vec<(Set, Passes)> = Vec::new();
    let mut add = |set: Set, passes: Passes| filters.push((set, passes));
    add(
        Box::new(|request| request.workspace_id = "acme".to_owned()),
        Box::new(|event| event.workspace_id == "acme"),
    );
    add(
        Box::new(|request| {
            request.workspace_id = "acme".to_owned();
            request.member_id = "max".to_owned();
        }),
        Box::new(move |event| event.workspace_id == "acme" && is_about(event, "max")),
    );
    let of_token = token_id.clone();
    add(
        Box::new(move |request| request.token_id.clone_from(&of_token)),
        Box::new(move |event| event.token_id == token_id),
    );
    add(
        Box::new(|request| {
            request.kinds = vec!["token_revoked".to_owned(), "member_added".to_owned()];
        }),
        Box::new(|event| {
            let details = event.details.as_ref();
            matches!(
                details,
                Some(Details::TokenRevoked(_) | Details::MemberAdded(_))
            )
        }),
    );
    add(
        Box::new(|request| request.caller = DASHBOARD.to_owned()),
        Box::new(|event| event.caller == DASHBOARD),
    );
    add(
        Box::new(|request| request.actor = actor("ada")),
        Box::new(|event| event.actor == actor("ada")),
    );
    add(
        Box::new(move |request| request.occurred_since = Some(instant(since))),
        Box::new(move |event| {
            let (at, since) = (at(event), instant(since));
            (at.seconds, at.nanos) >= (since.seconds, since.nanos)
        }),
    );
    add(
        Box::new(move |request| request.occurred_before = Some(instant(before))),
        Box::new(move |event| {
            let (at, before) = (at(event), instant(before));
            (at.seconds, at.nanos) < (before.seconds, before.nanos)
        }),
    );
    // Every set of them.
    let mut counts = BTreeSet::new();
    for chosen in 0..1_usize << filters.len() {
        let is_chosen = |(number, _): &(usize, &(Set, Passes))| chosen >> number & 1 == 1;
        let chosen: Vec<_> = filters.iter().enumerate().filter(is_chosen).collect();
        let mut request = ListEventsRequest::default();
        chosen.iter().for_each(|(_, (set, _))| set(&mut request));
        let passes = |event: &&Event| chosen.iter().all(|(_, (_, passes))| passes(event));
        let expected: Vec<Event> = all.iter().filter(passes).cloned().collect();
        let listed = list(&platform, request.clone()).await;
        assert_eq!(listed, expected, "{request:?}");
        counts.insert(expected.len());
        let is_one = chosen.len() == 1;
        assert!(
            !is_one || (1..all.len()).contains(&expected.len()),
            "{request:?}"
        );
    }
    assert!(counts.len() > 5, "{counts:?}");
}

async fn a_filter_that_makes_no_sense_is_refused(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let none = ListEventsRequest::default;
    let long = "k".repeat(65);
    for (request, reason, field) in [
        (
            ListEventsRequest {
                member_id: "max".to_owned(),
                ..none()
            },
            "FIELD_REQUIRED",
            "workspace_id",
        ),
        (
            ListEventsRequest {
                workspace_id: "acme".to_owned(),
                member_id: "m x".to_owned(),
                ..none()
            },
            "FIELD_MALFORMED",
            "member_id",
        ),
        (
            ListEventsRequest {
                token_id: "t k".to_owned(),
                ..none()
            },
            "FIELD_MALFORMED",
            "token_id",
        ),
        (
            ListEventsRequest {
                kinds: vec!["token_issued".to_owned(), "TOKEN_ISSUED".to_owned()],
                ..none()
            },
            "FIELD_MALFORMED",
            "kinds[1]",
        ),
        (
            ListEventsRequest {
                kinds: vec!["token_issued".to_owned(); 33],
                ..none()
            },
            "FIELD_TOO_LONG",
            "kinds",
        ),
        (
            ListEventsRequest {
                caller: long.clone(),
                ..none()
            },
            "FIELD_TOO_LONG",
            "caller",
        ),
        (
            ListEventsRequest {
                actor: Some(Actor {
                    workspace_id: "acme".to_owned(),
                    ..Default::default()
                }),
                ..none()
            },
            "FIELD_REQUIRED",
            "actor.member_id",
        ),
        (
            ListEventsRequest {
                occurred_since: Some(prost_types::Timestamp {
                    seconds: 0,
                    nanos: -1,
                }),
                ..none()
            },
            "FIELD_MALFORMED",
            "occurred_since",
        ),
        (
            ListEventsRequest {
                occurred_before: Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                }),
                ..none()
            },
            "FIELD_MALFORMED",
            "occurred_before",
        ),
    ] {
        let refused = page(&platform, request).await.expect_err("it is refused");
        assert_status(&refused, Code::InvalidArgument, reason, Some(field));
    }
}

async fn a_page_token_goes_with_its_filter(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let none = ListEventsRequest::default;
    let first = ListEventsRequest {
        page_size: 1,
        ..none()
    };
    let answer = platform.events.clone().list_events(first).await;
    let page_token = answer.expect("a page").into_inner().next_page_token;
    let other = ListEventsRequest {
        page_token,
        caller: PLATFORM.to_owned(),
        ..none()
    };
    let refused = page(&platform, other).await.expect_err("it is another's");
    let field = Some("page_token");
    assert_status(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", field);
}

on_both![
    each_filter_shows_what_passes_and_all_of_that,
    a_filter_that_makes_no_sense_is_refused,
    a_page_token_goes_with_its_filter,
];
