//! The record of a personal access token and when it counts as live.

use std::time::Duration;

use super::{
    directory::{Member, Workspace},
    ids::{CallerName, MemberKey, TokenId},
    time::Timestamp,
};

/// The rules a token row is written under. A row with another number holds something this version would misread, so it
/// must not be decided on.
pub const RULES_VERSION: i32 = 1;

/// How many live tokens a member may have where its workspace does not say.
pub const MAX_LIVE_TOKENS: u64 = 50;

/// The longest lifetime: 100 years.
pub const MAX_LIFETIME: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// Whether a token authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// Neither expired nor revoked.
    Active,
    /// Past its expiry.
    Expired,
    /// Revoked, by itself or with others.
    Revoked,
}

/// Who did something, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The internal service that made the call.
    pub caller: CallerName,
    /// The member it made the call for, if any.
    pub actor: Option<MemberKey>,
}

/// How a token came to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Origin,
    /// Why, in their words.
    pub reason: String,
}

/// A token as stored, without its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The service's id of it.
    pub token_id: TokenId,
    /// The member it acts as.
    pub member: MemberKey,
    /// The workspace's generation it was issued under.
    pub workspace_generation: i64,
    /// The member's generation it was issued under.
    pub member_generation: i64,
    /// Its name.
    pub name: String,
    /// The last characters of its printed form.
    pub hint: String,
    /// When it was issued.
    pub created_at: Timestamp,
    /// From when on it no longer authenticates.
    pub expires_at: Option<Timestamp>,
    /// How it was revoked by itself, if it was. A raised generation is not told here.
    pub revoked: Option<Box<Revocation>>,
}

/// A token with what its member's and workspace's records say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token.
    pub token: Token,
    /// Whether it authenticates.
    pub state: TokenState,
    /// How it was revoked, if `state` is revoked: by itself or with a generation, whichever was first.
    pub revocation: Option<Revocation>,
}

impl Token {
    /// From when on it no longer authenticates, given its workspace: its own expiry, or what the workspace's policy makes
    /// of it. None: it does not end by itself.
    pub fn ends_at(&self, workspace: &Workspace) -> Option<Timestamp> {
        workspace
            .token_policy
            .ends_at(self.created_at, self.expires_at)
    }

    /// Whether it authenticates at `now`, given its member and workspace at the same instant. It expires at the instant it
    /// ends at, not after. Revoked wins over expired.
    pub fn state(&self, workspace: &Workspace, member: &Member, now: Timestamp) -> TokenState {
        let current = self.workspace_generation == workspace.generation
            && self.member_generation == member.generation;
        if self.revoked.is_some() || !current {
            TokenState::Revoked
        } else if self.ends_at(workspace).is_some_and(|at| at <= now) {
            TokenState::Expired
        } else {
            TokenState::Active
        }
    }
}
