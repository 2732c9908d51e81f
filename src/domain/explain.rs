//! How a decision came about, in words for people.

use super::{
    decide::{Ask, Decision, DenyReason},
    directory::Member,
    policy::{Policy, Reach},
};

/// How a decision came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rule that decided, as the policy has it, or a sentence where none did.
    pub rule: String,
    /// How far that rule reaches.
    pub reach: Option<Reach>,
    /// The scope that the token would need, where that is what it lacks.
    pub missing_scope: Option<String>,
}

/// Explains what [`super::decide::decide`] said of this member and this ask.
pub fn explain(policy: &Policy, member: &Member, ask: &Ask, decision: Decision) -> Explanation {
    let role = member.role.as_str();
    let action = &ask.action;
    let reason = match decision {
        Decision::Allow(_) | Decision::Deny(DenyReason::NotOwner) => {
            return match policy.rule(role, action) {
                Some(rule) => Explanation {
                    rule: rule.entry.clone(),
                    reach: Some(rule.reach),
                    missing_scope: None,
                },
                None => sentence(format!("no rule of the role `{role}` covers `{action}`")),
            };
        }
        Decision::Deny(DenyReason::OutOfScope) => {
            return Explanation {
                missing_scope: Some(action.to_string()),
                ..sentence(format!("no scope of the token covers `{action}`"))
            };
        }
        Decision::Deny(reason) => reason,
    };
    sentence(match reason {
        DenyReason::WorkspaceSuspended | DenyReason::MemberSuspended => {
            format!("{}: no rule is asked", reason.message())
        }
        DenyReason::AddressNotAllowed => match ask.circumstances.client_ip {
            Some(ip) => {
                format!("the token may be used from some networks only, and `{ip}` is in none")
            }
            None => "the token may be used from some networks only, and no `client_ip` was told"
                .to_owned(),
        },
        DenyReason::Impersonation => format!(
            "the token acts as `{}` and asks to act for another",
            member.member_id
        ),
        DenyReason::AboveTokenCeiling => {
            format!("`{action}` is above the ceiling of tokens, whatever the policy says")
        }
        DenyReason::UnknownAction => format!("the policy declares no `{action}`"),
        DenyReason::WrongWorkspace => format!(
            "the token is of the workspace `{}`, the resource is not",
            member.workspace_id
        ),
        DenyReason::RoleNotPermitted if !policy.has_role(role) => {
            format!("the policy has no role `{role}`")
        }
        DenyReason::RoleNotPermitted => {
            format!("no rule of the role `{role}` covers `{action}`")
        }
        _ => reason.message().to_owned(),
    })
}

fn sentence(rule: String) -> Explanation {
    Explanation {
        rule,
        reach: None,
        missing_scope: None,
    }
}
