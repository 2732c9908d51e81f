//! Scopes: patterns over actions that narrow what a token may do. They never widen it: what the member's role may not do,
//! no scope lets a token do.

use std::fmt;

use super::{
    action::{Action, MAX_ACTION_LENGTH, is_kebab, is_type_above_token_ceiling},
    error::{Problem, ProblemReason},
    policy::Policy,
};

/// How many scopes a token may have.
pub const MAX_SCOPES: usize = 50;

/// A pattern over actions: `bookings.read`, `bookings.*` or `*.read`. Well formed; what it matches is looked at with each
/// decision, so a policy that is reloaded leaves nothing behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Scope(Box<str>);

impl Scope {
    /// Takes an action in which one of the two words may be `*`, at most 128 characters. Not `*.*`: a token without scopes
    /// says that already.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::required());
        }
        if text.len() > MAX_ACTION_LENGTH {
            return Err(Problem::too_long(MAX_ACTION_LENGTH, "characters"));
        }
        let is_word = |word: &str| word == "*" || is_kebab(word);
        match text.split_once('.') {
            Some((types, verbs)) if is_word(types) && is_word(verbs) && text != "*.*" => {
                Ok(Self(text.into()))
            }
            _ => Err(Problem::new(
                ProblemReason::Malformed,
                "must be an action or a pattern, such as `bookings.read`, `bookings.*` or `*.read`",
            )),
        }
    }

    /// Takes a scope that narrows to something: one that matches an action of this policy, and none above the ceiling of
    /// tokens.
    pub fn parse_under(policy: &Policy, text: &str) -> Result<Self, Problem> {
        let scope = Self::parse(text)?;
        let named = Action::parse(text).ok();
        let matched = policy
            .actions()
            .filter_map(|action| Action::parse(action).ok())
            .filter(|action| scope.covers(action));
        let matched: Vec<Action> = named.into_iter().chain(matched).collect();
        let types = text.split('.').next().unwrap_or_default();
        let is_above = is_type_above_token_ceiling(types)
            || matched.iter().any(Action::is_above_token_ceiling);
        let is_known = matched
            .iter()
            .any(|action| policy.declared(action).is_some());
        let refused = |reason, told| Err(Problem::new(reason, told).with("scope", text));
        match (is_above, is_known) {
            (true, _) => refused(
                ProblemReason::ScopeAboveTokenCeiling,
                format!("`{text}` is above what any token may do"),
            ),
            (false, false) => refused(
                ProblemReason::ScopeUnknown,
                format!("`{text}` matches no action of the policy"),
            ),
            (false, true) => Ok(scope),
        }
    }

    /// Whether the action is one of those that it stands for.
    pub fn covers(&self, action: &Action) -> bool {
        action.is_one_of(&self.0)
    }

    /// The whole.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn reason(parsed: Result<Scope, Problem>) -> Option<&'static str> {
        parsed.err().map(|problem| problem.reason.as_str())
    }

    #[test]
    fn a_scope_is_an_action_with_at_most_one_word_left_open() {
        let longest = format!("bookings.{}", "r".repeat(MAX_ACTION_LENGTH - 9));
        for good in [
            "bookings.read",
            "bookings.*",
            "*.read",
            "meeting-types.*",
            "*.read-all",
            &longest,
        ] {
            assert_eq!(
                Scope::parse(good).map(|s| s.to_string()),
                Ok(good.to_owned())
            );
        }
        let cases = [
            ("", "FIELD_REQUIRED"),
            (&format!("{longest}r"), "FIELD_TOO_LONG"),
            ("*", "FIELD_MALFORMED"),
            ("*.*", "FIELD_MALFORMED"),
            ("bookings", "FIELD_MALFORMED"),
            ("bookings.", "FIELD_MALFORMED"),
            (".read", "FIELD_MALFORMED"),
            ("bookings.re*", "FIELD_MALFORMED"),
            ("book*.read", "FIELD_MALFORMED"),
            ("bookings.**", "FIELD_MALFORMED"),
            ("bookings.read.*", "FIELD_MALFORMED"),
            ("*.*.*", "FIELD_MALFORMED"),
            ("Bookings.read", "FIELD_MALFORMED"),
            ("bookings.*\n", "FIELD_MALFORMED"),
            ("bookings. *", "FIELD_MALFORMED"),
            ("bookings.read bookings.list", "FIELD_MALFORMED"),
        ];
        for (bad, expected) in cases {
            assert_eq!(reason(Scope::parse(bad)), Some(expected), "{bad:?}");
        }
    }

    #[test]
    fn a_word_matches_whole_and_an_open_one_whatever_it_is() {
        let cases = [
            ("bookings.read", "bookings.read", true),
            ("bookings.read", "bookings.reads", false),
            ("bookings.read", "bookings.rea", false),
            ("bookings.*", "bookings.read", true),
            ("bookings.*", "bookings-old.read", false),
            ("bookings.*", "book.read", false),
            ("*.read", "bookings.read", true),
            ("*.read", "bookings.read-all", false),
        ];
        for (scope, action, expected) in cases {
            let covers = Scope::parse(scope).and_then(|scope| {
                let action = Action::parse(action)?;
                Ok(scope.covers(&action))
            });
            assert_eq!(covers, Ok(expected), "{scope} {action}");
        }
    }

    #[test]
    fn what_no_policy_declares_and_what_no_token_may_do_is_refused() {
        let default = Policy::embedded().unwrap();
        for good in [
            "bookings.read",
            "bookings.*",
            "*.read",
            "*.delete",
            "users.*",
            "users.list",
        ] {
            assert_eq!(reason(Scope::parse_under(&default, good)), None, "{good}");
        }
        let unknown = [
            "bookings.approve",
            "booking.read",
            "booking.*",
            "*.approve",
            "*.issue",
            "appointments.create",
        ];
        for unknown in unknown {
            let reason = reason(Scope::parse_under(&default, unknown));
            assert_eq!(reason, Some("SCOPE_UNKNOWN"), "{unknown}");
        }
        let above = [
            "users.create",
            "users.update",
            "users.delete",
            "users.invite",
            "tokens.issue",
            "tokens.*",
            "members.list",
            "members.*",
        ];
        for above in above {
            let reason = reason(Scope::parse_under(&default, above));
            assert_eq!(reason, Some("SCOPE_ABOVE_TOKEN_CEILING"), "{above}");
        }
    }

    #[test]
    fn an_open_word_stands_for_what_is_declared_above_the_ceiling_too() {
        let text = "[resources.users]\nverbs = ['read', 'delete']\n[resources.bookings]\nverbs = ['delete']\n\
                    [roles.member]\nown = ['bookings.delete']\n";
        let policy = Policy::parse(text).unwrap();
        for above in ["users.*", "*.delete"] {
            let reason = reason(Scope::parse_under(&policy, above));
            assert_eq!(reason, Some("SCOPE_ABOVE_TOKEN_CEILING"), "{above}");
        }
        for good in ["bookings.*", "*.read", "users.read"] {
            assert_eq!(reason(Scope::parse_under(&policy, good)), None, "{good}");
        }
    }
}
