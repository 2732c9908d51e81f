//! Mutations as requests.

use std::time::Duration;

use countersign::pb::{
    MemberState, PutMemberRequest, RemoveMemberRequest, RevokeTokensRequest, RotateTokenRequest,
    SetMemberRoleRequest, SetMemberStateRequest, TokenPolicy, rotate_token_request::Expiry,
};
use tonic::{Response, Status};

use super::{cluster::Known, record::Intent};
use crate::support::{
    client::{Client, issue_request, policy_request, revoke_request, rotate_request},
    history::subject,
};

/// Scopes that are all some tokens have.
pub(super) const ONLY_USERS: &str = "users.*";
/// A network that nobody asks from, which is all that some tokens may be used in.
pub(super) const ELSEWHERE: &str = "198.51.100.0/24";
/// What some tokens live: longer than a run, and a little longer than what is told a day ahead.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60 + 5);
/// For how long some of those that are rotated live on.
const OVERLAP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What a token may go unused for, where that is limited: the least that there is.
const IDLE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// What the names of tokens begin with that are made to look as if they had gone unused for longer.
pub(super) const IDLE: &str = "idle ";

/// What a mutation is about. Empty parts: it is about none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) workspace: String,
    pub(super) member: String,
    /// Its id, and to issue one, its name.
    pub(super) token: String,
}

impl Target {
    pub(super) fn member(workspace: &str, member: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            member: member.to_owned(),
            token: String::new(),
        }
    }

    pub(super) fn workspace(workspace: &str) -> Self {
        Self::member(workspace, "")
    }

    pub(super) fn token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// As in [`crate::support::history`].
    pub(super) fn subject(&self) -> String {
        subject(&self.workspace, &self.member, &self.token)
    }
}

/// What a name ends with, of those that are numbered.
fn number_of(name: &str) -> Option<u64> {
    let (_, number) = name.rsplit_once(' ')?;
    number.parse().ok()
}

/// How long a token of this name lives: some of those that are numbered, so that each member has some of either kind.
fn lifetime(name: &str) -> Option<Duration> {
    number_of(name)
        .is_some_and(|number| number % 3 == 2)
        .then_some(LIFETIME)
}

/// The scopes and the networks of a token of this name: of some of those that the mutators number.
fn limits(name: &str) -> [&'static [&'static str]; 2] {
    let number = number_of(name).filter(|_| name.starts_with("token "));
    match number.map(|number| number % 6) {
        Some(1) => [&[ONLY_USERS], &[]],
        Some(3) => [&[], &[ELSEWHERE]],
        Some(5) => [
            &[ONLY_USERS, "bookings.*"],
            &["2001:db8::/32", "192.0.2.0/24"],
        ],
        _ => [&[], &[]],
    }
}

/// The answer's revision, and what the mutation was about: the new token, where it made one.
pub(super) async fn send(
    client: &Client,
    target: &Target,
    intent: Intent,
    waits: bool,
) -> Result<(String, Known), Status> {
    let mut tokens = client.tokens.clone();
    let revision = match intent {
        Intent::Issue => {
            let Target {
                workspace,
                member,
                token,
            } = target;
            let mut request = issue_request(workspace, member, token, lifetime(token));
            [request.scopes, request.allowed_cidrs] =
                limits(token).map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
            let answer = tokens.issue_token(request).await?.into_inner();
            let issued = answer.token.unwrap_or_default();
            let known = Known {
                target: target.token(&issued.token_id),
                secret: answer.secret,
            };
            return Ok((answer.revision, known));
        }
        Intent::Rotate { overlaps, expires } => {
            let request = RotateTokenRequest {
                expiry: expires.then(|| Expiry::Ttl(span(LIFETIME))),
                overlap: overlaps.then(|| span(OVERLAP)),
                ..rotate_request(&target.token)
            };
            let answer = tokens.rotate_token(request).await?.into_inner();
            let successor = answer.token.unwrap_or_default();
            let known = Known {
                target: target.token(&successor.token_id),
                secret: answer.secret,
            };
            return Ok((answer.revision, known));
        }
        Intent::Revoke => {
            let mut request = revoke_request(&target.token);
            request.wait_for_replicas = waits;
            tokens.revoke_token(request).await?.into_inner().revision
        }
        Intent::RevokeAll => {
            let request = RevokeTokensRequest {
                workspace_id: target.workspace.clone(),
                member_id: target.member.clone(),
                reason: "all of them".to_owned(),
                wait_for_replicas: waits,
                ..Default::default()
            };
            tokens.revoke_tokens(request).await?.into_inner().revision
        }
        Intent::RequireExpiry(require_expiry) => {
            let policy = TokenPolicy {
                require_expiry,
                ..Default::default()
            };
            let path = "token_policy.require_expiry";
            set_policy(client, &target.workspace, policy, path).await?
        }
        Intent::LimitIdle(is_limited) => {
            let policy = TokenPolicy {
                idle_limit: is_limited.then(|| span(IDLE_LIMIT)),
                ..Default::default()
            };
            let path = "token_policy.idle_limit";
            set_policy(client, &target.workspace, policy, path).await?
        }
        _ => change_member(client, target, intent).await?,
    };
    let known = Known {
        target: target.clone(),
        secret: String::new(),
    };
    Ok((revision, known))
}

fn span(span: Duration) -> prost_types::Duration {
    span.try_into().expect("in range")
}

async fn set_policy(
    client: &Client,
    workspace_id: &str,
    policy: TokenPolicy,
    path: &str,
) -> Result<String, Status> {
    let request = policy_request(workspace_id, policy, &[path]);
    let answer = client.directory.clone().update_workspace(request).await;
    Ok(answer?.into_inner().revision)
}

async fn change_member(client: &Client, target: &Target, intent: Intent) -> Result<String, Status> {
    let mut directory = client.directory.clone();
    let (workspace_id, member_id) = (target.workspace.clone(), target.member.clone());
    let etag = String::new();
    match intent {
        Intent::Put(role) => {
            let request = PutMemberRequest {
                workspace_id,
                member_id,
                role: role.to_owned(),
                etag,
            };
            let answer = directory.put_member(request).await;
            answer
                .map(Response::into_inner)
                .map(|answer| answer.revision)
        }
        Intent::SetRole(role) => {
            let request = SetMemberRoleRequest {
                workspace_id,
                member_id,
                role: role.to_owned(),
                etag,
            };
            let answer = directory.set_member_role(request).await;
            answer
                .map(Response::into_inner)
                .map(|answer| answer.revision)
        }
        Intent::Remove => {
            let request = RemoveMemberRequest {
                workspace_id,
                member_id,
                etag,
            };
            let answer = directory.remove_member(request).await;
            answer
                .map(Response::into_inner)
                .map(|answer| answer.revision)
        }
        _ => {
            let state = match intent {
                Intent::Suspend => MemberState::Suspended,
                _ => MemberState::Active,
            };
            let request = SetMemberStateRequest {
                workspace_id,
                member_id,
                state: state.into(),
                etag,
            };
            let answer = directory.set_member_state(request).await;
            answer
                .map(Response::into_inner)
                .map(|answer| answer.revision)
        }
    }
}
