//! Decisions.

use super::Service;
use crate::domain::{
    decide::{Ask, Bearer, Decision, Presented, decide},
    error::Error,
    ids::{MemberKey, Revision, RoleName, TokenId},
    time::Timestamp,
};

/// Whose token was presented.
pub struct Principal {
    /// The member.
    pub member: MemberKey,
    /// Its role now.
    pub role: RoleName,
    /// The token.
    pub token_id: TokenId,
    /// The token's name.
    pub token_name: String,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// A decision with what its caller may know.
pub struct Verdict {
    /// Allow or deny.
    pub decision: Decision,
    /// Whose token it is, once it is known to be good.
    pub principal: Option<Principal>,
    /// The state it was decided from. None for a malformed token, for which nothing is read.
    pub revision: Option<Revision>,
}

impl Service {
    /// Decides whether the bearer of what was presented may do what is asked.
    pub async fn authorize(&self, presented: &str, ask: &Ask) -> Result<Verdict, Error> {
        let parts = &*self.0;
        let (presented, revision) = match parts.format.parse(presented) {
            None => (Presented::Malformed, None),
            Some(secret) => {
                let digests = parts.ring.digests(&secret);
                let found = parts.store.read().find_presented(&digests).await?;
                (found.presented, Some(found.revision))
            }
        };
        // The clock is read last: an expiry that passed while the rows were read counts.
        let decision = decide(&parts.policy, &presented, ask, parts.clock.now());
        let is_known_good = match decision {
            Decision::Allow(_) => true,
            Decision::Deny(reason) => reason.reveals_principal(),
        };
        let principal = match presented {
            Presented::Known(bearer) if is_known_good => Some((*bearer).into()),
            _ => None,
        };
        Ok(Verdict {
            decision,
            principal,
            revision,
        })
    }
}

impl From<Bearer> for Principal {
    fn from(bearer: Bearer) -> Self {
        Self {
            member: bearer.token.member,
            role: bearer.member.role,
            token_id: bearer.token.token_id,
            token_name: bearer.token.name,
            expires_at: bearer.token.expires_at,
        }
    }
}
