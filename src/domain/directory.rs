//! Workspaces and members: the records that decide whether a token's bearer still counts.

use super::{
    ids::{MemberId, RoleName, WorkspaceId},
    shared::Mark,
    time::Timestamp,
    token_policy::TokenPolicy,
};

/// The state of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspaceState {
    /// In use.
    Active,
    /// Its tokens authorize nothing for now.
    Suspended,
    /// Deleted.
    Deleted,
}

/// The state of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// In use.
    Active,
    /// Its tokens authorize nothing for now.
    Suspended,
    /// Removed.
    Removed,
}

impl WorkspaceState {
    /// The name in the database and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Deleted]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl MemberState {
    /// The name in the database and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Removed]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The platform's id.
    pub workspace_id: WorkspaceId,
    /// A name for people.
    pub name: String,
    /// Whether its tokens authorize anything.
    pub state: WorkspaceState,
    /// What it asks of its tokens.
    pub token_policy: TokenPolicy,
    /// Tokens issued under a lower one are dead.
    pub generation: i64,
    /// Rises with every change of the record.
    pub version: i64,
    /// When it was first created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether memory let go of it, so that what shares it must look for another.
    pub is_outdated: Mark,
}

/// A user in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The platform's id.
    pub member_id: MemberId,
    /// The name of a role. The policy may lack it by now.
    pub role: RoleName,
    /// Whether its tokens authorize anything.
    pub state: MemberState,
    /// Tokens issued under a lower one are dead.
    pub generation: i64,
    /// Rises with every change of the record.
    pub version: i64,
    /// When it was first created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether memory let go of it, so that what shares it must look for another.
    pub is_outdated: Mark,
}

/// The etag of a record at this version.
pub fn etag(version: i64) -> String {
    format!("v{version}")
}
