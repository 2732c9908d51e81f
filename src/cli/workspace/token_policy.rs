//! What a workspace asks of its tokens, on the command line.

use std::time::Duration;

use clap::Args;

use crate::{cli::span, config, pb::TokenPolicy};

/// What to change of it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct PolicyChange {
    /// Whether every token must have an expiry; those without one are expired
    #[arg(long, value_name = "true|false")]
    require_expiry: Option<bool>,
    /// The longest lifetime of a token, such as `90d`, or `none`
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    max_lifetime: Option<Lifetime>,
    /// The lifetime of a token issued without one, such as `30d`, or `none`
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    default_lifetime: Option<Lifetime>,
    /// How long a token may go unused, such as `90d`, or `none`
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    idle_limit: Option<Lifetime>,
    /// How many live tokens a member may have; 0 for as many as everywhere
    #[arg(long, value_name = "NUMBER")]
    max_live_tokens: Option<i32>,
    /// Whether a rotated token that is still presented when its overlap is over has all that lives of its family revoked
    #[arg(long, value_name = "true|false")]
    revoke_family_on_reuse: Option<bool>,
}

/// A time, or none.
#[derive(Debug, Clone, Copy)]
struct Lifetime(Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, String> {
    match text {
        "none" => Ok(Lifetime(None)),
        _ => config::duration(text).map(|span| Lifetime(Some(span))),
    }
}

impl PolicyChange {
    /// The message, with what it says of itself added to an update mask.
    pub(super) fn message(self, paths: &mut Vec<String>) -> TokenPolicy {
        let mut policy = TokenPolicy::default();
        let mut names = |field: &str| paths.push(format!("token_policy.{field}"));
        if let Some(is_required) = self.require_expiry {
            policy.require_expiry = is_required;
            names("require_expiry");
        }
        if let Some(Lifetime(lifetime)) = self.max_lifetime {
            policy.max_lifetime = lifetime.map(span);
            names("max_lifetime");
        }
        if let Some(Lifetime(lifetime)) = self.default_lifetime {
            policy.default_lifetime = lifetime.map(span);
            names("default_lifetime");
        }
        if let Some(Lifetime(limit)) = self.idle_limit {
            policy.idle_limit = limit.map(span);
            names("idle_limit");
        }
        if let Some(limit) = self.max_live_tokens {
            policy.max_live_tokens_per_member = limit;
            names("max_live_tokens_per_member");
        }
        if let Some(is_revoked) = self.revoke_family_on_reuse {
            policy.revoke_family_on_reuse = is_revoked;
            names("revoke_family_on_reuse");
        }
        policy
    }
}

/// One line of it for people.
pub(super) fn told(policy: Option<&TokenPolicy>) -> String {
    let policy = policy.cloned().unwrap_or_default();
    let span = |span: prost_types::Duration| {
        let seconds = span.seconds;
        match (span.nanos, seconds % 86_400, seconds % 3600) {
            (0, 0, _) => format!("{} d", seconds / 86_400),
            (0, _, 0) => format!("{} h", seconds / 3600),
            (nanos, ..) => format!("{} s", seconds as f64 + f64::from(nanos) / 1e9),
        }
    };
    let mut parts = Vec::new();
    if policy.require_expiry {
        parts.push("expiry required".to_owned());
    }
    parts.extend(
        policy
            .max_lifetime
            .map(|limit| format!("at most {}", span(limit))),
    );
    parts.extend(
        policy
            .default_lifetime
            .map(|default| format!("{} by default", span(default))),
    );
    parts.extend(
        policy
            .idle_limit
            .map(|limit| format!("unused for at most {}", span(limit))),
    );
    if policy.max_live_tokens_per_member > 0 {
        parts.push(format!("{} per member", policy.max_live_tokens_per_member));
    }
    if policy.revoke_family_on_reuse {
        parts.push("reuse revokes the family".to_owned());
    }
    match parts.is_empty() {
        true => "nothing is asked of them".to_owned(),
        false => parts.join(", "),
    }
}
