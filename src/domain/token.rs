//! The record of a personal access token and when it counts as live.

use std::{hint::black_box, time::Duration};

use super::{
    action::Action,
    address::{Cidr, ClientIp},
    directory::{Member, Workspace},
    ids::{CallerName, MemberKey, TokenId},
    scope::Scope,
    secret::Hint,
    shared::{Latest, Mark},
    short_text::ShortText,
    time::Timestamp,
};

/// The rules that a token row without limits is written under.
pub const PLAIN_RULES: i32 = 1;

/// The rules that a row with [`Limits`] is written under, which a version that knows only [`PLAIN_RULES`] must not decide
/// on. Nor must this one on a row with any other number: it holds something that would be misread.
pub const LIMITED_RULES: i32 = 2;

/// How many live tokens a member may have where its workspace does not say.
pub const MAX_LIVE_TOKENS: u64 = 50;

/// The longest lifetime: 100 years.
pub const MAX_LIFETIME: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// For how many days a rotated token may live on beside its successor.
pub const MAX_OVERLAP_DAYS: u32 = 7;

/// For how long it is believed that a token is idle.
const IDLE_BELIEVED: Duration = Duration::from_secs(5);

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

/// What a token is limited to, on top of what its member's role may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// To the actions that one of these covers. Empty: to none in particular.
    pub scopes: Vec<Scope>,
    /// To requests of clients in one of these networks. Empty: of clients anywhere.
    pub allowed_cidrs: Vec<Cidr>,
}

impl Limits {
    /// Whether it limits to nothing.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.allowed_cidrs.is_empty()
    }
}

/// How a token was rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The token that took its place.
    pub successor_id: TokenId,
    /// Whether it is on record that it was presented once its overlap was over.
    pub is_reuse_recorded: bool,
}

/// What few tokens have, apart from what all have: a server keeps millions of those that have none of it in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// What the token is limited to.
    pub limits: Limits,
    /// The token that it took the place of.
    pub predecessor_id: Option<TokenId>,
    /// How it was rotated, if it was.
    pub rotated: Option<Rotated>,
}

impl Extras {
    /// Nothing, where there are none.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl From<Limits> for Extras {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// When a token was last used, or, if it never was, issued. Uses are no part of the feed, and another replica may know of
/// later ones than this does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// As far as was on record when it was read, and moved on by who uses it since.
    pub at: Latest,
    /// When it was read.
    read_at: Timestamp,
}

impl LastUse {
    /// What was on record when it was read.
    pub fn new(at: Timestamp, read_at: Timestamp) -> Self {
        Self {
            at: Latest::new(at),
            read_at,
        }
    }

    /// That of a token which was issued at this instant, as nobody knows of any use yet.
    pub fn issued(at: Timestamp) -> Self {
        Self::new(at, at)
    }
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
    pub name: ShortText,
    /// The last characters of its printed form.
    pub hint: Hint,
    /// When it was issued.
    pub created_at: Timestamp,
    /// From when on it no longer authenticates.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_use: LastUse,
    /// What it has that few have.
    pub extras: Option<Box<Extras>>,
    /// How it was revoked by itself, if it was. A raised generation is not told here.
    pub revoked: Option<Box<Revocation>>,
    /// Whether its last use waits to be put on record.
    pub awaits_record: Mark,
}

/// What a server keeps of a token in memory is mostly this. With the counts of its `Arc` it takes 224 bytes, which is a size
/// that allocators have; the next one is 256.
#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Token>() <= 208);

/// A token with what its member's and workspace's records say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token.
    pub token: Token,
    /// Whether it authenticates.
    pub state: TokenState,
    /// How it was revoked, if `state` is revoked: by itself or with a generation, whichever was first.
    pub revocation: Option<Revocation>,
    /// When it was last used, as far as that is on record.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Reads what a decision needs of it, and what puts its last use on record. Of a token among millions nothing is in the
    /// processor's cache: what is read before any of it is waited for comes at the same time, and waiting starts at the first
    /// count that is raised, or mark that is set.
    pub fn fetch(&self) {
        let first = |text: &[u8]| text.first().copied();
        black_box((
            (self.last_use.at.get(), self.awaits_record.is_set()),
            [self.workspace_generation, self.member_generation],
            (self.expires_at, self.extras.is_some()),
            self.revoked.is_some(),
            first(self.token_id.as_bytes()),
            first(self.name.as_bytes()),
            first(self.member.member_id.as_bytes()),
            first(self.member.workspace_id.as_bytes()),
        ));
    }

    /// From when on it no longer authenticates, given its workspace: its own expiry, or what the workspace's policy makes
    /// of it, unless it is used before. None: it does not end by itself.
    pub fn ends_at(&self, workspace: &Workspace) -> Option<Timestamp> {
        let policy = &workspace.token_policy;
        let ends = policy.ends_at(self.created_at, self.expires_at);
        let ends = [ends, self.idle_at(workspace)];
        ends.into_iter().flatten().min()
    }

    /// From when on it has gone unused for too long, if it may. Who knows of a later use knows better.
    pub fn idle_at(&self, workspace: &Workspace) -> Option<Timestamp> {
        let limit = workspace.token_policy.idle_limit?;
        Some(self.last_use.at.get().plus(limit))
    }

    /// Whether its last use was read too early to tell, at `now`, that it has gone unused for too long: from then on it is
    /// to be read once more, and is believed for 5 seconds, so that who keeps presenting an idle token does not keep the
    /// database busy.
    pub fn must_be_read_again(&self, workspace: &Workspace, now: Timestamp) -> bool {
        let read_at = self.last_use.read_at;
        let is_enough = |idle_at| read_at >= idle_at && now <= read_at.plus(IDLE_BELIEVED);
        self.idle_at(workspace)
            .is_some_and(|idle_at| idle_at <= now && !is_enough(idle_at))
    }

    /// What it is limited to, if it is.
    pub fn limits(&self) -> Option<&Limits> {
        let limits = self.extras.as_ref().map(|extras| &extras.limits);
        limits.filter(|limits| !limits.is_empty())
    }

    /// The token that it took the place of.
    pub fn predecessor_id(&self) -> Option<&TokenId> {
        self.extras.as_ref()?.predecessor_id.as_ref()
    }

    /// How it was rotated, if it was.
    pub fn rotated(&self) -> Option<&Rotated> {
        self.extras.as_ref()?.rotated.as_ref()
    }

    /// Its scopes; empty where there is no limit to them.
    pub fn scopes(&self) -> &[Scope] {
        self.limits().map_or(&[], |limits| &limits.scopes)
    }

    /// The networks that it is limited to; empty where it is not.
    pub fn allowed_cidrs(&self) -> &[Cidr] {
        self.limits().map_or(&[], |limits| &limits.allowed_cidrs)
    }

    /// Whether its scopes cover the action.
    pub fn covers(&self, action: &Action) -> bool {
        let scopes = self.scopes();
        scopes.is_empty() || scopes.iter().any(|scope| scope.covers(action))
    }

    /// Whether it may be used from this address. From one that nobody told only where it may be used from any.
    pub fn admits(&self, client_ip: Option<ClientIp>) -> bool {
        let networks = self.allowed_cidrs();
        let is_in_one = |ip| networks.iter().any(|network| network.contains(ip));
        networks.is_empty() || client_ip.is_some_and(is_in_one)
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

    /// Whether presenting it at `now` is worth a record: it was rotated, its overlap is over, and nobody was told so far
    /// that it is still around.
    pub fn is_unrecorded_reuse(&self, now: Timestamp) -> bool {
        let is_over = self.expires_at.is_some_and(|at| at <= now);
        is_over
            && self
                .rotated()
                .is_some_and(|rotated| !rotated.is_reuse_recorded)
    }
}
