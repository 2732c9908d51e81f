//! The decision: one pure, total function of what was presented, what was asked, the policy and the time.

use std::sync::Arc;

use super::{
    action::Action,
    address::ClientIp,
    directory::{Member, MemberState, Workspace, WorkspaceState},
    ids::{MemberId, WorkspaceId},
    policy::{Policy, Reach},
    time::Timestamp,
    token::{Token, TokenState},
};

/// A token with the member it acts as and that member's workspace, all read at one instant.
/// Shared with the memory that it may come from, so that a decision copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The token.
    pub token: Arc<Token>,
    /// The member.
    pub member: Arc<Member>,
    /// The workspace.
    pub workspace: Arc<Workspace>,
}

/// What the bearer's presentation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// Not a token of this service.
    Malformed,
    /// Well formed, and never issued here.
    Unknown,
    /// A token that was issued here.
    Known(Bearer),
}

impl Presented {
    /// Whether that is no longer enough to decide from: [`Token::must_be_read_again`]. The clock is only asked where it matters.
    pub fn must_be_read_again(&self, now: impl FnOnce() -> Timestamp) -> bool {
        let Self::Known(bearer) = self else {
            return false;
        };
        bearer.workspace.token_policy.idle_limit.is_some()
            && bearer.token.must_be_read_again(&bearer.workspace, now())
    }
}

/// Whose the resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's.
    Nobody,
    /// This member's.
    Member(MemberId),
    /// The bearer's own.
    Bearer,
    /// A listing, of whatever the reach admits.
    Collection,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What would be done.
    pub action: Action,
    /// Where. None, which goes with [`Owner::Bearer`] and [`Owner::Collection`] only: in the token's own workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// To whose.
    pub owner: Owner,
    /// Under which circumstances.
    pub circumstances: Circumstances,
}

/// The circumstances under which something is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// For whom the bearer asks to act, if it is said. Shared, as it may be long and the asks of a batch many.
    pub on_behalf_of: Option<Arc<str>>,
    /// From where the bearer asks, if that was told.
    pub client_ip: Option<ClientIp>,
}

/// Why not: the first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// Not a token of this service.
    MalformedToken,
    /// Never issued here.
    UnknownToken,
    /// The workspace was deleted.
    WorkspaceDeleted,
    /// The member was removed.
    MemberRemoved,
    /// The token was revoked.
    RevokedToken,
    /// The token is past its expiry.
    ExpiredToken,
    /// The workspace is suspended.
    WorkspaceSuspended,
    /// The member is suspended.
    MemberSuspended,
    /// The token may not be used from this address, or from one that is not told.
    AddressNotAllowed,
    /// The bearer asked to act for someone else.
    Impersonation,
    /// No token of any role may do this.
    AboveTokenCeiling,
    /// The policy declares no such action.
    UnknownAction,
    /// The resource is in another workspace.
    WrongWorkspace,
    /// The token's scopes do not cover it.
    OutOfScope,
    /// The role may not do this at all.
    RoleNotPermitted,
    /// The role may do this to its own only.
    NotOwner,
}

impl DenyReason {
    /// Every reason, in order.
    pub const ALL: [Self; 16] = [
        Self::MalformedToken,
        Self::UnknownToken,
        Self::WorkspaceDeleted,
        Self::MemberRemoved,
        Self::RevokedToken,
        Self::ExpiredToken,
        Self::WorkspaceSuspended,
        Self::MemberSuspended,
        Self::AddressNotAllowed,
        Self::Impersonation,
        Self::AboveTokenCeiling,
        Self::UnknownAction,
        Self::WrongWorkspace,
        Self::OutOfScope,
        Self::RoleNotPermitted,
        Self::NotOwner,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedToken => "MALFORMED_TOKEN",
            Self::UnknownToken => "UNKNOWN_TOKEN",
            Self::WorkspaceDeleted => "WORKSPACE_DELETED",
            Self::MemberRemoved => "MEMBER_REMOVED",
            Self::RevokedToken => "REVOKED_TOKEN",
            Self::ExpiredToken => "EXPIRED_TOKEN",
            Self::WorkspaceSuspended => "WORKSPACE_SUSPENDED",
            Self::MemberSuspended => "MEMBER_SUSPENDED",
            Self::AddressNotAllowed => "ADDRESS_NOT_ALLOWED",
            Self::Impersonation => "IMPERSONATION",
            Self::AboveTokenCeiling => "ABOVE_TOKEN_CEILING",
            Self::UnknownAction => "UNKNOWN_ACTION",
            Self::WrongWorkspace => "WRONG_WORKSPACE",
            Self::OutOfScope => "OUT_OF_SCOPE",
            Self::RoleNotPermitted => "ROLE_NOT_PERMITTED",
            Self::NotOwner => "NOT_OWNER",
        }
    }

    /// Whether the token is known to be good, so that the caller may be told whose it is.
    pub fn reveals_principal(self) -> bool {
        self >= Self::WorkspaceSuspended
    }

    /// A sentence that is safe to pass on to the bearer: one and the same for every state of the token itself, so that
    /// nobody can use it to find out which tokens there are.
    pub fn message(self) -> &'static str {
        match self {
            Self::MalformedToken
            | Self::UnknownToken
            | Self::WorkspaceDeleted
            | Self::MemberRemoved
            | Self::RevokedToken
            | Self::ExpiredToken => "the token is not valid",
            Self::WorkspaceSuspended => "the workspace is suspended",
            Self::MemberSuspended => "the user is suspended",
            Self::AddressNotAllowed => "the token may not be used from this address",
            Self::Impersonation => "a token may not act on behalf of another user",
            Self::AboveTokenCeiling => "no token may do this",
            Self::UnknownAction => "there is no such action",
            Self::WrongWorkspace => "the token belongs to another workspace",
            Self::OutOfScope => "the token's scopes do not cover this",
            Self::RoleNotPermitted => "the user's role does not permit this",
            Self::NotOwner => "the user's role permits this for the user's own only",
        }
    }
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The bearer may, this far.
    Allow(Reach),
    /// The bearer may not.
    Deny(DenyReason),
}

/// Decides. Total: there is no input it has no answer for, and what it does not recognise it denies.
pub fn decide(policy: &Policy, presented: &Presented, ask: &Ask, now: Timestamp) -> Decision {
    let verdict = authenticate(presented, &ask.circumstances, now)
        .and_then(|bearer| permit(policy, bearer, ask));
    match verdict {
        Ok(reach) => Decision::Allow(reach),
        Err(reason) => Decision::Deny(reason),
    }
}

/// How far a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchMode {
    /// To the end.
    All,
    /// To the first denial.
    StopAtFirstDeny,
    /// To the first allow.
    StopAtFirstAllow,
}

/// Decides many things for one bearer: for each what [`decide`] says, or None after a stop.
pub fn decide_batch(
    policy: &Policy,
    presented: &Presented,
    asks: &[Ask],
    mode: BatchMode,
    now: Timestamp,
) -> Vec<Option<Decision>> {
    let mut is_stopped = false;
    asks.iter()
        .map(|ask| {
            if is_stopped {
                return None;
            }
            let decision = decide(policy, presented, ask, now);
            is_stopped = match (mode, decision) {
                (BatchMode::StopAtFirstDeny, Decision::Deny(_))
                | (BatchMode::StopAtFirstAllow, Decision::Allow(_)) => true,
                (BatchMode::All, _) | (_, Decision::Allow(_) | Decision::Deny(_)) => false,
            };
            Some(decision)
        })
        .collect()
}

/// Everything that the bearer may do, by action, or why nothing.
pub fn permissions<'a>(
    policy: &'a Policy,
    presented: &Presented,
    circumstances: &Circumstances,
    now: Timestamp,
) -> Result<Vec<(&'a str, Reach)>, DenyReason> {
    let bearer = authenticate(presented, circumstances, now)?;
    let role = bearer.member.role.as_str();
    let rules = policy.actions().filter_map(|name| {
        let action = Action::parse(name).ok()?;
        if !bearer.token.covers(&action) {
            return None;
        }
        let rule = policy.rule(role, &action)?;
        Some((name, rule.reach))
    });
    Ok(rules.collect())
}

/// The bearer, if the token is good, its member and workspace are in use, and it asks from where it may and for nobody else.
fn authenticate<'a>(
    presented: &'a Presented,
    circumstances: &Circumstances,
    now: Timestamp,
) -> Result<&'a Bearer, DenyReason> {
    let bearer = match presented {
        Presented::Malformed => return Err(DenyReason::MalformedToken),
        Presented::Unknown => return Err(DenyReason::UnknownToken),
        Presented::Known(bearer) => bearer,
    };
    let Bearer {
        token,
        member,
        workspace,
    } = bearer;
    if workspace.state == WorkspaceState::Deleted {
        return Err(DenyReason::WorkspaceDeleted);
    }
    if member.state == MemberState::Removed {
        return Err(DenyReason::MemberRemoved);
    }
    match token.state(workspace, member, now) {
        TokenState::Revoked => return Err(DenyReason::RevokedToken),
        TokenState::Expired => return Err(DenyReason::ExpiredToken),
        TokenState::Active => {}
    }
    if workspace.state == WorkspaceState::Suspended {
        return Err(DenyReason::WorkspaceSuspended);
    }
    if member.state == MemberState::Suspended {
        return Err(DenyReason::MemberSuspended);
    }
    if !token.admits(circumstances.client_ip) {
        return Err(DenyReason::AddressNotAllowed);
    }
    let on_behalf_of = circumstances.on_behalf_of.as_deref();
    if on_behalf_of.is_some_and(|other| other != member.member_id.as_str()) {
        return Err(DenyReason::Impersonation);
    }
    Ok(bearer)
}

/// Whether this bearer may do this, and how far.
fn permit(policy: &Policy, bearer: &Bearer, ask: &Ask) -> Result<Reach, DenyReason> {
    let member = &bearer.member;
    if ask.action.is_above_token_ceiling() {
        return Err(DenyReason::AboveTokenCeiling);
    }
    let declared = policy.declared(&ask.action);
    let declared = declared.ok_or(DenyReason::UnknownAction)?;
    let in_own_workspace = match &ask.workspace_id {
        Some(id) => *id == member.workspace_id,
        None => matches!(ask.owner, Owner::Bearer | Owner::Collection),
    };
    if !in_own_workspace {
        return Err(DenyReason::WrongWorkspace);
    }
    if !bearer.token.covers(&ask.action) {
        return Err(DenyReason::OutOfScope);
    }
    let rule = policy.rule_of(member.role.as_str(), &ask.action, declared);
    let reach = rule.ok_or(DenyReason::RoleNotPermitted)?.reach;
    let within = match &ask.owner {
        // The further reach does not make a listing of what is none.
        Owner::Collection => declared.is_collection,
        Owner::Bearer => true,
        Owner::Member(id) if *id == member.member_id => true,
        Owner::Member(_) | Owner::Nobody => reach == Reach::Workspace,
    };
    if within {
        Ok(reach)
    } else {
        Err(DenyReason::NotOwner)
    }
}
