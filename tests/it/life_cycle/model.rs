//! What is expected, written by hand from the contract: a member in a workspace, what may befall them, and what each token
//! may do afterwards. It shares no code with the service.

use countersign::pb::{DenyReason, MemberState, Outcome, Reach, WorkspaceState, resource::Owner};
use tonic::Code;

/// What may befall a member or its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Demote,
    Promote,
    Suspend,
    Reactivate,
    Remove,
    ReAdd,
    SuspendWorkspace,
    ReactivateWorkspace,
    DeleteWorkspace,
    /// The workspace alone: the member stays removed.
    Recreate,
    RecreateAndReAdd,
}

pub(super) const EVENTS: [Event; 11] = [
    Event::Demote,
    Event::Promote,
    Event::Suspend,
    Event::Reactivate,
    Event::Remove,
    Event::ReAdd,
    Event::SuspendWorkspace,
    Event::ReactivateWorkspace,
    Event::DeleteWorkspace,
    Event::Recreate,
    Event::RecreateAndReAdd,
];

/// With which role a removed member returns: the one that gives most, should an old token wrongly live.
pub(super) const RE_ADDED_AS: &str = "admin";

/// An action of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// To the bearer's own.
    Own,
    /// To another member's.
    Workspace,
    /// What only an admin may do.
    AdminOnly,
}

pub(super) const ASKS: [Ask; 3] = [Ask::Own, Ask::Workspace, Ask::AdminOnly];

impl Ask {
    /// The action and the owner that are asked for.
    pub(super) fn request(self) -> (&'static str, Owner) {
        match self {
            Self::Own => ("bookings.update", Owner::Bearer(true)),
            Self::Workspace => ("appointments.read", Owner::OwnerId("someone".to_owned())),
            Self::AdminOnly => ("users.list", Owner::Collection(true)),
        }
    }
}

/// The scopes and the networks of a token, by its number: one after the other it has none, the ones, the others.
pub(super) fn limits(token: usize) -> [&'static [&'static str]; 2] {
    match token % 3 {
        0 => [&[], &[]],
        1 => [&["appointments.*", "*.list"], &[]],
        _ => [&[], &["192.0.2.0/24"]],
    }
}

/// A decision, and the principal's role where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) outcome: Outcome,
    pub(super) reason: DenyReason,
    pub(super) reach: Reach,
    pub(super) role: Option<String>,
}

/// How things stand.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) workspace: WorkspaceState,
    pub(super) member: MemberState,
    pub(super) role: &'static str,
    /// Whether each token issued so far was ended for good.
    pub(super) ended: Vec<bool>,
}

impl Model {
    pub(super) fn start(role: &'static str) -> Self {
        Self {
            workspace: WorkspaceState::Active,
            member: MemberState::Active,
            role,
            ended: Vec::new(),
        }
    }

    /// Whether this can happen now and changes something.
    pub(super) fn admits(&self, event: Event) -> bool {
        let deleted = self.workspace == WorkspaceState::Deleted;
        let removed = self.member == MemberState::Removed;
        match event {
            Event::Demote => !deleted && !removed && self.role == "admin",
            Event::Promote => !deleted && !removed && self.role == "member",
            Event::Suspend => !deleted && self.member == MemberState::Active,
            Event::Reactivate => !deleted && self.member == MemberState::Suspended,
            Event::Remove => !deleted && !removed,
            Event::ReAdd => !deleted && removed,
            Event::SuspendWorkspace => self.workspace == WorkspaceState::Active,
            Event::ReactivateWorkspace => self.workspace == WorkspaceState::Suspended,
            Event::DeleteWorkspace => !deleted,
            Event::Recreate | Event::RecreateAndReAdd => deleted,
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Demote => self.role = "member",
            Event::Promote => self.role = "admin",
            Event::Suspend => self.member = MemberState::Suspended,
            Event::Reactivate => self.member = MemberState::Active,
            Event::Remove => {
                self.member = MemberState::Removed;
                self.ended.fill(true);
            }
            Event::ReAdd => {
                self.member = MemberState::Active;
                self.role = RE_ADDED_AS;
            }
            Event::SuspendWorkspace => self.workspace = WorkspaceState::Suspended,
            Event::ReactivateWorkspace | Event::Recreate => {
                self.workspace = WorkspaceState::Active;
            }
            Event::DeleteWorkspace => {
                self.workspace = WorkspaceState::Deleted;
                self.member = MemberState::Removed;
                self.ended.fill(true);
            }
            Event::RecreateAndReAdd => {
                self.workspace = WorkspaceState::Active;
                self.member = MemberState::Active;
                self.role = RE_ADDED_AS;
            }
        }
    }

    /// Whether a token can be issued, or why not.
    pub(super) fn issue(&mut self) -> Result<(), (Code, &'static str)> {
        if self.workspace == WorkspaceState::Deleted || self.member == MemberState::Removed {
            return Err((Code::NotFound, "MEMBER_NOT_FOUND"));
        }
        if self.workspace == WorkspaceState::Suspended {
            return Err((Code::FailedPrecondition, "WORKSPACE_SUSPENDED"));
        }
        if self.member == MemberState::Suspended {
            return Err((Code::FailedPrecondition, "MEMBER_SUSPENDED"));
        }
        self.ended.push(false);
        Ok(())
    }

    /// The decision on a token.
    pub(super) fn decides(&self, token: usize, ask: Ask) -> Expected {
        if self.workspace == WorkspaceState::Deleted {
            return invalid(DenyReason::WorkspaceDeleted);
        }
        if self.member == MemberState::Removed {
            return invalid(DenyReason::MemberRemoved);
        }
        if self.ended[token] {
            return invalid(DenyReason::RevokedToken);
        }
        if self.workspace == WorkspaceState::Suspended {
            return self.denied(DenyReason::WorkspaceSuspended);
        }
        if self.member == MemberState::Suspended {
            return self.denied(DenyReason::MemberSuspended);
        }
        match (limits(token), ask) {
            // Nobody says where the request comes from.
            ([_, [_, ..]], _) => return self.denied(DenyReason::AddressNotAllowed),
            ([[_, ..], _], Ask::Own) => return self.denied(DenyReason::OutOfScope),
            _ => {}
        }
        match (self.role, ask) {
            ("member", Ask::Own) => self.allowed(Reach::Own),
            ("member", Ask::Workspace) => self.denied(DenyReason::NotOwner),
            ("member", Ask::AdminOnly) => self.denied(DenyReason::RoleNotPermitted),
            ("admin", Ask::Own | Ask::Workspace | Ask::AdminOnly) => self.allowed(Reach::Workspace),
            (role, _) => panic!("nothing is expected of the role {role}"),
        }
    }

    fn allowed(&self, reach: Reach) -> Expected {
        Expected {
            outcome: Outcome::Allow,
            reason: DenyReason::Unspecified,
            reach,
            role: Some(self.role.to_owned()),
        }
    }

    fn denied(&self, reason: DenyReason) -> Expected {
        Expected {
            role: Some(self.role.to_owned()),
            ..invalid(reason)
        }
    }
}

/// A token that is no good, whose principal nobody is told.
fn invalid(reason: DenyReason) -> Expected {
    Expected {
        outcome: Outcome::Deny,
        reason,
        reach: Reach::Unspecified,
        role: None,
    }
}
