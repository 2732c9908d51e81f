//! The closed set of things that can be wrong with a request, each with its code, stable reason, sentence and metadata.
//!
//! Nothing here names a transport or a database: `grpc::status` maps codes to the wire, and internal causes are logged
//! where they arise and never become part of an [`Error`].

mod metadata;
mod problem;

use std::time::Duration;

pub use problem::{Problem, ProblemReason, Violation};

use super::token::TokenState;

/// How a caller should react: a small subset of the canonical gRPC codes, mapped one to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is wrong in itself.
    InvalidArgument,
    /// What it names does not exist, or not for this actor.
    NotFound,
    /// What it would create exists.
    AlreadyExists,
    /// The caller or the actor may not do this.
    PermissionDenied,
    /// The caller did not show who it is.
    Unauthenticated,
    /// The state of things does not admit it now.
    FailedPrecondition,
    /// The record changed since it was read.
    Aborted,
    /// A rate or a size is exceeded.
    ResourceExhausted,
    /// The field is known and its meaning not built yet.
    Unimplemented,
    /// There was no answer in time.
    DeadlineExceeded,
    /// Cannot be done or decided now.
    Unavailable,
}

/// Why a request was not carried out. Displays as one sentence that is safe to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One or more fields are bad: all of them are named.
    #[error("{}", sentence(.0))]
    Invalid(Vec<Violation>),
    /// No such workspace, or not for this actor.
    #[error("workspace `{workspace_id}` does not exist")]
    WorkspaceNotFound {
        /// As asked for.
        workspace_id: String,
    },
    /// No such member, or not for this actor.
    #[error("member `{member_id}` does not exist in workspace `{workspace_id}`")]
    MemberNotFound {
        /// As asked for.
        workspace_id: String,
        /// As asked for.
        member_id: String,
    },
    /// No such token, or not for this actor.
    #[error("token `{token_id}` does not exist")]
    TokenNotFound {
        /// As asked for.
        token_id: String,
    },
    /// The workspace exists and is not deleted.
    #[error("workspace `{workspace_id}` exists already")]
    WorkspaceExists {
        /// As asked for.
        workspace_id: String,
    },
    /// A live token of the member has this name.
    #[error("a live token of this member is already named `{name}`")]
    TokenNameTaken {
        /// As asked for.
        name: String,
    },
    /// The member has as many live tokens as allowed.
    #[error("the member has {limit} live tokens, which is the limit")]
    TokenLimitReached {
        /// The limit.
        limit: u64,
    },
    /// The workspace wants every token to expire.
    #[error("the workspace requires an expiry of every token")]
    ExpiryRequired,
    /// The workspace does not let a token live so long.
    #[error("the workspace lets a token live for at most {limit:?}")]
    LifetimeTooLong {
        /// How long it may.
        limit: Duration,
    },
    /// The token is dead, so nothing can take its place.
    #[error("token `{token_id}` {}", match .state {
        TokenState::Revoked => "was revoked",
        _ => "has expired",
    })]
    TokenNotLive {
        /// Which.
        token_id: String,
        /// How it died.
        state: TokenState,
    },
    /// Another token took its place already.
    #[error("token `{token_id}` was rotated already: its successor is `{successor_id}`")]
    TokenRotated {
        /// Which.
        token_id: String,
        /// The one that did.
        successor_id: String,
    },
    /// The caller made another request under this id.
    #[error("request id `{request_id}` was used for another request")]
    RequestIdReused {
        /// As sent.
        request_id: String,
    },
    /// The workspace is suspended.
    #[error("workspace `{workspace_id}` is suspended")]
    WorkspaceSuspended {
        /// Which.
        workspace_id: String,
    },
    /// The workspace was deleted.
    #[error("workspace `{workspace_id}` was deleted")]
    WorkspaceDeleted {
        /// Which.
        workspace_id: String,
    },
    /// The member is suspended.
    #[error("member `{member_id}` is suspended")]
    MemberSuspended {
        /// Which.
        member_id: String,
    },
    /// The member was removed.
    #[error("member `{member_id}` was removed")]
    MemberRemoved {
        /// Which.
        member_id: String,
    },
    /// The record changed since its etag was read.
    #[error("the record has changed: its etag is `{etag}`")]
    EtagMismatch {
        /// The record's etag now.
        etag: String,
    },
    /// The actor may see the target and not do this to it.
    #[error("member `{actor_id}` may not do this for another member")]
    ActorNotPermitted {
        /// The actor.
        actor_id: String,
    },
    /// The caller lacks a grant.
    #[error("caller `{caller}` lacks the grant `{grant}`")]
    GrantMissing {
        /// The caller.
        caller: String,
        /// The grant that would do.
        grant: String,
    },
    /// The caller showed no credential.
    #[error(
        "a credential is required: send a service key as `x-countersign-key`, an identity token as `authorization`, or a client certificate that names a caller"
    )]
    CredentialMissing,
    /// The caller's credential is not one that is known here.
    #[error("the credential is not valid")]
    CredentialInvalid,
    /// The caller showed more than one credential.
    #[error("send exactly one credential")]
    CredentialAmbiguous,
    /// The keys of the issuer of the caller's identity token are not to be had.
    #[error("the identity token cannot be verified now: try again")]
    IdentityUnavailable,
    /// Too many requests of a limited kind.
    #[error("too many requests: at most {per_second} in a second")]
    TooManyRequests {
        /// The sustained rate.
        per_second: u32,
        /// When another may be admitted.
        retry_after: Duration,
    },
    /// No change that the database knows has this revision.
    #[error(
        "revision `{revision}` is not known: the database may have been restored to an earlier state"
    )]
    RevisionUnknown {
        /// As asked for.
        revision: String,
    },
    /// The event of this revision is not kept any more.
    #[error(
        "the event of revision `{revision}` was dropped, as all before `{oldest_revision}` were"
    )]
    RevisionDropped {
        /// As asked for.
        revision: String,
        /// The oldest whose event is kept.
        oldest_revision: String,
    },
    /// A watcher of events did not read for too long.
    #[error("the watcher did not keep up: watch again after `{revision}`")]
    WatcherTooSlow {
        /// The last that was sent.
        revision: String,
    },
    /// As many watch as may.
    #[error("too many watchers: at most {limit} on one server")]
    TooManyWatchers {
        /// How many may watch.
        limit: usize,
    },
    /// As many calls are running or waiting as may, or as will be served in time.
    #[error(
        "too many calls at once: at most {limit} run or wait, fewer where the database is slow"
    )]
    Overloaded {
        /// How many may.
        limit: usize,
    },
    /// The call took longer than it may.
    #[error(
        "there was no answer within {deadline:?}: if a change was asked for, read back whether it was made"
    )]
    DeadlineExceeded {
        /// How long it may take.
        deadline: Duration,
    },
    /// The request is larger than is read.
    #[error("the message is too large: at most {limit} bytes are read")]
    MessageTooLarge {
        /// How large it may be, in bytes.
        limit: usize,
    },
    /// The request cannot be decoded.
    #[error("the message is not one of this method")]
    MessageMalformed,
    /// The request is compressed.
    #[error("compressed messages are not supported: send them as they are")]
    EncodingNotSupported,
    /// There is no such method.
    #[error("there is no such method")]
    MethodUnknown,
    /// Cannot be done or decided now. The cause was logged.
    #[error("cannot be done now: try again")]
    Unavailable,
    /// The connection was lost while the change was being committed.
    #[error("the outcome is unknown: the change may or may not have been made, so read it back")]
    OutcomeUnknown,
    /// A stored record needs rules that this version does not know.
    #[error("a stored record needs a newer version of this service")]
    NewerRulesNeeded,
}

impl Error {
    /// The error of a single bad field.
    pub fn field(field: impl Into<String>, problem: Problem) -> Self {
        Self::Invalid(vec![problem.of(field)])
    }

    /// How the caller should react.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::MessageMalformed => Code::InvalidArgument,
            Self::EncodingNotSupported | Self::MethodUnknown => Code::Unimplemented,
            Self::WorkspaceNotFound { .. }
            | Self::MemberNotFound { .. }
            | Self::TokenNotFound { .. } => Code::NotFound,
            Self::WorkspaceExists { .. }
            | Self::TokenNameTaken { .. }
            | Self::RequestIdReused { .. } => Code::AlreadyExists,
            Self::TokenLimitReached { .. }
            | Self::ExpiryRequired
            | Self::LifetimeTooLong { .. }
            | Self::TokenNotLive { .. }
            | Self::TokenRotated { .. }
            | Self::WorkspaceSuspended { .. }
            | Self::WorkspaceDeleted { .. }
            | Self::MemberSuspended { .. }
            | Self::MemberRemoved { .. }
            | Self::RevisionUnknown { .. }
            | Self::RevisionDropped { .. } => Code::FailedPrecondition,
            Self::EtagMismatch { .. } => Code::Aborted,
            Self::ActorNotPermitted { .. } | Self::GrantMissing { .. } => Code::PermissionDenied,
            Self::CredentialMissing | Self::CredentialInvalid | Self::CredentialAmbiguous => {
                Code::Unauthenticated
            }
            Self::TooManyRequests { .. }
            | Self::Overloaded { .. }
            | Self::WatcherTooSlow { .. }
            | Self::TooManyWatchers { .. }
            | Self::MessageTooLarge { .. } => Code::ResourceExhausted,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::IdentityUnavailable
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::NewerRulesNeeded => Code::Unavailable,
        }
    }

    /// The stable machine-readable reason. Of several bad fields, the first one's.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(violations) => violations
                .first()
                .map_or("INVALID", |violation| violation.problem.reason.as_str()),
            Self::WorkspaceNotFound { .. } => "WORKSPACE_NOT_FOUND",
            Self::MemberNotFound { .. } => "MEMBER_NOT_FOUND",
            Self::TokenNotFound { .. } => "TOKEN_NOT_FOUND",
            Self::WorkspaceExists { .. } => "WORKSPACE_EXISTS",
            Self::TokenNameTaken { .. } => "TOKEN_NAME_TAKEN",
            Self::TokenLimitReached { .. } => "TOKEN_LIMIT_REACHED",
            Self::ExpiryRequired => "EXPIRY_REQUIRED",
            Self::LifetimeTooLong { .. } => "LIFETIME_TOO_LONG",
            Self::TokenNotLive { state, .. } => match state {
                TokenState::Revoked => "TOKEN_REVOKED",
                TokenState::Expired | TokenState::Active => "TOKEN_EXPIRED",
            },
            Self::TokenRotated { .. } => "TOKEN_ROTATED",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            Self::WorkspaceSuspended { .. } => "WORKSPACE_SUSPENDED",
            Self::WorkspaceDeleted { .. } => "WORKSPACE_DELETED",
            Self::MemberSuspended { .. } => "MEMBER_SUSPENDED",
            Self::MemberRemoved { .. } => "MEMBER_REMOVED",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::ActorNotPermitted { .. } => "ACTOR_NOT_PERMITTED",
            Self::GrantMissing { .. } => "GRANT_MISSING",
            Self::CredentialMissing => "CREDENTIAL_MISSING",
            Self::CredentialInvalid => "CREDENTIAL_INVALID",
            Self::CredentialAmbiguous => "CREDENTIAL_AMBIGUOUS",
            Self::IdentityUnavailable => "IDENTITY_UNAVAILABLE",
            Self::TooManyRequests { .. } => "TOO_MANY_REQUESTS",
            Self::RevisionUnknown { .. } => "REVISION_UNKNOWN",
            Self::RevisionDropped { .. } => "REVISION_DROPPED",
            Self::WatcherTooSlow { .. } => "WATCHER_TOO_SLOW",
            Self::TooManyWatchers { .. } => "TOO_MANY_WATCHERS",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::DeadlineExceeded { .. } => "DEADLINE_EXCEEDED",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::MessageMalformed => "MESSAGE_MALFORMED",
            Self::EncodingNotSupported => "ENCODING_NOT_SUPPORTED",
            Self::MethodUnknown => "METHOD_UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::NewerRulesNeeded => "NEWER_RULES_NEEDED",
        }
    }

    /// How long to wait before trying again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } => Some(*retry_after),
            Self::Unavailable | Self::Overloaded { .. } => Some(Duration::from_millis(250)),
            Self::IdentityUnavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

fn sentence(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("`{}` {}", violation.field, violation.problem.description))
        .collect::<Vec<_>>()
        .join("; ")
}
