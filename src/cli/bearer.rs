//! What `authorize` and `permissions` share: the bearer's token, who that is, and the exit code that says "could not
//! decide".

use std::path::PathBuf;

use clap::Args;

use super::{
    Failure,
    output::{Cell, instant, short},
    secret_input::SecretInput,
};
use crate::pb::{Context, DenyReason, Principal, Reach};

/// The token that a bearer presented.
#[derive(Debug, Args)]
pub(super) struct Presented {
    /// Read the token from this file instead of standard input; bare, or as an `Authorization` header value
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The user whom the bearer asks to act for
    #[arg(long, value_name = "MEMBER_ID")]
    on_behalf_of: Option<String>,

    /// The address that the bearer's request came from; a token that is limited to some networks is denied without
    #[arg(long, value_name = "ADDRESS")]
    client_ip: Option<String>,
}

impl Presented {
    pub(super) fn token(&self) -> Result<SecretInput, Failure> {
        SecretInput::read(self.token_file.as_deref())
    }

    pub(super) fn context(&self) -> Option<Context> {
        let is_told = self.on_behalf_of.is_some() || self.client_ip.is_some();
        is_told.then(|| Context {
            on_behalf_of: self.on_behalf_of.clone().unwrap_or_default(),
            client_ip: self.client_ip.clone().unwrap_or_default(),
            ..Context::default()
        })
    }
}

/// Whose token it is, as lines of a record.
pub(super) fn whose(principal: Option<&Principal>) -> Vec<(&'static str, Cell)> {
    let Some(principal) = principal else {
        return Vec::new();
    };
    let mut fields: Vec<(&'static str, Cell)> = vec![
        ("workspace", principal.workspace_id.as_str().into()),
        ("member", principal.member_id.as_str().into()),
        ("role", principal.role.as_str().into()),
        (
            "token",
            format!("{} ({})", principal.token_id, principal.token_name).into(),
        ),
        (
            "expires",
            instant(principal.expires_at.as_ref(), "never").into(),
        ),
    ];
    if !principal.scopes.is_empty() {
        fields.push(("scopes", principal.scopes.join(" ").into()));
    }
    fields
}

/// `OWN` or `WORKSPACE`, or `-`.
pub(super) fn reach_told(reach: Reach) -> &'static str {
    match reach {
        Reach::Unspecified => "-",
        reach => short(reach.as_str_name(), "REACH_"),
    }
}

/// `REVOKED_TOKEN` and the like.
pub(super) fn reason_told(reason: DenyReason) -> &'static str {
    short(reason.as_str_name(), "DENY_REASON_")
}

/// A failure is no denial: it has an exit code of its own.
pub(super) fn undecided(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(message) => Failure::Undecided(message),
        other => other,
    }
}
