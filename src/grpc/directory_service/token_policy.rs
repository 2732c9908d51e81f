//! Reading a workspace's token policy.

use std::time::Duration;

use crate::{
    domain::{
        error::{Problem, ProblemReason},
        token_policy::TokenPolicyUpdate,
    },
    grpc::fields::{Fields, duration},
    pb::TokenPolicy,
};

/// Takes what a path of the update mask names from the message. False: it names nothing of a token policy.
pub(super) fn parse(
    fields: &mut Fields,
    path: &str,
    policy: &TokenPolicy,
    update: &mut TokenPolicyUpdate,
) -> bool {
    let field = match path.strip_prefix("token_policy") {
        Some("") => None,
        Some(rest) if rest.starts_with('.') => Some(&rest[1..]),
        _ => return false,
    };
    let mut is_known = field.is_none();
    let mut names = |name: &str| {
        let names = field.is_none_or(|field| field == name);
        is_known |= names;
        names
    };
    if names("require_expiry") {
        update.require_expiry = Some(policy.require_expiry);
    }
    if names("max_lifetime") {
        let lifetime = lifetime(policy.max_lifetime.as_ref());
        update.max_lifetime = fields.read("token_policy.max_lifetime", lifetime);
    }
    if names("default_lifetime") {
        let lifetime = lifetime(policy.default_lifetime.as_ref());
        update.default_lifetime = fields.read("token_policy.default_lifetime", lifetime);
    }
    if names("idle_limit") {
        let limit = lifetime(policy.idle_limit.as_ref());
        update.idle_limit = fields.read("token_policy.idle_limit", limit);
    }
    if names("max_live_tokens_per_member") {
        let limit = limit(policy.max_live_tokens_per_member);
        update.max_live_tokens = fields.read("token_policy.max_live_tokens_per_member", limit);
    }
    if names("revoke_family_on_reuse") {
        update.revoke_family_on_reuse = Some(policy.revoke_family_on_reuse);
    }
    is_known
}

fn lifetime(value: Option<&prost_types::Duration>) -> Result<Option<Duration>, Problem> {
    value.map(duration).transpose()
}

/// 0 stands for what holds everywhere.
fn limit(value: i32) -> Result<Option<u32>, Problem> {
    match u32::try_from(value) {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(Problem::new(
            ProblemReason::OutOfRange,
            "must not be negative",
        )),
    }
}
