//! What can be asked of the service, and what it may answer, in a form in which the service and the model can be compared:
//! members, tokens and requests have numbers here, and no secret is in it.

use countersign::pb::{
    BatchMode, DenyReason, MemberState, Outcome, Reach, TokenState, WorkspaceState,
};
use tonic::Code;

/// Milliseconds.
pub(super) type Millis = i64;

pub(super) const SECOND: Millis = 1000;
pub(super) const DAY: Millis = 24 * 60 * 60 * SECOND;

/// A member: the number of the workspace, and its own in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) workspace: usize,
    pub(super) member: usize,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// Acts for itself, and may name an actor.
    Platform,
    /// Acts for members, and must.
    Dashboard,
}

/// On whose behalf something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct By {
    pub(super) caller: Caller,
    pub(super) actor: Option<Key>,
}

pub(super) const PLATFORM: By = By {
    caller: Caller::Platform,
    actor: None,
};

/// When a token is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    Unset,
    At(Millis),
    Ttl(Millis),
    Never,
}

/// What a workspace asks of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Policy {
    pub(super) require_expiry: bool,
    pub(super) max_lifetime: Option<Millis>,
    pub(super) default_lifetime: Option<Millis>,
    /// 0: as many as everywhere.
    pub(super) max_live_tokens: i32,
}

/// A part of a policy that can be set by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    RequireExpiry,
    MaxLifetime,
    DefaultLifetime,
    MaxLiveTokens,
}

pub(super) const PARTS: [Part; 4] = [
    Part::RequireExpiry,
    Part::MaxLifetime,
    Part::DefaultLifetime,
    Part::MaxLiveTokens,
];

/// What a bearer presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// That of the token with this number.
    Of(usize),
    /// Well formed, and never issued.
    Unknown,
    Malformed,
}

/// Which token is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The id of the token with this number.
    Id(usize),
    /// An id that no token has.
    UnknownId,
    Secret(Secret),
}

/// The circumstances of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Context {
    pub(super) client_ip: &'static str,
    /// The number of a member.
    pub(super) on_behalf_of: Option<usize>,
}

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Bearer,
    Collection,
    /// The member with this number.
    Member(usize),
}

/// One thing to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) action: &'static str,
    /// None: the token's own.
    pub(super) workspace: Option<usize>,
    pub(super) owner: Owner,
}

/// What a token is asked to be, or asked to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) member: Key,
    /// As it is sent.
    pub(super) name: String,
    pub(super) expiry: Expiry,
    pub(super) scopes: &'static [&'static str],
    pub(super) networks: &'static [&'static str],
}

/// A change of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) workspace: usize,
    pub(super) name: Option<String>,
    pub(super) state: Option<WorkspaceState>,
    pub(super) policy: Policy,
    /// What of the policy is to be set; all of it: by its own name.
    pub(super) parts: Vec<Part>,
    pub(super) validate_only: bool,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The clock is set.
    Time(Millis),
    Issue(By, Issue, Option<usize>),
    Rotate(By, Rotate, Option<usize>),
    /// With the reason.
    Revoke(By, Target, &'static str, Option<usize>),
    /// All of a workspace, or of a member of it.
    RevokeAll(By, usize, Option<usize>, &'static str),
    /// With the source.
    RevokeLeaked(Caller, Vec<Secret>, &'static str),
    PutMember(Key, &'static str),
    SetRole(Key, &'static str),
    SetState(Key, MemberState),
    Remove(Key),
    CreateWorkspace(usize, String),
    UpdateWorkspace(Update),
    DeleteWorkspace(usize),
    Authorize(Secret, Ask, Context),
    Batch(Secret, Vec<Ask>, BatchMode, Context),
    Permissions(Secret, Context),
    GetToken(By, Target),
    ListTokens(By, List),
    GetMember(Key),
    GetWorkspace(usize),
}

/// Which token is to be rotated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotate {
    /// None: an id that no token has.
    pub(super) token: Option<usize>,
    pub(super) expiry: Expiry,
    pub(super) overlap: Millis,
}

/// Which tokens are to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) workspace: usize,
    pub(super) member: Option<usize>,
    pub(super) states: Vec<TokenState>,
    pub(super) expires_before: Option<Millis>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused(Code, String),
    Issued(Made),
    /// With the predecessor.
    Rotated(Made, Box<Told>),
    /// Whether it was replayed.
    Revoked(Option<Told>, bool),
    Member(Member),
    Workspace(Workspace),
    /// With how many live tokens would end.
    Validated(Workspace, i64),
    Decided(Vec<Decision>, Option<Principal>),
    Permitted(DenyReason, Option<Principal>, Vec<(String, Reach)>),
    Token(Option<Told>),
    /// By number.
    Tokens(Vec<Told>),
}

/// A token that came to be, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) token: Told,
    pub(super) has_secret: bool,
    pub(super) is_replayed: bool,
    pub(super) warns_of_no_expiry: bool,
}

/// A token as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) number: usize,
    pub(super) member: Key,
    pub(super) name: String,
    pub(super) state: TokenState,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
    pub(super) end: Option<End>,
    pub(super) scopes: Vec<String>,
    pub(super) networks: Vec<String>,
    pub(super) predecessor: Option<usize>,
}

/// How a token was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: Millis,
    pub(super) by: By,
    pub(super) reason: String,
}

/// A member as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: Key,
    pub(super) role: String,
    pub(super) state: MemberState,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
}

/// A workspace as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workspace {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) state: WorkspaceState,
    pub(super) policy: Policy,
    pub(super) created_at: Millis,
    pub(super) updated_at: Millis,
}

/// What was decided of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) outcome: Outcome,
    pub(super) reason: DenyReason,
    pub(super) reach: Reach,
}

/// Whose token was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) key: Key,
    pub(super) role: String,
    pub(super) token: usize,
    pub(super) token_name: String,
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: Option<Millis>,
}
