//! `countersign token issue`.

use std::time::Duration;

use clap::Args;
use prost_types::Timestamp;

use super::{ActingFor, Retry, parse_instant, told};
use crate::{
    cli::{
        Failure,
        output::{Paint, Printing, Tone, printable},
        remote::Caller,
        span,
    },
    config,
    pb::{
        IssueTokenRequest, Token, Warning, issue_token_request::Expiry,
        token_service_client::TokenServiceClient,
    },
};

/// Issue a token that acts as a member, and print its secret once
///
/// The secret is in this output and nowhere else, ever: not in a log, not in the database, not in a later answer. Needs a
/// service key with the grant `tokens.issue`.
///
/// Without --ttl or --expires-at the token never expires, and the answer warns of that. Without --scope it may do all that
/// the role of its member may, and without --allowed-cidr it may be used from anywhere.
#[derive(Debug, Args)]
pub(super) struct Issue {
    /// The member's workspace
    #[arg(long, value_name = "WORKSPACE_ID")]
    workspace: String,

    /// The member the token will act as
    #[arg(long, value_name = "MEMBER_ID")]
    member: String,

    /// A name, unique among the member's live tokens
    #[arg(long)]
    name: String,

    #[command(flatten)]
    expiry: ExpiryChoice,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    retry: Retry,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

#[derive(Debug, Args)]
struct Limits {
    /// Limit the token to this action, such as `bookings.read`, or to all of a type (`bookings.*`) or of a verb (`*.read`);
    /// may be given more than once, or with commas between
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    scope: Vec<String>,

    /// Limit the token to clients in this network, such as `192.0.2.0/24`, or at this address; may be given more than once,
    /// or with commas between
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    allowed_cidr: Vec<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct ExpiryChoice {
    /// Expire after this time, such as `12h` or `90d`
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    ttl: Option<Duration>,

    /// Expire at this instant (RFC 3339), such as `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    expires_at: Option<Timestamp>,

    /// Never expire
    #[arg(long)]
    never: bool,
}

impl ExpiryChoice {
    pub(super) fn message(&self) -> Option<Expiry> {
        let ttl = self.ttl.map(|ttl| Expiry::Ttl(span(ttl)));
        ttl.or_else(|| self.expires_at.map(Expiry::ExpiresAt))
            .or_else(|| self.never.then_some(Expiry::Never(true)))
    }
}

impl Issue {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.caller.connect().await?;
        let request = IssueTokenRequest {
            workspace_id: self.workspace,
            member_id: self.member,
            name: self.name,
            expiry: self.expiry.message(),
            scopes: self.limits.scope,
            allowed_cidrs: self.limits.allowed_cidr,
            actor: self.acting_for.actor,
            request_id: self.retry.request_id,
        };
        let mut client = TokenServiceClient::new(session.channel());
        let issued = client.issue_token(session.request(request)).await;
        self.printing
            .answer(&session.answer(issued)?, |issued, paint| {
                text(
                    issued.token.as_ref(),
                    &issued.secret,
                    &issued.warnings,
                    paint,
                )
            })
    }
}

/// A token that has come to be, with its secret if this is the answer that has it.
pub(super) fn text(
    token: Option<&Token>,
    secret: &str,
    warnings: &[Warning],
    paint: Paint,
) -> String {
    let mut text = String::with_capacity(2048);
    if let Some(token) = token {
        text.push_str(&told(token, paint));
    }
    let warning = match secret {
        "" => {
            "Made before, by the same request id: its secret was shown then and cannot be shown again."
        }
        secret => {
            text.push_str("\nsecret: ");
            text.push_str(secret);
            "Keep it now: it is shown this once and cannot be shown again."
        }
    };
    text.push_str(&format!("\n{}\n", paint.paint(Tone::Doubtful, warning)));
    for warning in warnings {
        let warning = format!("warning: {}", printable(&warning.message));
        text.push_str(&format!("{}\n", paint.paint(Tone::Doubtful, &warning)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_needs_time_and_offset() {
        let good = ["2027-01-31T00:00:00Z", "2027-01-31T01:00:00.5+01:00"];
        for text in good {
            assert!(parse_instant(text).is_ok(), "{text}");
        }
        let bad = [
            "",
            "2027-01-31",
            "tomorrow",
            "2027-13-01T00:00:00Z",
            "1800000000",
        ];
        for text in bad {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }
}
