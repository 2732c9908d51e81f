//! Every RPC, each single grant, both ways to act, and every kind of actor: exactly the permitted pairs pass.
//!
//! What is permitted is written down here by hand, in two tables.

use std::collections::BTreeMap;

use countersign::pb::{
    BatchAuthorizeRequest, BatchMode, Check, CreateWorkspaceRequest, DeleteWorkspaceRequest,
    GetMemberRequest, GetTokenRequest, GetWorkspaceRequest, ListEventsRequest, ListMembersRequest,
    ListPermissionsRequest, ListTokensRequest, ListWorkspacesRequest, PutMemberRequest,
    RemoveMemberRequest, Resource, RevokeLeakedTokensRequest, RevokeTokenRequest,
    RevokeTokensRequest, RotateTokenRequest, SetMemberRoleRequest, SetMemberStateRequest,
    TokenState, UpdateWorkspaceRequest, get_token_request::Target as GetTarget, resource::Owner,
    revoke_token_request::Target as RevokeTarget,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::world::{ACTORS, ACTS_FOR, GRANTS, World, actor, caller_name};
use crate::support::{
    call::{Answer, Call, as_caller},
    client::{authorize_request, issue_request},
    database::{TestDatabase, on_both},
    server::PLATFORM,
    status::{assert_status, bad_fields, whole},
};

/// Which single grant admits to which call. A caller with all is admitted to each, one with none to none.
const ADMITTED: &str = "
call              authorize issue revoke read directory.read directory.write events.read
Authorize         yes       -     -      -    -              -               -
BatchAuthorize    yes       -     -      -    -              -               -
ListPermissions   yes       -     -      -    -              -               -
IssueToken        -         yes   -      -    -              -               -
RotateToken       -         yes   -      -    -              -               -
RevokeLeakedTokens yes      yes   yes    yes  -              -               -
RevokeToken/id    -         -     yes    -    -              -               -
RevokeToken/secret yes      yes   yes    yes  -              -               -
GetToken/id       -         -     -      yes  -              -               -
GetToken/secret   -         -     yes    yes  -              -               -
ListTokens/member -         -     -      yes  -              -               -
ListTokens/all    -         -     -      yes  -              -               -
GetWorkspace      -         -     -      -    yes            -               -
ListWorkspaces    -         -     -      -    yes            -               -
GetMember         -         -     -      -    yes            -               -
ListMembers       -         -     -      -    yes            -               -
CreateWorkspace   -         -     -      -    -              yes             -
UpdateWorkspace   -         -     -      -    -              yes             -
DeleteWorkspace   -         -     -      -    -              yes             -
PutMember         -         -     -      -    -              yes             -
SetMemberRole     -         -     -      -    -              yes             -
SetMemberState    -         -     -      -    -              yes             -
RemoveMember      -         -     -      -    -              yes             -
ListEvents        -         -     -      -    -              -               yes
RevokeTokens/member -       -     yes    -    -              -               -
RevokeTokens/all  -         -     yes    -    -              -               -
";

/// What an admitted caller is answered, by whom it acts for and the actor it names: `ok`; `required`, for an actor is;
/// `hidden`, as if the target did not exist; `forbidden`. Of the other calls none names an actor.
const ACTING: &str = "
call               acts_for none     self overseer  plain  suspended removed unknown foreign
IssueToken         members  required ok   forbidden hidden hidden    hidden  hidden  hidden
IssueToken         platform ok       ok   forbidden hidden hidden    hidden  hidden  hidden
RotateToken        members  required ok   forbidden hidden hidden    hidden  hidden  hidden
RotateToken        platform ok       ok   forbidden hidden hidden    hidden  hidden  hidden
RevokeToken/id     members  required ok   ok        hidden hidden    hidden  hidden  hidden
RevokeToken/id     platform ok       ok   ok        hidden hidden    hidden  hidden  hidden
RevokeToken/secret members  ok       ok   ok        ok     ok        ok      ok      ok
RevokeToken/secret platform ok       ok   ok        ok     ok        ok      ok      ok
GetToken/id        members  required ok   ok        hidden hidden    hidden  hidden  hidden
GetToken/id        platform ok       ok   ok        hidden hidden    hidden  hidden  hidden
GetToken/secret    members  ok       ok   ok        ok     ok        ok      ok      ok
GetToken/secret    platform ok       ok   ok        ok     ok        ok      ok      ok
ListTokens/member  members  required ok   ok        hidden hidden    hidden  hidden  hidden
ListTokens/member  platform ok       ok   ok        hidden hidden    hidden  hidden  hidden
ListTokens/all     members  required ok   ok        ok     hidden    hidden  hidden  hidden
ListTokens/all     platform ok       ok   ok        ok     hidden    hidden  hidden  hidden
RevokeTokens/member members  required ok   ok       hidden hidden    hidden  hidden  hidden
RevokeTokens/member platform ok       ok   ok       hidden hidden    hidden  hidden  hidden
RevokeTokens/all members  required forbidden ok   forbidden hidden hidden  hidden  hidden
RevokeTokens/all platform ok       forbidden ok   forbidden hidden hidden  hidden  hidden
";

/// Whose tokens `ListTokens` without a member shows, which is not the same for all that it answers.
const LISTED: [(&str, &[&str]); 4] = [
    ("none", &["max", "pia"]),
    ("self", &["max"]),
    ("overseer", &["max", "pia"]),
    ("plain", &["pia"]),
];

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.is_empty()).skip(1);
    lines.map(|line| line.split_whitespace().collect())
}

/// One pair of a caller and a call.
struct Pair {
    call: &'static str,
    grants: &'static str,
    acts_for: &'static str,
    actor: &'static str,
    expected: &'static str,
}

impl Pair {
    fn name(&self) -> String {
        let Self {
            call,
            grants,
            acts_for,
            actor,
            ..
        } = self;
        format!("{call} with {grants} for {acts_for}, actor {actor}")
    }
}

fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    let acting: BTreeMap<(&str, &str), Vec<&str>> = rows(ACTING)
        .map(|row| ((row[0], row[1]), row[2..].to_vec()))
        .collect();
    for row in rows(ADMITTED) {
        let call = row[0];
        for (column, grants) in GRANTS.into_iter().enumerate() {
            let is_admitted = match grants {
                "all" => true,
                "none" => false,
                _ => row[1 + column] == "yes",
            };
            for acts_for in ACTS_FOR {
                let answers = acting.get(&(call, acts_for));
                let actors = answers.map_or(&ACTORS[..1], |_| &ACTORS[..]);
                for (number, actor) in actors.iter().enumerate() {
                    let expected = match is_admitted {
                        false => "no grant",
                        true => answers.map_or("ok", |answers| answers[number]),
                    };
                    pairs.push(Pair {
                        call,
                        grants,
                        acts_for,
                        actor,
                        expected,
                    });
                }
            }
        }
    }
    pairs
}

/// What a call is about: what the standing token and its member are, or what does not exist.
struct Target {
    token_id: String,
    secret: String,
    workspace_id: &'static str,
    member_id: &'static str,
    /// Makes what has to be unique so.
    number: usize,
}

#[rustfmt::skip]
fn call(pair: &Pair, target: &Target) -> Call {
    let actor = actor(pair.actor);
    let workspace_id = || target.workspace_id.to_owned();
    let member_id = || target.member_id.to_owned();
    let role = || if target.number.is_multiple_of(2) { "admin" } else { "member" }.to_owned();
    let state = 1 + i32::from(target.number.is_multiple_of(2));
    let fresh = || format!("fresh-{}", target.number);
    match pair.call {
        "Authorize" => authorize_request(
            &target.secret, "bookings.read", "acme", Some(Owner::OwnerId("max".to_owned())),
        ).into(),
        "BatchAuthorize" => BatchAuthorizeRequest {
            token: target.secret.clone(), mode: BatchMode::All.into(), context: None,
            checks: vec![Check { action: "bookings.read".to_owned(), resource: Some(Resource {
                owner: Some(Owner::Bearer(true)), ..Default::default()
            }) }],
        }.into(),
        "RevokeTokens/member" => RevokeTokensRequest {
            workspace_id: workspace_id(), member_id: member_id(), actor, ..Default::default()
        }.into(),
        "RevokeTokens/all" => RevokeTokensRequest {
            workspace_id: workspace_id(), actor, ..Default::default()
        }.into(),
        "ListPermissions" => ListPermissionsRequest { token: target.secret.clone(), context: None }.into(),
        "IssueToken" => {
            let mut request = issue_request(target.workspace_id, target.member_id, &fresh(), None);
            request.actor = actor;
            request.into()
        }
        "RotateToken" => RotateTokenRequest {
            token_id: target.token_id.clone(), actor, ..Default::default()
        }.into(),
        "RevokeLeakedTokens" => RevokeLeakedTokensRequest {
            secrets: vec![target.secret.clone()], source: String::new()
        }.into(),
        "RevokeToken/id" => RevokeTokenRequest {
            target: Some(RevokeTarget::TokenId(target.token_id.clone())), actor, ..Default::default()
        }.into(),
        "RevokeToken/secret" => RevokeTokenRequest {
            target: Some(RevokeTarget::Secret(target.secret.clone())), actor, ..Default::default()
        }.into(),
        "GetToken/id" => GetTokenRequest { target: Some(GetTarget::TokenId(target.token_id.clone())), actor }.into(),
        "GetToken/secret" => GetTokenRequest { target: Some(GetTarget::Secret(target.secret.clone())), actor }.into(),
        "ListTokens/member" => ListTokensRequest {
            workspace_id: workspace_id(), member_id: member_id(), actor, page_size: 500, ..Default::default()
        }.into(),
        "ListTokens/all" => ListTokensRequest {
            workspace_id: workspace_id(), actor, page_size: 500, ..Default::default()
        }.into(),
        "GetWorkspace" => GetWorkspaceRequest { workspace_id: workspace_id() }.into(),
        "ListWorkspaces" => ListWorkspacesRequest::default().into(),
        "GetMember" => GetMemberRequest { workspace_id: workspace_id(), member_id: member_id() }.into(),
        "ListMembers" => ListMembersRequest { workspace_id: workspace_id(), ..Default::default() }.into(),
        "CreateWorkspace" => CreateWorkspaceRequest { workspace_id: fresh(), name: "fresh".to_owned() }.into(),
        "UpdateWorkspace" => UpdateWorkspaceRequest {
            workspace_id: "other".to_owned(), name: fresh(),
            update_mask: Some(prost_types::FieldMask { paths: vec!["name".to_owned()] }), ..Default::default()
        }.into(),
        "DeleteWorkspace" => DeleteWorkspaceRequest { workspace_id: "doomed".to_owned(), ..Default::default() }.into(),
        "PutMember" => PutMemberRequest {
            workspace_id: "other".to_owned(), member_id: fresh(), role: role(), ..Default::default()
        }.into(),
        "SetMemberRole" => SetMemberRoleRequest {
            workspace_id: "other".to_owned(), member_id: "toy".to_owned(), role: role(), ..Default::default()
        }.into(),
        "SetMemberState" => SetMemberStateRequest {
            workspace_id: "other".to_owned(), member_id: "toy".to_owned(), state, ..Default::default()
        }.into(),
        "RemoveMember" => RemoveMemberRequest {
            workspace_id: "other".to_owned(), member_id: "doomed".to_owned(), ..Default::default()
        }.into(),
        "ListEvents" => ListEventsRequest::default().into(),
        other => panic!("{other} is no call"),
    }
}

async fn exactly_the_permitted_pairs_of_caller_and_actor_pass(database: TestDatabase) {
    let world = World::create(&database).await;
    world.platform.create_workspace("doomed").await;
    world.platform.put_member("other", "toy", "member").await;
    world.platform.put_member("other", "doomed", "member").await;
    let pairs = pairs();
    // 18 callers; 10 calls of TokenService, four of its RPCs in two forms, with 8 actors; and 16 without.
    assert_eq!(pairs.len(), 18 * (10 * 8 + 16));
    let (permitted, refused): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|pair| pair.expected == "ok");
    println!("{} permitted, {} refused", permitted.len(), refused.len());

    let before = database.dump().await;
    for (number, pair) in refused.iter().enumerate() {
        let call = call(pair, &standing(&world, number));
        let metadata = as_caller(&caller_name(pair.grants, pair.acts_for));
        let answer = call.send(&world.channel, &metadata).await;
        let Err(status) = answer else {
            panic!("{} passed", pair.name());
        };
        assert_refused(&world, pair, &status, number).await;
        world.wait();
    }
    assert_eq!(
        database.dump().await,
        before,
        "nothing that was refused left a trace"
    );

    for (number, pair) in permitted.iter().enumerate() {
        let mut target = standing(&world, number);
        let ends_a_token = ["RevokeToken", "RevokeLeakedTokens", "RotateToken"];
        if ends_a_token.iter().any(|call| pair.call.starts_with(call)) {
            let name = format!("to be revoked {number}");
            let issued = world.platform.issue("acme", "max", &name, None).await;
            target.token_id = issued.token.expect("a token").token_id;
            target.secret = issued.secret;
        }
        let metadata = as_caller(&caller_name(pair.grants, pair.acts_for));
        let answer = call(pair, &target).send(&world.channel, &metadata).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status}", pair.name()));
        assert_passed(&world, pair, &target, answer).await;
        world.wait();
    }
}

fn standing(world: &World, number: usize) -> Target {
    Target {
        token_id: world.token_id.clone(),
        secret: world.secret.clone(),
        workspace_id: "acme",
        member_id: "max",
        number,
    }
}

async fn assert_refused(world: &World, pair: &Pair, status: &Status, number: usize) {
    let name = pair.name();
    let said = || format!("{name}: {status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{}", said()));
    match pair.expected {
        "no grant" => {
            assert_eq!(status.code(), Code::PermissionDenied, "{}", said());
            assert_eq!(info.reason, "GRANT_MISSING", "{}", said());
            let caller = caller_name(pair.grants, pair.acts_for);
            assert_eq!(info.metadata.get("caller"), Some(&caller), "{}", said());
        }
        "required" => {
            assert_eq!(status.code(), Code::InvalidArgument, "{}", said());
            assert_eq!(info.reason, "ACTOR_REQUIRED", "{}", said());
            assert_eq!(bad_fields(status), ["actor"], "{}", said());
        }
        "forbidden" => {
            assert_eq!(status.code(), Code::PermissionDenied, "{}", said());
            assert_eq!(info.reason, "ACTOR_NOT_PERMITTED", "{}", said());
        }
        "hidden" => {
            assert_eq!(status.code(), Code::NotFound, "{}", said());
            let missing = missing(pair, number);
            let asked_for_none = call(&missing.0, &missing.1);
            let answer = asked_for_none
                .send(&world.channel, &as_caller(PLATFORM))
                .await;
            let truth = answer
                .err()
                .unwrap_or_else(|| panic!("{name}: the target exists"));
            let renamed = whole(&truth)
                .replace(&missing.1.token_id, &world.token_id)
                .replace("acne", "acme")
                .replace("mix", "max");
            assert_eq!(whole(status), renamed, "{name}");
        }
        other => panic!("{other} is no answer"),
    }
}

/// The same call by the platform itself, for what really does not exist.
fn missing(pair: &Pair, number: usize) -> (Pair, Target) {
    let whole_workspace = pair.call.ends_with("/all");
    let target = Target {
        token_id: "tok_0000000000000000000000".to_owned(),
        secret: String::new(),
        workspace_id: if whole_workspace { "acne" } else { "acme" },
        member_id: "mix",
        number,
    };
    let pair = Pair {
        actor: "none",
        ..*pair
    };
    (pair, target)
}

/// That a call which passed did what it is for.
async fn assert_passed(world: &World, pair: &Pair, target: &Target, answer: Answer) {
    let name = pair.name();
    let may_read = matches!(pair.grants, "tokens.read" | "all");
    match answer {
        Answer::RevokeToken(answer) => {
            let is_told = pair.call == "RevokeToken/id" || may_read;
            assert_eq!(answer.token.is_some(), is_told, "{name}");
            assert_revoked(world, pair, target).await;
        }
        Answer::RotateToken(answer) => {
            let predecessor = answer.predecessor.expect("a predecessor");
            assert_eq!(predecessor.token_id, target.token_id, "{name}");
            let successor = answer.token.expect("a token");
            assert_eq!(successor.predecessor_id, target.token_id, "{name}");
            assert_eq!(successor.member_id, "max", "{name}");
        }
        Answer::RevokeLeakedTokens(_) => assert_revoked(world, pair, target).await,
        Answer::RevokeTokens(_) => assert_revoked(world, pair, target).await,
        Answer::GetToken(answer) => {
            let id = answer.token.map(|token| token.token_id);
            assert_eq!(id, may_read.then(|| target.token_id.clone()), "{name}");
        }
        Answer::ListTokens(answer) => {
            let mut members: Vec<String> = Vec::new();
            members.extend(answer.tokens.into_iter().map(|token| token.member_id));
            members.sort();
            members.dedup();
            let everyone = || LISTED.iter().find(|(kind, _)| *kind == pair.actor);
            let expected = match pair.call {
                "ListTokens/member" => &["max"],
                _ => everyone().unwrap_or_else(|| panic!("{name}")).1,
            };
            assert_eq!(members, expected, "{name}");
        }
        other => assert!(other.encoded_len() > 0, "{name}: an empty answer"),
    }
}

async fn assert_revoked(world: &World, pair: &Pair, target: &Target) {
    let name = pair.name();
    let get = GetTokenRequest {
        target: Some(GetTarget::TokenId(target.token_id.clone())),
        actor: None,
    };
    let answer = world.platform.tokens.clone().get_token(get).await;
    let token = answer
        .expect("it is there")
        .into_inner()
        .token
        .expect("a token");
    assert_eq!(token.state(), TokenState::Revoked, "{name}");
    let by = token.revoked_by.expect("somebody revoked it");
    assert_eq!(by.caller, caller_name(pair.grants, pair.acts_for), "{name}");
    assert_eq!(by.actor, actor(pair.actor), "{name}");
}

async fn an_actor_without_standing_of_its_own_is_hidden_from_itself(database: TestDatabase) {
    let world = World::create(&database).await;
    for kind in ["suspended", "removed", "unknown"] {
        let actor = actor(kind).expect("an actor");
        let mut request = issue_request("acme", &actor.member_id, "own", None);
        request.actor = Some(actor);
        let caller = as_caller(&caller_name("all", "members"));
        let answer = Call::from(request).send(&world.channel, &caller).await;
        let status = answer.err().unwrap_or_else(|| panic!("{kind} passed"));
        assert_status(&status, Code::NotFound, "MEMBER_NOT_FOUND", None);
    }
}

on_both![
    exactly_the_permitted_pairs_of_caller_and_actor_pass,
    an_actor_without_standing_of_its_own_is_hidden_from_itself,
];
