//! What a workspace asks of its members' tokens. It only ever narrows: it ends tokens earlier than they say, and never
//! makes one last longer.

use std::time::Duration;

use super::{
    error::{Error, Problem, ProblemReason},
    time::Timestamp,
    token::{MAX_LIFETIME, MAX_LIVE_TOKENS},
};

/// The most live tokens that a workspace may let its members have.
pub const MAX_LIVE_TOKENS_SETTABLE: u32 = 1000;

/// The shortest time that a token may be let go unused for: uses are on record up to a minute late.
const MIN_IDLE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// When a token is to stop authenticating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At this instant.
    At(Timestamp),
    /// After this time.
    After(Duration),
    /// Never.
    Never,
    /// When the workspace says: after its default lifetime, or never where it has none.
    Default,
}

impl Expiry {
    /// Refuses one that is not ahead, or by more than 100 years.
    pub fn check(self, now: Timestamp) -> Result<(), Problem> {
        let at = match self {
            Self::At(at) => at,
            Self::After(lifetime) => now.plus(lifetime),
            Self::Never | Self::Default => return Ok(()),
        };
        if at <= now {
            return Err(Problem::new(
                ProblemReason::OutOfRange,
                "must be in the future",
            ));
        }
        if at > now.plus(MAX_LIFETIME) {
            let limit = "36500 days";
            let problem = Problem::new(
                ProblemReason::OutOfRange,
                format!("must be at most {limit} ahead"),
            );
            return Err(problem.with("limit", limit));
        }
        Ok(())
    }

    /// The field of a request that it comes in.
    pub fn field(self) -> &'static str {
        match self {
            Self::At(_) => "expires_at",
            Self::After(_) => "ttl",
            Self::Never | Self::Default => "never",
        }
    }
}

/// What a workspace asks of tokens. The default asks nothing beyond what holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenPolicy {
    /// Whether a token must have an expiry.
    pub require_expiry: bool,
    /// The longest lifetime of a token.
    pub max_lifetime: Option<Duration>,
    /// The lifetime of a token issued without one.
    pub default_lifetime: Option<Duration>,
    /// How long a token may go unused.
    pub idle_limit: Option<Duration>,
    /// How many live tokens a member may have, where it is not the number that holds for all.
    pub max_live_tokens: Option<u32>,
    /// Whether a rotated token that is presented when its overlap is over takes its predecessors and successors with it.
    pub revoke_family_on_reuse: bool,
}

impl TokenPolicy {
    /// Refuses what contradicts itself or is out of bounds, with the field that is at fault.
    pub fn check(&self) -> Result<(), (&'static str, Problem)> {
        let longest = |lifetime: Option<Duration>| match lifetime {
            Some(lifetime) if lifetime > MAX_LIFETIME => {
                let limit = "36500 days";
                let problem = Problem::new(
                    ProblemReason::OutOfRange,
                    format!("must be at most {limit}"),
                );
                Err(problem.with("limit", limit))
            }
            _ => Ok(()),
        };
        longest(self.max_lifetime).map_err(|problem| ("max_lifetime", problem))?;
        longest(self.default_lifetime).map_err(|problem| ("default_lifetime", problem))?;
        longest(self.idle_limit).map_err(|problem| ("idle_limit", problem))?;
        if self.idle_limit.is_some_and(|limit| limit < MIN_IDLE_LIMIT) {
            let limit = "1 day";
            let problem = Problem::new(
                ProblemReason::OutOfRange,
                format!("must be at least {limit}"),
            );
            return Err(("idle_limit", problem.with("limit", limit)));
        }
        if let (Some(default), Some(max)) = (self.default_lifetime, self.max_lifetime)
            && default > max
        {
            let problem = Problem::new(
                ProblemReason::Conflict,
                "must be at most `max_lifetime`: every token that is issued with it would be refused",
            );
            return Err(("default_lifetime", problem));
        }
        let settable = 1..=MAX_LIVE_TOKENS_SETTABLE;
        if self
            .max_live_tokens
            .is_some_and(|limit| !settable.contains(&limit))
        {
            let limit = MAX_LIVE_TOKENS_SETTABLE.to_string();
            let problem = Problem::new(
                ProblemReason::OutOfRange,
                format!("must be 1 to {limit}, or 0 for the number that holds everywhere"),
            );
            return Err(("max_live_tokens_per_member", problem.with("limit", limit)));
        }
        Ok(())
    }

    /// How many live tokens a member may have.
    pub fn live_tokens(&self) -> u64 {
        self.max_live_tokens.map_or(MAX_LIVE_TOKENS, u64::from)
    }

    /// Whether it can end a token that has not ended by itself.
    pub fn ends_tokens(&self) -> bool {
        self.require_expiry || self.max_lifetime.is_some() || self.idle_limit.is_some()
    }

    /// From when on a token no longer authenticates, used or not: from its own expiry on, or from earlier where this ends it.
    pub fn ends_at(
        &self,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        if self.require_expiry && expires_at.is_none() {
            return Some(created_at);
        }
        let at_most = self.max_lifetime.map(|lifetime| created_at.plus(lifetime));
        match (expires_at, at_most) {
            (Some(own), Some(at_most)) => Some(own.min(at_most)),
            (own, at_most) => own.or(at_most),
        }
    }

    /// The expiry of a token that is issued at `now`, if the workspace admits it.
    pub fn admit(&self, expiry: Expiry, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let expires_at = match expiry {
            Expiry::At(at) => Some(at),
            Expiry::After(lifetime) => Some(now.plus(lifetime)),
            Expiry::Never => None,
            Expiry::Default => self.default_lifetime.map(|lifetime| now.plus(lifetime)),
        };
        if self.require_expiry && expires_at.is_none() {
            return Err(Error::ExpiryRequired);
        }
        match self.max_lifetime {
            Some(limit) if expires_at.is_none_or(|at| at > now.plus(limit)) => {
                Err(Error::LifetimeTooLong { limit })
            }
            _ => Ok(expires_at),
        }
    }
}

/// What to change of a token policy: what is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenPolicyUpdate {
    /// Whether a token must have an expiry.
    pub require_expiry: Option<bool>,
    /// The longest lifetime, or none.
    pub max_lifetime: Option<Option<Duration>>,
    /// The lifetime of a token issued without one, or none.
    pub default_lifetime: Option<Option<Duration>>,
    /// How long a token may go unused, or forever.
    pub idle_limit: Option<Option<Duration>>,
    /// How many live tokens a member may have, or as many as everywhere.
    pub max_live_tokens: Option<Option<u32>>,
    /// Whether reuse revokes the whole family.
    pub revoke_family_on_reuse: Option<bool>,
}

impl TokenPolicyUpdate {
    /// The policy after it.
    pub fn of(&self, policy: &TokenPolicy) -> TokenPolicy {
        TokenPolicy {
            require_expiry: self.require_expiry.unwrap_or(policy.require_expiry),
            max_lifetime: self.max_lifetime.unwrap_or(policy.max_lifetime),
            default_lifetime: self.default_lifetime.unwrap_or(policy.default_lifetime),
            idle_limit: self.idle_limit.unwrap_or(policy.idle_limit),
            max_live_tokens: self.max_live_tokens.unwrap_or(policy.max_live_tokens),
            revoke_family_on_reuse: self
                .revoke_family_on_reuse
                .unwrap_or(policy.revoke_family_on_reuse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_or_none(millis: u64) -> Option<Duration> {
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    proptest::proptest! {
        /// What is admitted is not ended by the policy that admitted it, to the millisecond; and no policy lets a token
        /// outlive its own expiry.
        #[test]
        fn what_is_admitted_lives_as_long_as_it_says(
            require_expiry: bool,
            max_lifetime in 0_u64..4,
            default_lifetime in 0_u64..4,
            expiry in 0_i64..5,
            kind in 0..4,
        ) {
            let policy = TokenPolicy {
                require_expiry,
                max_lifetime: some_or_none(max_lifetime),
                default_lifetime: some_or_none(default_lifetime),
                ..TokenPolicy::default()
            };
            let now = Timestamp(1_000);
            let asked = match kind {
                0 => Expiry::At(Timestamp(now.0 + expiry)),
                1 => Expiry::After(Duration::from_millis(expiry.unsigned_abs())),
                2 => Expiry::Never,
                _ => Expiry::Default,
            };
            match policy.admit(asked, now) {
                Ok(expires_at) => proptest::prop_assert_eq!(policy.ends_at(now, expires_at), expires_at),
                Err(Error::ExpiryRequired) => proptest::prop_assert!(require_expiry),
                Err(error) => proptest::prop_assert_eq!(
                    error,
                    Error::LifetimeTooLong { limit: Duration::from_millis(max_lifetime) }
                ),
            }
            let own = Some(Timestamp(now.0 + expiry));
            proptest::prop_assert!(policy.ends_at(now, own) <= own);
        }
    }

    #[test]
    fn a_policy_within_its_limits_is_taken_and_one_past_them_refused() {
        let fault = |policy: TokenPolicy| policy.check().err().map(|(field, _)| field);
        let day = Duration::from_secs(24 * 60 * 60);
        let lifetimes = |max, default| TokenPolicy {
            max_lifetime: Some(max),
            default_lifetime: Some(default),
            ..TokenPolicy::default()
        };
        let tokens = |number| TokenPolicy {
            max_live_tokens: Some(number),
            ..TokenPolicy::default()
        };
        assert_eq!(fault(TokenPolicy::default()), None);
        assert_eq!(fault(lifetimes(MAX_LIFETIME, MAX_LIFETIME)), None);
        let longer = MAX_LIFETIME + Duration::from_millis(1);
        assert_eq!(fault(lifetimes(longer, day)), Some("max_lifetime"));
        assert_eq!(
            fault(lifetimes(MAX_LIFETIME, longer)),
            Some("default_lifetime")
        );
        assert_eq!(fault(lifetimes(day, day * 2)), Some("default_lifetime"));
        let idle = |limit| TokenPolicy {
            idle_limit: Some(limit),
            ..TokenPolicy::default()
        };
        let shorter = day - Duration::from_millis(1);
        assert_eq!(fault(idle(day)), None);
        assert_eq!(fault(idle(MAX_LIFETIME)), None);
        assert_eq!(fault(idle(shorter)), Some("idle_limit"));
        assert_eq!(fault(idle(longer)), Some("idle_limit"));
        for (number, is_taken) in [(0, false), (1, true), (1000, true), (1001, false)] {
            assert_eq!(fault(tokens(number)).is_none(), is_taken, "{number}");
        }
    }
}
