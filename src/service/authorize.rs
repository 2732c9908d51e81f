//! Decisions.

use std::time::Duration;

use tokio::time::Instant;

use super::{Rules, Service};
use crate::{
    domain::{
        decide::{
            Ask, BatchMode, Bearer, Circumstances, Decision, DenyReason, Presented, decide,
            decide_batch, permissions,
        },
        error::Error,
        explain::{Explanation, explain},
        ids::{CallerName, Revision, RevisionName},
        policy::{Policy, Reach},
        secret::Secret,
        time::Timestamp,
    },
    view::{Era, Lookup, Seen},
};

/// Who presented what to whom.
pub struct Presentation<'a> {
    /// What was presented.
    pub token: &'a str,
    /// The service that it was presented to, which asks.
    pub caller: &'a CallerName,
    /// A change that must have been seen.
    pub min_revision: Option<RevisionName>,
    /// When the call began, whose deadline counts from then on.
    pub began: Instant,
}

impl Presentation<'_> {
    fn lookup<'a>(&'a self, era: Era, rules: &'a Rules, secret: &'a Secret) -> Lookup<'a> {
        Lookup {
            secret,
            ring: &rules.ring,
            caller: self.caller,
            min_revision: self.min_revision,
            began: self.began,
            era,
        }
    }
}

/// A decision with what its caller may know.
pub struct Verdict {
    /// Allow or deny.
    pub decision: Decision,
    /// Whose token it is. Its caller may only know where [`Self::principal`] tells.
    pub bearer: Option<Bearer>,
    /// The state it was decided from. None for a malformed token, for which nothing is read.
    pub revision: Option<Revision>,
    /// How long from now the same answer holds for the same question. None for a malformed token.
    pub reusable_for: Option<Duration>,
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
    /// Whose token it is. Its caller may only know where [`Self::principal`] tells.
    pub bearer: Option<Bearer>,
    /// The state they were decided from.
    pub revision: Option<Revision>,
    /// How long from now the same answer holds for the same question. None for a malformed token.
    pub reusable_for: Option<Duration>,
}

/// What a bearer may do.
pub struct Permissions {
    /// Every action with its reach, or why the token is no good.
    pub permissions: Result<Vec<(String, Reach)>, DenyReason>,
    /// Whose token it is. Its caller may only know where [`Self::principal`] tells.
    pub bearer: Option<Bearer>,
    /// The state it was read from. None for a malformed token.
    pub revision: Option<Revision>,
}

impl Verdict {
    /// Whose token it is, if it is known to be good.
    pub fn principal(&self) -> Option<&Bearer> {
        let bearer = self.bearer.as_ref();
        bearer.filter(|_| reveals_principal(self.decision))
    }
}

impl BatchVerdict {
    /// Whose token it is, if it is known to be good.
    pub fn principal(&self) -> Option<&Bearer> {
        let bearer = self.bearer.as_ref();
        // Whether the token is good is the same for all of them.
        bearer.filter(|_| {
            self.decisions
                .iter()
                .flatten()
                .copied()
                .all(reveals_principal)
        })
    }
}

impl Permissions {
    /// Whose token it is, if it is known to be good.
    pub fn principal(&self) -> Option<&Bearer> {
        let reason = self.permissions.as_ref().err();
        let bearer = self.bearer.as_ref();
        bearer.filter(|_| reason.is_none_or(|reason| reason.reveals_principal()))
    }
}

fn reveals_principal(decision: Decision) -> bool {
    match decision {
        Decision::Allow(_) => true,
        Decision::Deny(reason) => reason.reveals_principal(),
    }
}

impl Service {
    /// Decides whether the bearer of what was presented may do what is asked.
    pub async fn authorize(
        &self,
        presentation: &Presentation<'_>,
        ask: &Ask,
        with_explanation: bool,
    ) -> Result<Verdict, Error> {
        let (era, rules) = self.rules_of_era();
        let decide = |presented: &Presented, now| (decide(&rules.policy, presented, ask, now), now);
        let decided = self
            .answer_from_view((era, &rules), presentation, decide)
            .await?;
        Ok(self.verdict(
            decided,
            (&rules.policy, ask),
            presentation.caller,
            with_explanation,
        ))
    }

    /// The same from what memory knows by now, or None: then it has to be waited for.
    pub fn authorize_at_once(
        &self,
        presentation: &Presentation<'_>,
        ask: &Ask,
        with_explanation: bool,
    ) -> Option<Verdict> {
        let (era, rules) = self.rules_of_era_for_now();
        let decide = |presented: &Presented, now| (decide(&rules.policy, presented, ask, now), now);
        let decided = self.answer_at_once((era, &rules), presentation, &decide)?;
        Some(self.verdict(
            decided,
            (&rules.policy, ask),
            presentation.caller,
            with_explanation,
        ))
    }

    fn verdict(
        &self,
        ((decision, at), basis): ((Decision, Timestamp), Option<Basis>),
        (policy, ask): (&Policy, &Ask),
        caller: &CallerName,
        with_explanation: bool,
    ) -> Verdict {
        let seen = self.take(basis, caller);
        if let (Decision::Allow(_), Some(bearer)) = (decision, &seen.bearer) {
            self.0.uses.mark(bearer, at);
        }
        let mut verdict = Verdict {
            decision,
            bearer: seen.bearer,
            revision: seen.revision,
            reusable_for: seen.reusable_for,
            explanation: None,
        };
        if with_explanation && let Some(bearer) = verdict.principal() {
            verdict.explanation = Some(Explained {
                explanation: explain(policy, &bearer.member, ask, decision),
                policy_hash: policy.hash().to_owned(),
            });
        }
        verdict
    }

    /// Decides many things for one bearer, all from one state.
    pub async fn batch_authorize(
        &self,
        presentation: Presentation<'_>,
        asks: &[Ask],
        mode: BatchMode,
    ) -> Result<BatchVerdict, Error> {
        let (era, rules) = self.rules_of_era();
        let decide = |presented: &Presented, now| {
            let decisions = decide_batch(&rules.policy, presented, asks, mode, now);
            (decisions, now)
        };
        let ((decisions, at), basis) = self
            .answer_from_view((era, &rules), &presentation, decide)
            .await?;
        let seen = self.take(basis, presentation.caller);
        let is_allowed = |decision: &Decision| matches!(decision, Decision::Allow(_));
        if let Some(bearer) = &seen.bearer
            && decisions.iter().flatten().any(is_allowed)
        {
            self.0.uses.mark(bearer, at);
        }
        Ok(BatchVerdict {
            decisions,
            bearer: seen.bearer,
            revision: seen.revision,
            reusable_for: seen.reusable_for,
        })
    }

    /// Tells everything that the bearer of what was presented may do.
    pub async fn list_permissions(
        &self,
        presentation: Presentation<'_>,
        circumstances: &Circumstances,
    ) -> Result<Permissions, Error> {
        let (era, rules) = self.rules_of_era();
        let list = |presented: &Presented, now| {
            let found = permissions(&rules.policy, presented, circumstances, now)?;
            let owned = |(action, reach): (&str, Reach)| (action.to_owned(), reach);
            Ok(found.into_iter().map(owned).collect())
        };
        let (permissions, basis): (Result<Vec<_>, _>, _) = self
            .answer_from_view((era, &rules), &presentation, list)
            .await?;
        let seen = self.take(basis, presentation.caller);
        Ok(Permissions {
            permissions,
            bearer: seen.bearer,
            revision: seen.revision,
        })
    }

    /// Answers from what memory knows by now, if it knows enough. A malformed token is not looked up at all.
    fn answer_at_once<T>(
        &self,
        (era, rules): (Era, &Rules),
        presentation: &Presentation<'_>,
        answer: &impl Fn(&Presented, Timestamp) -> T,
    ) -> Option<(T, Option<Basis>)> {
        let Some(secret) = rules.format.parse(presentation.token) else {
            return Some((answer(&Presented::Malformed, self.0.clock.now()), None));
        };
        let seen = self
            .0
            .view
            .recall(&presentation.lookup(era, rules, &secret))?;
        self.answer_of(seen, answer)
    }

    /// The same, and waits for what memory lacks.
    async fn answer_from_view<T>(
        &self,
        (era, rules): (Era, &Rules),
        presentation: &Presentation<'_>,
        answer: impl Fn(&Presented, Timestamp) -> T,
    ) -> Result<(T, Option<Basis>), Error> {
        let Some(secret) = rules.format.parse(presentation.token) else {
            return Ok((answer(&Presented::Malformed, self.0.clock.now()), None));
        };
        let lookup = presentation.lookup(era, rules, &secret);
        loop {
            let seen = match self.0.view.recall(&lookup) {
                Some(seen) => seen,
                None => Box::pin(self.0.view.look_up(&lookup)).await?,
            };
            if let Some(answered) = self.answer_of(seen, &answer) {
                return Ok(answered);
            }
        }
    }

    /// The clocks are read last: an expiry that passed meanwhile counts, and so does the age of the view. None: it is too old.
    fn answer_of<T>(
        &self,
        seen: Seen,
        answer: &impl Fn(&Presented, Timestamp) -> T,
    ) -> Option<(T, Option<Basis>)> {
        let now = self.0.clock.now();
        let answered = answer(&seen.presented, now);
        let reusable_for = self.0.view.reusable_for(&seen, now)?;
        let until_expiry = match &seen.presented {
            Presented::Known(bearer) => bearer.token.ends_at(&bearer.workspace),
            Presented::Unknown | Presented::Malformed => None,
        };
        let until_expiry = until_expiry.map(|at| {
            let millis = at.0.saturating_sub(now.0);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        });
        let basis = Basis {
            seen,
            reusable_for: until_expiry.map_or(reusable_for, |left| left.min(reusable_for)),
        };
        Some((answered, Some(basis)))
    }

    /// What the caller may know of what was seen.
    fn take(&self, basis: Option<Basis>, caller: &CallerName) -> Told {
        let Some(Basis { seen, reusable_for }) = basis else {
            return Told::default();
        };
        self.notice_reuse(&seen.presented, caller);
        Told {
            bearer: match seen.presented {
                Presented::Known(bearer) => Some(bearer),
                Presented::Unknown | Presented::Malformed => None,
            },
            revision: Some(seen.revision),
            reusable_for: Some(reusable_for),
        }
    }
}

/// What was decided from, and for how long the answer may be used.
struct Basis {
    seen: Seen,
    reusable_for: Duration,
}

/// What was seen, and for how long it may be relied on.
#[derive(Default)]
struct Told {
    bearer: Option<Bearer>,
    revision: Option<Revision>,
    reusable_for: Option<Duration>,
}
