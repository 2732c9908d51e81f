//! The last value inside of each limit, which is accepted. What is one past it is in the table.

use countersign::pb::{
    Actor, CreateWorkspaceRequest, DeleteWorkspaceRequest, GetMemberRequest, GetWorkspaceRequest,
    ListEventsRequest, ListMembersRequest, ListTokensRequest, ListWorkspacesRequest, Member,
    Outcome, PutMemberRequest, RemoveMemberRequest, RevokeLeakedTokensRequest, RevokeTokenRequest,
    RotateTokenRequest, UpdateWorkspaceRequest, issue_token_request::Expiry, resource::Owner,
};
use prost_types::{Duration, FieldMask, Timestamp};

use super::{
    Call,
    authorization::{MESSAGE, sized},
    world::{HUNDRED_YEARS, World, instant},
};
use crate::support::{
    call::{Answer, as_caller, unknown_secret},
    client::{issue_request, revoke_request, rotate_request},
    database::{TestDatabase, on_both},
    server::PLATFORM,
};

async fn the_last_value_inside_each_limit_is_accepted(database: TestDatabase) {
    let world = World::create(&database).await;
    let mut calls = directory();
    calls.extend(tokens(&world));
    calls.extend(authorization(&world));
    calls.extend(lists(&world));
    println!("{} good requests", calls.len());
    let mut faults = Vec::new();
    for (name, call) in calls {
        if let Err(status) = call.send(&world.channel, &as_caller(PLATFORM)).await {
            faults.push(format!("{} {name}: {status}", call.rpc()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn longest_id() -> String {
    // Every kind of character there may be, 64 in all.
    format!("AZaz09._:-{}", "i".repeat(54))
}

fn directory() -> Vec<(&'static str, Call)> {
    let create = |workspace_id: &str, name: &str| CreateWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
        name: name.to_owned(),
    };
    let renamed = UpdateWorkspaceRequest {
        workspace_id: longest_id(),
        name: "é".repeat(100),
        update_mask: Some(FieldMask {
            paths: vec!["name".to_owned(), "name".to_owned()],
        }),
        ..Default::default()
    };
    let put = PutMemberRequest {
        workspace_id: longest_id(),
        member_id: longest_id(),
        role: "admin".to_owned(),
        ..Default::default()
    };
    let remove_again = RemoveMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "rem".to_owned(),
        ..Default::default()
    };
    let delete_again = DeleteWorkspaceRequest {
        workspace_id: "gone".to_owned(),
        ..Default::default()
    };
    let get_dead = GetWorkspaceRequest {
        workspace_id: "gone".to_owned(),
    };
    let get_removed = GetMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "rem".to_owned(),
    };
    vec![
        ("ids of 64 characters", create(&longest_id(), "w").into()),
        ("ids of one character", create("-", "w").into()),
        (
            "a name of 100 letters",
            create("w100", &"n".repeat(100)).into(),
        ),
        (
            "a name of 100 emoji",
            create("w100e", &"😀".repeat(100)).into(),
        ),
        (
            "a name of 100 letters in white space",
            create("w100s", &format!(" \u{3000}{}\t\n", "n".repeat(100))).into(),
        ),
        (
            "a name of another script",
            create("script", "اختبار ทดสอบ 試験").into(),
        ),
        (
            "a name with an accent of its own",
            create("accent", "cafe\u{301}").into(),
        ),
        ("a name of 100 two-byte letters", renamed.into()),
        ("ids of 64 characters", put.into()),
        ("of a removed member", remove_again.into()),
        ("of a deleted workspace", delete_again.into()),
        ("of a deleted workspace", get_dead.into()),
        ("of a removed member", get_removed.into()),
    ]
}

fn tokens(world: &World) -> Vec<(&'static str, Call)> {
    let now = world.server.clock().now().0;
    let mut number = 0;
    let mut until = |expiry| {
        number += 1;
        let name = format!("edge {number}");
        let mut request = issue_request("acme", "max", &name, None);
        request.expiry = expiry;
        Call::from(request)
    };
    let at = |at: Timestamp| Some(Expiry::ExpiresAt(at));
    let ttl = |seconds, nanos| Some(Expiry::Ttl(Duration { seconds, nanos }));
    let century = now + HUNDRED_YEARS * 1000;
    let mut beyond = instant(century);
    beyond.nanos += 999_999;
    let named = |name: &str| Call::from(world.issue(|request| request.name = name.to_owned()));
    let longest = issue_request(&longest_id(), &longest_id(), "n", None);
    let for_actor = world.issue(|request| {
        request.actor = Some(Actor {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
        });
    });
    let because = |reason: &str| {
        Call::from(RevokeTokenRequest {
            reason: reason.to_owned(),
            ..revoke_request(&world.token_id)
        })
    };
    let limited = |name: &str, scopes: &[&str], networks: &[&str]| {
        let mut request = issue_request("acme", "max", name, None);
        request.scopes = scopes.iter().map(|&text| text.to_owned()).collect();
        request.allowed_cidrs = networks.iter().map(|&text| text.to_owned()).collect();
        Call::from(request)
    };
    let overlapping = |number: usize, seconds| {
        Call::from(RotateTokenRequest {
            overlap: Some(Duration { seconds, nanos: 0 }),
            ..rotate_request(&world.spare[number])
        })
    };
    let named_request = |id: &str| {
        Call::from(world.issue(|request| {
            request.name = format!("named by {id:.1}");
            request.request_id = id.to_owned();
        }))
    };
    let report = |count: usize, source: &str| {
        let mut secrets = Vec::new();
        secrets.resize_with(count, unknown_secret);
        Call::from(RevokeLeakedTokensRequest {
            secrets,
            source: source.to_owned(),
        })
    };
    vec![
        ("50 scopes", limited("scoped", &["*.read"; 50], &[])),
        (
            "20 networks",
            limited("placed", &[], &["2001:db8::/32"; 20]),
        ),
        ("no expiry", until(None)),
        ("an expiry in a millisecond", until(at(instant(now + 1)))),
        ("an expiry in 100 years", until(at(instant(century)))),
        (
            "an expiry in 100 years and less than a millisecond",
            until(at(beyond)),
        ),
        ("a ttl of a millisecond", until(ttl(0, 1_000_000))),
        ("a ttl of 100 years", until(ttl(HUNDRED_YEARS, 0))),
        (
            "a ttl of 100 years and less than a millisecond",
            until(ttl(HUNDRED_YEARS, 999_999)),
        ),
        ("never", until(Some(Expiry::Never(true)))),
        ("a name of one letter", named("n")),
        ("a name of 100 letters", named(&"n".repeat(100))),
        ("a name of 100 emoji", named(&"😀".repeat(100))),
        ("the name of a dead token", named("dead")),
        ("ids of 64 characters", longest.into()),
        ("for the member itself", for_actor.into()),
        ("an overlap of 7 days", overlapping(0, 7 * 24 * 60 * 60)),
        ("an overlap of nothing", overlapping(1, 0)),
        ("a request id of 64", named_request(&longest_id())),
        ("a request id of one character", named_request("-")),
        ("a report of 1,000", report(1000, &"s".repeat(100))),
        ("a report of one", report(1, "one\n\ttwo")),
        ("no reason", because("")),
        ("a reason of 500 letters", because(&"r".repeat(500))),
        ("a reason of 500 emoji", because(&"😀".repeat(500))),
        ("a reason of several lines", because("one\n\ttwo")),
    ]
}

fn authorization(world: &World) -> Vec<(&'static str, Call)> {
    let action = format!("bookings.{}", "r".repeat(119));
    let with_id = |id: String| {
        Call::from(world.ask(|request| request.resource.get_or_insert_default().id = id))
    };
    let owned = |workspace_id: &str, owner: Option<Owner>| {
        Call::from(world.ask(|request| {
            let resource = request.resource.get_or_insert_default();
            resource.workspace_id = workspace_id.to_owned();
            resource.owner = owner;
        }))
    };
    let from = |client_ip: &str| {
        Call::from(world.ask(|request| {
            let context = request.context.get_or_insert_default();
            context.client_ip = client_ip.to_owned();
        }))
    };
    let typed = world.ask(|request| {
        request.resource.get_or_insert_default().r#type = "bookings".to_owned();
    });
    vec![
        (
            "an action of 128",
            world.ask(|request| request.action = action).into(),
        ),
        (
            "an action of two letters",
            world
                .ask(|request| request.action = "a.b".to_owned())
                .into(),
        ),
        ("a resource id of 256 bytes", with_id("r".repeat(256))),
        (
            "a resource id of 128 two-byte letters",
            with_id("é".repeat(128)),
        ),
        ("a resource id of anything", with_id("\0 \n".to_owned())),
        ("a type", typed.into()),
        ("no owner", owned("acme", None)),
        (
            "an owner of 64 characters",
            owned(&longest_id(), Some(Owner::OwnerId(longest_id()))),
        ),
        (
            "the bearer, no workspace",
            owned("", Some(Owner::Bearer(true))),
        ),
        (
            "a collection, no workspace",
            owned("", Some(Owner::Collection(true))),
        ),
        ("an IPv4 address", from("192.0.2.1")),
        ("an IPv6 address", from("2001:db8::1")),
        (
            "the longest address",
            from("0000:0000:0000:0000:0000:ffff:255.255.255.255"),
        ),
        ("a message of 1 MiB", sized(world, MESSAGE).into()),
    ]
}

fn lists(world: &World) -> Vec<(&'static str, Call)> {
    let mut calls: Vec<(&'static str, Call)> = Vec::new();
    for page_size in [0, 1, 500, 501, i32::MAX] {
        let tokens = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            states: vec![1, 2, 3, 3],
            page_size,
            ..Default::default()
        };
        let members = ListMembersRequest {
            workspace_id: "gone".to_owned(),
            page_size,
            ..Default::default()
        };
        let workspaces = ListWorkspacesRequest {
            page_size,
            ..Default::default()
        };
        let events = ListEventsRequest {
            workspace_id: "nowhere".to_owned(),
            page_size,
            ..Default::default()
        };
        calls.push(("every size", tokens.into()));
        calls.push(("every size, of a deleted workspace", members.into()));
        calls.push(("every size", workspaces.into()));
        calls.push(("every size, of an unknown workspace", events.into()));
    }
    let next = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        page_size: 7,
        page_token: world.tokens_page.clone(),
        ..Default::default()
    };
    calls.push(("a page token with another size", next.into()));
    calls
}

async fn a_record_is_changed_with_its_own_etag(database: TestDatabase) {
    let world = World::create(&database).await;
    let get = GetMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
    };
    let member = |answer: Answer| -> Member {
        match answer {
            Answer::GetMember(answer) => answer.member.expect("a member"),
            Answer::PutMember(answer) => answer.member.expect("a member"),
            _ => panic!("the answer is of a member"),
        }
    };
    let send = async |call: Call| call.send(&world.channel, &as_caller(PLATFORM)).await;
    let before = member(send(get.into()).await.expect("the member"));
    let put = PutMemberRequest {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
        role: "admin".to_owned(),
        etag: before.etag.clone(),
    };
    let after = member(send(put.clone().into()).await.expect("the etag is current"));
    assert_ne!(after.etag, before.etag);
    let late = send(put.into()).await.err().expect("the etag is old");
    crate::support::status::assert_status(&late, tonic::Code::Aborted, "ETAG_MISMATCH", None);
    assert!(late.message().contains(&after.etag), "{late}");
}

async fn an_instant_is_kept_to_the_millisecond_and_ends_the_token(database: TestDatabase) {
    let world = World::create(&database).await;
    let now = world.server.clock().now();
    let mut at = instant(now.0 + 1);
    at.nanos += 999_999;
    let request = world.issue_until(Expiry::ExpiresAt(at));
    let issued = world.client.tokens.clone().issue_token(request).await;
    let issued = issued.expect("it is in the future").into_inner();
    let token = issued.token.expect("a token");
    assert_eq!(token.expires_at, Some(instant(now.0 + 1)));
    let outcome = async || {
        let owner = Some(Owner::Bearer(true));
        let answer = world
            .client
            .authorize(&issued.secret, "bookings.read", "", owner)
            .await;
        answer.decision.expect("a decision").outcome()
    };
    assert_eq!(outcome().await, Outcome::Allow);
    world
        .server
        .clock()
        .advance(std::time::Duration::from_millis(1));
    assert_eq!(outcome().await, Outcome::Deny);
}

on_both![
    the_last_value_inside_each_limit_is_accepted,
    a_record_is_changed_with_its_own_etag,
    an_instant_is_kept_to_the_millisecond_and_ends_the_token,
];
