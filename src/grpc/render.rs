//! Domain types as messages.

mod issued;

use std::time::Duration;

use crate::{
    domain::{
        decide::{Bearer, Decision, DenyReason},
        directory::{Member, MemberState, Workspace, WorkspaceState, etag},
        event::{Details, Event, TokenPolicyRecord},
        ids::{MemberKey, Revision},
        policy::Reach,
        time::Timestamp,
        token::{Origin, TokenRecord, TokenState},
    },
    pb::{self, event::Details as DetailsForm},
    service::{BatchVerdict, Permissions, Verdict},
};

pub(super) use self::issued::{issued, rotated};

pub(super) fn token(record: &TokenRecord) -> pb::Token {
    let token = &record.token;
    let revocation = record.revocation.as_ref();
    pb::Token {
        token_id: token.token_id.as_str().to_owned(),
        workspace_id: token.member.workspace_id.as_str().to_owned(),
        member_id: token.member.member_id.as_str().to_owned(),
        name: token.name.to_string(),
        hint: token.hint.as_str().to_owned(),
        state: match record.state {
            TokenState::Active => pb::TokenState::Active,
            TokenState::Expired => pb::TokenState::Expired,
            TokenState::Revoked => pb::TokenState::Revoked,
        }
        .into(),
        created_at: Some(timestamp(token.created_at)),
        expires_at: token.expires_at.map(timestamp),
        revoked_at: revocation.map(|revocation| timestamp(revocation.at)),
        revoked_by: revocation.map(|revocation| revoked_by(&revocation.by)),
        revoke_reason: revocation.map_or_else(String::new, |revocation| revocation.reason.clone()),
        scopes: texts(token.scopes()),
        allowed_cidrs: texts(token.allowed_cidrs()),
        predecessor_id: token
            .predecessor_id()
            .map_or_else(String::new, ToString::to_string),
        last_used_at: record.last_used_at.map(timestamp),
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

fn revoked_by(origin: &Origin) -> pb::RevokedBy {
    pb::RevokedBy {
        caller: origin.caller.as_str().to_owned(),
        actor: origin.actor.as_ref().map(actor),
    }
}

fn actor(key: &MemberKey) -> pb::Actor {
    pb::Actor {
        workspace_id: key.workspace_id.as_str().to_owned(),
        member_id: key.member_id.as_str().to_owned(),
    }
}

pub(super) fn verdict(verdict: Verdict, decision_id: String) -> pb::AuthorizeResponse {
    let whose = verdict.principal().map(principal).map(Box::new);
    pb::AuthorizeResponse {
        decision: Some(decision(verdict.decision)),
        revision: revision(verdict.revision),
        reusable_for: verdict.reusable_for.map(duration),
        decision_id,
        explanation: verdict.explanation.map(|explained| {
            Box::new(pb::Explanation {
                role: whose
                    .as_ref()
                    .map_or_else(String::new, |whose| whose.role.clone()),
                rule: explained.explanation.rule,
                reach: explained
                    .explanation
                    .reach
                    .map_or(pb::Reach::Unspecified, reach)
                    .into(),
                policy_hash: explained.policy_hash,
                missing_scope: explained.explanation.missing_scope.unwrap_or_default(),
            })
        }),
        principal: whose,
    }
}

pub(super) fn batch(verdict: BatchVerdict, decision_id: String) -> pb::BatchAuthorizeResponse {
    let whose = verdict.principal().map(principal);
    let decisions = verdict.decisions.into_iter().map(|decided| match decided {
        Some(decided) => decision(decided),
        None => pb::Decision {
            outcome: pb::Outcome::NotEvaluated.into(),
            ..pb::Decision::default()
        },
    });
    pb::BatchAuthorizeResponse {
        decisions: decisions.collect(),
        principal: whose,
        revision: revision(verdict.revision),
        reusable_for: verdict.reusable_for.map(duration),
        decision_id,
    }
}

pub(super) fn permissions(found: Permissions) -> pb::ListPermissionsResponse {
    let whose = found.principal().map(principal);
    let reason = found.permissions.as_ref().err().copied();
    let permissions = found.permissions.unwrap_or_default();
    pb::ListPermissionsResponse {
        reason: reason
            .map_or(pb::DenyReason::Unspecified, deny_reason)
            .into(),
        principal: whose,
        permissions: permissions
            .into_iter()
            .map(|(action, reaches)| pb::Permission {
                action,
                reach: reach(reaches).into(),
            })
            .collect(),
        revision: revision(found.revision),
    }
}

fn reach(reach: Reach) -> pb::Reach {
    match reach {
        Reach::Own => pb::Reach::Own,
        Reach::Workspace => pb::Reach::Workspace,
    }
}

fn decision(decision: Decision) -> pb::Decision {
    match decision {
        Decision::Allow(reaches) => pb::Decision {
            outcome: pb::Outcome::Allow.into(),
            reason: pb::DenyReason::Unspecified.into(),
            message: "allowed".to_owned(),
            reach: reach(reaches).into(),
        },
        Decision::Deny(reason) => pb::Decision {
            outcome: pb::Outcome::Deny.into(),
            reason: deny_reason(reason).into(),
            message: reason.message().to_owned(),
            reach: pb::Reach::Unspecified.into(),
        },
    }
}

fn deny_reason(reason: DenyReason) -> pb::DenyReason {
    match reason {
        DenyReason::MalformedToken => pb::DenyReason::MalformedToken,
        DenyReason::UnknownToken => pb::DenyReason::UnknownToken,
        DenyReason::WorkspaceDeleted => pb::DenyReason::WorkspaceDeleted,
        DenyReason::MemberRemoved => pb::DenyReason::MemberRemoved,
        DenyReason::RevokedToken => pb::DenyReason::RevokedToken,
        DenyReason::ExpiredToken => pb::DenyReason::ExpiredToken,
        DenyReason::WorkspaceSuspended => pb::DenyReason::WorkspaceSuspended,
        DenyReason::MemberSuspended => pb::DenyReason::MemberSuspended,
        DenyReason::AddressNotAllowed => pb::DenyReason::AddressNotAllowed,
        DenyReason::Impersonation => pb::DenyReason::Impersonation,
        DenyReason::AboveTokenCeiling => pb::DenyReason::AboveTokenCeiling,
        DenyReason::UnknownAction => pb::DenyReason::UnknownAction,
        DenyReason::WrongWorkspace => pb::DenyReason::WrongWorkspace,
        DenyReason::OutOfScope => pb::DenyReason::OutOfScope,
        DenyReason::RoleNotPermitted => pb::DenyReason::RoleNotPermitted,
        DenyReason::NotOwner => pb::DenyReason::NotOwner,
    }
}

fn principal(bearer: &Bearer) -> pb::Principal {
    let token = &bearer.token;
    pb::Principal {
        workspace_id: token.member.workspace_id.as_str().to_owned(),
        member_id: token.member.member_id.as_str().to_owned(),
        role: bearer.member.role.as_str().to_owned(),
        token_id: token.token_id.as_str().to_owned(),
        token_name: token.name.to_string(),
        expires_at: token.expires_at.map(timestamp),
        scopes: texts(token.scopes()),
    }
}

fn revision(revision: Option<Revision>) -> String {
    revision.map_or_else(String::new, |revision| revision.text())
}

/// To the millisecond, like all times; what is finer is cut off.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_millis() * 1_000_000).unwrap_or(0),
    }
}

pub(super) fn workspace(workspace: &Workspace) -> pb::Workspace {
    pb::Workspace {
        workspace_id: workspace.workspace_id.as_str().to_owned(),
        name: workspace.name.clone(),
        state: workspace_state(workspace.state).into(),
        created_at: Some(timestamp(workspace.created_at)),
        updated_at: Some(timestamp(workspace.updated_at)),
        etag: etag(workspace.version),
        token_policy: Some(token_policy_record(&(&workspace.token_policy).into())),
    }
}

fn token_policy_record(policy: &TokenPolicyRecord) -> pb::TokenPolicy {
    let lifetime = |millis: i64| prost_types::Duration {
        seconds: millis / 1000,
        nanos: i32::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    };
    pb::TokenPolicy {
        require_expiry: policy.require_expiry,
        max_lifetime: policy.max_lifetime.map(lifetime),
        default_lifetime: policy.default_lifetime.map(lifetime),
        idle_limit: policy.idle_limit.map(lifetime),
        max_live_tokens_per_member: policy
            .max_live_tokens
            .map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX)),
        revoke_family_on_reuse: policy.revoke_family_on_reuse,
    }
}

pub(super) fn validated(
    (updated, live_tokens_ended): (Workspace, u64),
) -> pb::UpdateWorkspaceResponse {
    pb::UpdateWorkspaceResponse {
        workspace: Some(workspace(&updated)),
        revision: String::new(),
        live_tokens_ended: i64::try_from(live_tokens_ended).unwrap_or(i64::MAX),
    }
}

fn workspace_state(state: WorkspaceState) -> pb::WorkspaceState {
    match state {
        WorkspaceState::Active => pb::WorkspaceState::Active,
        WorkspaceState::Suspended => pb::WorkspaceState::Suspended,
        WorkspaceState::Deleted => pb::WorkspaceState::Deleted,
    }
}

pub(super) fn member(member: &Member) -> pb::Member {
    pb::Member {
        workspace_id: member.workspace_id.as_str().to_owned(),
        member_id: member.member_id.as_str().to_owned(),
        role: member.role.as_str().to_owned(),
        state: member_state(member.state).into(),
        created_at: Some(timestamp(member.created_at)),
        updated_at: Some(timestamp(member.updated_at)),
        etag: etag(member.version),
    }
}

fn member_state(state: MemberState) -> pb::MemberState {
    match state {
        MemberState::Active => pb::MemberState::Active,
        MemberState::Suspended => pb::MemberState::Suspended,
        MemberState::Removed => pb::MemberState::Removed,
    }
}

pub(super) fn event(event: &Event) -> pb::Event {
    let actor = event
        .actor
        .clone()
        .map(|(workspace_id, member_id)| pb::Actor {
            workspace_id,
            member_id,
        });
    pb::Event {
        revision: event.revision.to_string(),
        event_id: event.revision.event_id.to_string(),
        occurred_at: Some(timestamp(event.at)),
        caller: event.caller.clone(),
        actor,
        workspace_id: event.workspace_id.clone(),
        member_id: event.member_id.clone().unwrap_or_default(),
        token_id: event.token_id.clone().unwrap_or_default(),
        details: event.details.clone().map(details),
    }
}

fn details(details: Details) -> DetailsForm {
    match details {
        Details::FeedStarted {} => DetailsForm::FeedStarted(pb::FeedStarted {}),
        Details::WorkspaceCreated { name, recreated } => {
            DetailsForm::WorkspaceCreated(pb::WorkspaceCreated { name, recreated })
        }
        Details::WorkspaceUpdated {
            name,
            state,
            token_policy,
        } => {
            let state = state.as_deref().and_then(WorkspaceState::parse);
            DetailsForm::WorkspaceUpdated(pb::WorkspaceUpdated {
                name,
                state: state.map(|state| workspace_state(state).into()),
                token_policy: token_policy.map(|policy| token_policy_record(&policy)),
            })
        }
        Details::WorkspaceDeleted {} => DetailsForm::WorkspaceDeleted(pb::WorkspaceDeleted {}),
        Details::MemberAdded { role, returned } => {
            DetailsForm::MemberAdded(pb::MemberAdded { role, returned })
        }
        Details::MemberRoleChanged { from_role, to_role } => {
            DetailsForm::MemberRoleChanged(pb::MemberRoleChanged { from_role, to_role })
        }
        Details::MemberStateChanged { state } => {
            let state = MemberState::parse(&state);
            DetailsForm::MemberStateChanged(pb::MemberStateChanged {
                state: state.map_or(0, |state| member_state(state).into()),
            })
        }
        Details::MemberRemoved {} => DetailsForm::MemberRemoved(pb::MemberRemoved {}),
        Details::TokenIssued {
            name,
            expires_at,
            predecessor_id,
            scopes,
            allowed_cidrs,
        } => DetailsForm::TokenIssued(pb::TokenIssued {
            name,
            expires_at: expires_at.map(|at| timestamp(Timestamp(at))),
            predecessor_id: predecessor_id.unwrap_or_default(),
            scopes,
            allowed_cidrs,
        }),
        Details::TokenRotated {
            successor_id,
            expires_at,
        } => DetailsForm::TokenRotated(pb::TokenRotated {
            successor_id,
            expires_at: Some(timestamp(Timestamp(expires_at))),
        }),
        Details::TokenReused { successor_id } => {
            DetailsForm::TokenReused(pb::TokenReused { successor_id })
        }
        Details::TokenExpiring {
            name,
            expires_at,
            days,
        } => DetailsForm::TokenExpiring(pb::TokenExpiring {
            name,
            expires_at: Some(timestamp(Timestamp(expires_at))),
            days,
        }),
        Details::TokenExpired { name, expires_at } => DetailsForm::TokenExpired(pb::TokenExpired {
            name,
            expires_at: Some(timestamp(Timestamp(expires_at))),
        }),
        Details::TokensRevoked { reason } => {
            DetailsForm::TokensRevoked(pb::TokensRevoked { reason })
        }
        Details::TokenRevoked {
            reason,
            by_secret,
            leak_source,
        } => DetailsForm::TokenRevoked(pb::TokenRevoked {
            reason,
            by_secret,
            leak_source,
        }),
    }
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1000),
        nanos: i32::try_from(at.0.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_name_on_the_wire_and_in_metrics() {
        for reason in DenyReason::ALL {
            let name = format!("DENY_REASON_{}", reason.as_str());
            assert_eq!(deny_reason(reason).as_str_name(), name);
        }
    }
}
