//! What the sentences of errors are about, for programs: they need not read the sentence.

use super::Error;

impl Error {
    /// Every variable of the sentence, by name.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Invalid(violations) => violations.first().map_or_else(Vec::new, |violation| {
                let mut metadata = vec![("field", violation.field.clone())];
                metadata.extend(violation.problem.metadata.iter().cloned());
                metadata
            }),
            Self::WorkspaceNotFound { workspace_id }
            | Self::WorkspaceExists { workspace_id }
            | Self::WorkspaceSuspended { workspace_id }
            | Self::WorkspaceDeleted { workspace_id } => {
                vec![("workspace_id", workspace_id.clone())]
            }
            Self::MemberNotFound {
                workspace_id,
                member_id,
            } => vec![
                ("workspace_id", workspace_id.clone()),
                ("member_id", member_id.clone()),
            ],
            Self::TokenNotFound { token_id } | Self::TokenNotLive { token_id, .. } => {
                vec![("token_id", token_id.clone())]
            }
            Self::TokenRotated {
                token_id,
                successor_id,
            } => vec![
                ("token_id", token_id.clone()),
                ("successor_id", successor_id.clone()),
            ],
            Self::RequestIdReused { request_id } => vec![("request_id", request_id.clone())],
            Self::TokenNameTaken { name } => vec![("name", name.clone())],
            Self::TokenLimitReached { limit } => vec![("limit", limit.to_string())],
            Self::MemberSuspended { member_id } | Self::MemberRemoved { member_id } => {
                vec![("member_id", member_id.clone())]
            }
            Self::RevisionUnknown { revision } | Self::WatcherTooSlow { revision } => {
                vec![("revision", revision.clone())]
            }
            Self::RevisionDropped {
                revision,
                oldest_revision,
            } => vec![
                ("revision", revision.clone()),
                ("oldest_revision", oldest_revision.clone()),
            ],
            Self::EtagMismatch { etag } => vec![("etag", etag.clone())],
            Self::ActorNotPermitted { actor_id } => vec![("actor_id", actor_id.clone())],
            Self::GrantMissing { caller, grant } => {
                vec![("caller", caller.clone()), ("grant", grant.clone())]
            }
            Self::TooManyRequests { per_second, .. } => {
                vec![("per_second", per_second.to_string())]
            }
            Self::Overloaded { limit }
            | Self::TooManyWatchers { limit }
            | Self::MessageTooLarge { limit } => {
                vec![("limit", limit.to_string())]
            }
            Self::LifetimeTooLong { limit } => vec![("limit", format!("{limit:?}"))],
            Self::DeadlineExceeded { deadline } => vec![("deadline", format!("{deadline:?}"))],
            Self::ExpiryRequired
            | Self::CredentialMissing
            | Self::CredentialInvalid
            | Self::CredentialAmbiguous
            | Self::MessageMalformed
            | Self::EncodingNotSupported
            | Self::MethodUnknown
            | Self::IdentityUnavailable
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::NewerRulesNeeded => Vec::new(),
        }
    }
}
