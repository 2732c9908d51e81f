//! Decisions.

use std::cmp::Ordering;

use super::{Rules, Service};
use crate::domain::{
    decide::{
        Ask, BatchMode, Bearer, Decision, DenyReason, Presented, decide, decide_batch, permissions,
    },
    error::Error,
    explain::{Explanation, explain},
    ids::{MemberKey, Revision, RevisionName, RoleName, TokenId},
    policy::Reach,
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
    /// How it came about, if that was asked for and the principal may be known.
    pub explanation: Option<Explained>,
}

/// How a decision came about, and under which policy.
pub struct Explained {
    /// The rule and its reach.
    pub explanation: Explanation,
    /// The policy.
    pub policy_hash: String,
}

/// The decisions of a batch.
pub struct BatchVerdict {
    /// One for each ask; None where the mode stopped before.
    pub decisions: Vec<Option<Decision>>,
    /// Whose token it is, once it is known to be good.
    pub principal: Option<Principal>,
    /// The state they were decided from.
    pub revision: Option<Revision>,
}

/// What a bearer may do.
pub struct Permissions {
    /// Every action with its reach, or why the token is no good.
    pub permissions: Result<Vec<(String, Reach)>, DenyReason>,
    /// Whose token it is, once it is known to be good.
    pub principal: Option<Principal>,
    /// The state it was read from. None for a malformed token.
    pub revision: Option<Revision>,
}

impl Service {
    /// Decides whether the bearer of what was presented may do what is asked.
    pub async fn authorize(
        &self,
        presented: &str,
        ask: &Ask,
        min_revision: Option<RevisionName>,
        with_explanation: bool,
    ) -> Result<Verdict, Error> {
        let rules = self.rules();
        let policy = &rules.policy;
        let (presented, revision) = self.look_up(&rules, presented, min_revision).await?;
        // The clock is read last: an expiry that passed while the rows were read counts.
        let decision = decide(policy, &presented, ask, self.0.clock.now());
        let reason = match decision {
            Decision::Allow(_) => None,
            Decision::Deny(reason) => Some(reason),
        };
        let bearer = known_good(presented, reason);
        let explanation = match &bearer {
            Some(bearer) if with_explanation => Some(Explained {
                explanation: explain(policy, &bearer.member, ask, decision),
                policy_hash: policy.hash().to_owned(),
            }),
            _ => None,
        };
        Ok(Verdict {
            decision,
            principal: bearer.map(Into::into),
            revision,
            explanation,
        })
    }

    /// Decides many things for one bearer, all from one state.
    pub async fn batch_authorize(
        &self,
        presented: &str,
        asks: &[Ask],
        mode: BatchMode,
        min_revision: Option<RevisionName>,
    ) -> Result<BatchVerdict, Error> {
        let rules = self.rules();
        let (presented, revision) = self.look_up(&rules, presented, min_revision).await?;
        let decisions = decide_batch(&rules.policy, &presented, asks, mode, self.0.clock.now());
        // Whether the token is good is the same for all of them.
        let reason = decisions
            .iter()
            .flatten()
            .find_map(|decision| match decision {
                Decision::Deny(reason) if !reason.reveals_principal() => Some(*reason),
                Decision::Deny(_) | Decision::Allow(_) => None,
            });
        Ok(BatchVerdict {
            decisions,
            principal: known_good(presented, reason).map(Into::into),
            revision,
        })
    }

    /// Tells everything that the bearer of what was presented may do.
    pub async fn list_permissions(
        &self,
        presented: &str,
        on_behalf_of: &str,
        min_revision: Option<RevisionName>,
    ) -> Result<Permissions, Error> {
        let rules = self.rules();
        let policy = &rules.policy;
        let (presented, revision) = self.look_up(&rules, presented, min_revision).await?;
        let found = permissions(policy, &presented, on_behalf_of, self.0.clock.now());
        let principal = known_good(presented, found.as_ref().err().copied()).map(Into::into);
        Ok(Permissions {
            permissions: found.map(|found| {
                let owned = |(action, reach): (&str, Reach)| (action.to_owned(), reach);
                found.into_iter().map(owned).collect()
            }),
            principal,
            revision,
        })
    }

    /// What a presentation comes to, with the position it was read at. A malformed one is not looked up at all.
    async fn look_up(
        &self,
        rules: &Rules,
        presented: &str,
        min_revision: Option<RevisionName>,
    ) -> Result<(Presented, Option<Revision>), Error> {
        let Some(secret) = rules.format.parse(presented) else {
            return Ok((Presented::Malformed, None));
        };
        let digests = rules.ring.digests(&secret);
        let session = self.0.store.read();
        let found = session.find_presented(&digests).await?;
        if let Some(name) = min_revision {
            // What was read is as new as can be, so a change that it lacks is none of this feed's. It is not looked for: one
            // made by now would be found, and be none that was decided from.
            let known = match name.number.cmp(&found.revision.number) {
                Ordering::Less => session.find_revision(name.number).await?,
                Ordering::Equal => Some(found.revision),
                Ordering::Greater => None,
            };
            if !known.is_some_and(|revision| name.names(&revision)) {
                return Err(Error::RevisionUnknown {
                    revision: name.to_string(),
                });
            }
        }
        Ok((found.presented, Some(found.revision)))
    }
}

/// The bearer, unless the token itself is no good.
fn known_good(presented: Presented, reason: Option<DenyReason>) -> Option<Bearer> {
    match presented {
        Presented::Known(bearer) if reason.is_none_or(DenyReason::reveals_principal) => {
            Some(*bearer)
        }
        _ => None,
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
