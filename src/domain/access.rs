//! Who may do what with tokens in TokenService: the rules for callers, actors and their targets.

use super::{
    caller::{ActsFor, Caller},
    directory::{Member, MemberState},
    error::{Error, Problem, ProblemReason},
    ids::{MemberId, MemberKey, WorkspaceId},
    policy::Policy,
};

/// On whose authority a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The platform's own: no target is hidden from it.
    Platform,
    /// A member's.
    Member {
        /// Which.
        key: MemberKey,
        /// Whether its role oversees the tokens of the workspace.
        oversees_tokens: bool,
    },
    /// That of an actor who does not exist or is not active, for whom nothing exists either.
    Nobody,
}

/// Why an authority does not suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The target is to be answered as if it did not exist.
    Hidden,
    /// The actor may see the target, and not do this to it.
    NotPermitted {
        /// The actor.
        actor_id: String,
    },
}

impl Refused {
    /// The error, given the one for a target that does not exist.
    pub fn or_not_found(self, not_found: Error) -> Error {
        match self {
            Self::Hidden => not_found,
            Self::NotPermitted { actor_id } => Error::ActorNotPermitted { actor_id },
        }
    }
}

/// Refuses a request without an actor from a caller that acts for members.
pub fn require_actor(caller: &Caller, actor: Option<&MemberKey>) -> Result<(), Problem> {
    if caller.acts_for == ActsFor::Members && actor.is_none() {
        return Err(Problem::new(
            ProblemReason::ActorRequired,
            "is required: this caller acts for members",
        ));
    }
    Ok(())
}

impl Authority {
    /// The authority of a named actor, given its record if there is one.
    pub fn of_actor(record: Option<&Member>, policy: &Policy) -> Self {
        match record {
            Some(member) if member.state == MemberState::Active => Self::Member {
                key: MemberKey {
                    workspace_id: member.workspace_id.clone(),
                    member_id: member.member_id.clone(),
                },
                oversees_tokens: policy.oversees_tokens(member.role.as_str()),
            },
            _ => Self::Nobody,
        }
    }

    /// Whether it may list, read and revoke the tokens of this member: its own, or anyone's in the workspace it oversees.
    pub fn may_oversee(&self, target: &MemberKey) -> Result<(), Refused> {
        match self {
            Self::Platform => Ok(()),
            Self::Member { key, .. } if key == target => Ok(()),
            Self::Member {
                key,
                oversees_tokens: true,
            } if key.workspace_id == target.workspace_id => Ok(()),
            Self::Member { .. } | Self::Nobody => Err(Refused::Hidden),
        }
    }

    /// Whether it may issue a token that acts as this member: for itself only, whatever it oversees.
    pub fn may_issue(&self, target: &MemberKey) -> Result<(), Refused> {
        self.may_oversee(target)?;
        match self {
            Self::Member { key, .. } if key != target => Err(Refused::NotPermitted {
                actor_id: key.member_id.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether it may end every token of a workspace: only who oversees them all.
    pub fn may_oversee_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), Refused> {
        match self {
            Self::Platform => Ok(()),
            Self::Member {
                key,
                oversees_tokens,
            } if key.workspace_id == *workspace_id => match oversees_tokens {
                true => Ok(()),
                false => Err(Refused::NotPermitted {
                    actor_id: key.member_id.to_string(),
                }),
            },
            Self::Member { .. } | Self::Nobody => Err(Refused::Hidden),
        }
    }

    /// Whose tokens a listing of the workspace shows it: a member's, or (None) everyone's.
    pub fn listing(
        &self,
        workspace_id: &WorkspaceId,
        member_id: Option<&MemberId>,
    ) -> Result<Option<MemberId>, Refused> {
        match self {
            Self::Platform => Ok(member_id.cloned()),
            Self::Member {
                key,
                oversees_tokens,
            } if key.workspace_id == *workspace_id => match member_id {
                _ if *oversees_tokens => Ok(member_id.cloned()),
                None => Ok(Some(key.member_id.clone())),
                Some(id) if *id == key.member_id => Ok(Some(id.clone())),
                Some(_) => Err(Refused::Hidden),
            },
            Self::Member { .. } | Self::Nobody => Err(Refused::Hidden),
        }
    }
}
