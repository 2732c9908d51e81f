//! Events: one per change, in the order in which changes took effect.

use serde::{Deserialize, Serialize};

use super::{
    error::{Problem, ProblemReason},
    ids::{MemberId, Revision, TokenId, WorkspaceId},
    time::{Timestamp, millis},
    token::Token,
    token_policy::TokenPolicy,
};

/// A change about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The workspace it is about.
    pub workspace_id: String,
    /// The member it is about, if any.
    pub member_id: Option<String>,
    /// The token it is about, if any.
    pub token_id: Option<String>,
    /// What happened.
    pub details: Details,
}

/// What a change is about, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The workspace; empty for the first event of a feed.
    pub workspace_id: String,
    /// The member, if any.
    pub member_id: Option<String>,
    /// The token, if any.
    pub token_id: Option<String>,
}

impl Subject {
    /// The same as ids, those that there are. None where one is ill formed.
    pub fn parsed(&self) -> Option<(Option<WorkspaceId>, Option<MemberId>, Option<TokenId>)> {
        fn each<T>(
            text: Option<&str>,
            parse: impl FnOnce(&str) -> Result<T, Problem>,
        ) -> Option<Option<T>> {
            text.map(parse).transpose().ok()
        }
        let workspace_id = Some(self.workspace_id.as_str()).filter(|id| !id.is_empty());
        Some((
            each(workspace_id, WorkspaceId::parse)?,
            each(self.member_id.as_deref(), MemberId::parse)?,
            each(self.token_id.as_deref(), TokenId::parse)?,
        ))
    }
}

impl NewEvent {
    /// An event of one token.
    pub fn of_token(token: &Token, details: Details) -> Self {
        Self {
            workspace_id: token.member.workspace_id.to_string(),
            member_id: Some(token.member.member_id.to_string()),
            token_id: Some(token.token_id.to_string()),
            details,
        }
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        Subject {
            workspace_id: self.workspace_id.clone(),
            member_id: self.member_id.clone(),
            token_id: self.token_id.clone(),
        }
    }
}

/// A recorded change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its position and id.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// The internal service that asked for it; empty for the service itself.
    pub caller: String,
    /// The workspace and member it was asked for, if any.
    pub actor: Option<(String, String)>,
    /// The workspace it is about; empty for the first event of a feed.
    pub workspace_id: String,
    /// The member it is about, if any.
    pub member_id: Option<String>,
    /// The token it is about, if any.
    pub token_id: Option<String>,
    /// What happened. None for a kind that this version does not know.
    pub details: Option<Details>,
}

/// The oldest event that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailStart {
    /// Its position.
    pub revision: Revision,
    /// When it happened.
    pub at: Timestamp,
}

impl TrailStart {
    /// Whether no event was ever dropped.
    pub fn is_first(&self) -> bool {
        self.revision.number == 0
    }
}

/// A token policy as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPolicyRecord {
    /// Whether a token must have an expiry.
    pub require_expiry: bool,
    /// The longest lifetime, in milliseconds.
    pub max_lifetime: Option<i64>,
    /// The lifetime of a token issued without one, in milliseconds.
    pub default_lifetime: Option<i64>,
    /// How many live tokens a member may have, if it is not the number that holds everywhere.
    pub max_live_tokens: Option<u32>,
    /// How long a token may go unused, in milliseconds. Events from before this could be asked have neither this nor the next.
    #[serde(default)]
    pub idle_limit: Option<i64>,
    /// Whether reuse of a rotated token revokes its family.
    #[serde(default)]
    pub revoke_family_on_reuse: bool,
}

impl From<&TokenPolicy> for TokenPolicyRecord {
    fn from(policy: &TokenPolicy) -> Self {
        Self {
            require_expiry: policy.require_expiry,
            max_lifetime: policy.max_lifetime.map(millis),
            default_lifetime: policy.default_lifetime.map(millis),
            max_live_tokens: policy.max_live_tokens,
            idle_limit: policy.idle_limit.map(millis),
            revoke_family_on_reuse: policy.revoke_family_on_reuse,
        }
    }
}

/// A kind of event, by the name that it is stored under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKind(&'static str);

impl EventKind {
    /// Every kind, as [`Details`] has them.
    const ALL: [&'static str; 15] = [
        "FEED_STARTED",
        "WORKSPACE_CREATED",
        "WORKSPACE_UPDATED",
        "WORKSPACE_DELETED",
        "MEMBER_ADDED",
        "MEMBER_ROLE_CHANGED",
        "MEMBER_STATE_CHANGED",
        "MEMBER_REMOVED",
        "TOKEN_ISSUED",
        "TOKEN_REVOKED",
        "TOKENS_REVOKED",
        "TOKEN_ROTATED",
        "TOKEN_REUSED",
        "TOKEN_EXPIRING",
        "TOKEN_EXPIRED",
    ];

    /// Takes the name of a kind in lower case, such as `token_issued`.
    pub fn parse(name: &str) -> Result<Self, Problem> {
        let is_it = |kind: &&str| kind.to_lowercase() == name;
        let found = Self::ALL.into_iter().find(is_it);
        found.map(Self).ok_or_else(|| {
            Problem::new(
                ProblemReason::Malformed,
                "must be the name of a kind of event, such as `token_issued`",
            )
        })
    }

    /// The name that it is stored under.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// What happened, by kind. Stored as its kind and a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Details {
    /// The feed began.
    FeedStarted {},
    /// A workspace was created, or started anew.
    WorkspaceCreated {
        /// Its name.
        name: String,
        /// Whether it had been deleted before.
        recreated: bool,
    },
    /// A workspace's name or state changed.
    WorkspaceUpdated {
        /// The new name, if it changed.
        name: Option<String>,
        /// The new state, if it changed.
        state: Option<String>,
        /// The new token policy, if it changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_policy: Option<TokenPolicyRecord>,
    },
    /// A workspace was deleted, its members with it.
    WorkspaceDeleted {},
    /// A member was created, or returned after removal.
    MemberAdded {
        /// Its role.
        role: String,
        /// Whether it had been removed before.
        returned: bool,
    },
    /// A member's role changed.
    MemberRoleChanged {
        /// The role before.
        from_role: String,
        /// The role now.
        to_role: String,
    },
    /// A member was suspended or reactivated.
    MemberStateChanged {
        /// The state now.
        state: String,
    },
    /// A member was removed.
    MemberRemoved {},
    /// A token was issued.
    TokenIssued {
        /// Its name.
        name: String,
        /// When it expires, in milliseconds since the epoch.
        expires_at: Option<i64>,
        /// Its scopes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// The networks that it is limited to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        allowed_cidrs: Vec<String>,
        /// The token that it took the place of, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predecessor_id: Option<String>,
    },
    /// A token was rotated: another took its place.
    TokenRotated {
        /// The one that did.
        successor_id: String,
        /// When it expires itself from now on, in milliseconds since the epoch.
        expires_at: i64,
    },
    /// A token was presented after it was rotated and its overlap was over. Told once of each token.
    TokenReused {
        /// The one that took its place.
        successor_id: String,
    },
    /// A token expires before long. Told once of each time ahead.
    TokenExpiring {
        /// Its name.
        name: String,
        /// When it expires, in milliseconds since the epoch.
        expires_at: i64,
        /// Within how many days: how many ahead this is told.
        days: u32,
    },
    /// A token expired.
    TokenExpired {
        /// Its name.
        name: String,
        /// When, in milliseconds since the epoch.
        expires_at: i64,
    },
    /// A token was revoked.
    TokenRevoked {
        /// Why, as given.
        reason: String,
        /// Whether it was named by its secret.
        by_secret: bool,
        /// Where its secret was found, for one that was reported as leaked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leak_source: Option<String>,
    },
    /// All tokens of a member or of a workspace were revoked.
    TokensRevoked {
        /// Why, as given.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_interface() {
        let proto = include_str!("../../proto/countersign/v1/event_service.proto");
        let (_, rest) = proto.split_once("oneof details {").unwrap_or_default();
        let (details, _) = rest.split_once("\n  }").unwrap_or_default();
        let field = |line: &str| Some(line.split_once(" = ")?.0.split(' ').next_back()?.to_owned());
        let lines = details.lines().filter(|line| !line.contains("//"));
        let names: Vec<String> = lines.filter_map(field).collect();
        assert_eq!(names, EventKind::ALL.map(str::to_lowercase));
        for name in names {
            let kind = EventKind::parse(&name).map(EventKind::as_str);
            assert_eq!(kind, Ok(name.to_uppercase().as_str()));
        }
        for bad in ["", "TOKEN_ISSUED", "token issued", "details"] {
            assert!(EventKind::parse(bad).is_err(), "{bad}");
        }
    }
}
