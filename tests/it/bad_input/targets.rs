//! Requests to TokenService that are well formed and have no target, or one in the wrong state.

use countersign::pb::{
    Actor, GetTokenRequest, IssueTokenRequest, ListTokensRequest, RevokeTokenRequest,
    RevokeTokensRequest, get_token_request::Target as GetTarget,
};
use tonic::Code;

use super::{Case, REQUIRED, invalid, refused, world::World};
use crate::support::client::{issue_request, revoke_request};

const UNKNOWN_TOKEN: &str = "tok_0000000000000000000000";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = targets(world);
    cases.extend(bulk());
    cases
}

fn targets(world: &World) -> Vec<Case> {
    let issue = |workspace_id, member_id| issue_request(workspace_id, member_id, "fresh", None);
    let named = |name: &str| world.issue(|request| request.name = name.to_owned());
    let list = |workspace_id: &str, member_id: &str| ListTokensRequest {
        workspace_id: workspace_id.to_owned(),
        member_id: member_id.to_owned(),
        ..Default::default()
    };
    let no_member = |name, request: IssueTokenRequest| {
        refused(name, request, Code::NotFound, "MEMBER_NOT_FOUND")
    };
    let not_now = |name, request: IssueTokenRequest, reason| {
        refused(name, request, Code::FailedPrecondition, reason)
    };
    let taken = |name: &str| {
        let case = format!("the name {name:?}, which is taken");
        refused(case, named(name), Code::AlreadyExists, "TOKEN_NAME_TAKEN")
    };
    let no_token = (Code::NotFound, "TOKEN_NOT_FOUND");
    let get = GetTokenRequest {
        target: Some(GetTarget::TokenId(UNKNOWN_TOKEN.to_owned())),
        actor: None,
    };
    let for_another = RevokeTokenRequest {
        actor: Some(Actor {
            workspace_id: "other".to_owned(),
            member_id: "max".to_owned(),
        }),
        ..revoke_request(&world.token_id)
    };
    let unseen = world.issue(|request| {
        request.actor = Some(Actor {
            workspace_id: "acme".to_owned(),
            member_id: "sue".to_owned(),
        });
    });
    vec![
        no_member("for an unknown member", issue("acme", "nobody")),
        no_member("for a removed member", issue("acme", "rem")),
        no_member("in an unknown workspace", issue("nowhere", "max")),
        no_member("in a deleted workspace", issue("gone", "gus")),
        no_member("for a member of another workspace", issue("other", "max")),
        no_member("for an actor who is suspended", unseen),
        not_now(
            "for a suspended member",
            issue("acme", "sue"),
            "MEMBER_SUSPENDED",
        ),
        not_now(
            "in a suspended workspace",
            issue("frozen", "fred"),
            "WORKSPACE_SUSPENDED",
        ),
        not_now(
            "for a member at the limit",
            issue("acme", "hoarder"),
            "TOKEN_LIMIT_REACHED",
        ),
        taken("taken"),
        taken(" TAKEN\t"),
        taken("ｔａｋｅｎ"),
        refused("of an unknown token", get, no_token.0, no_token.1),
        refused(
            "of an unknown token",
            revoke_request(UNKNOWN_TOKEN),
            no_token.0,
            no_token.1,
        ),
        refused(
            "for an actor of another workspace",
            for_another,
            no_token.0,
            no_token.1,
        ),
        refused(
            "of an unknown workspace",
            list("nowhere", ""),
            Code::NotFound,
            "WORKSPACE_NOT_FOUND",
        ),
        refused(
            "of an unknown member",
            list("acme", "nobody"),
            Code::NotFound,
            "MEMBER_NOT_FOUND",
        ),
        refused(
            "of a member of an unknown workspace",
            list("nowhere", "max"),
            Code::NotFound,
            "MEMBER_NOT_FOUND",
        ),
    ]
}

/// Of every token of a member or of a workspace.
fn bulk() -> Vec<Case> {
    vec![
        refused(
            "all of an unknown member",
            revoke_all("acme", "nobody"),
            Code::NotFound,
            "MEMBER_NOT_FOUND",
        ),
        refused(
            "all of an unknown workspace",
            revoke_all("nowhere", ""),
            Code::NotFound,
            "WORKSPACE_NOT_FOUND",
        ),
        invalid(
            "all of nobody, for a reason that is none",
            RevokeTokensRequest {
                reason: "\0".to_owned(),
                member_id: "m m".to_owned(),
                ..Default::default()
            },
            REQUIRED,
            &["workspace_id", "member_id", "reason"],
        ),
    ]
}

fn revoke_all(workspace_id: &str, member_id: &str) -> RevokeTokensRequest {
    RevokeTokensRequest {
        workspace_id: workspace_id.to_owned(),
        member_id: member_id.to_owned(),
        ..Default::default()
    }
}
