//! `countersign token rotate`.

use std::time::Duration;

use clap::Args;

use super::{
    ActingFor, Retry,
    issue::{self, ExpiryChoice},
};
use crate::{
    cli::{
        Failure,
        output::{Paint, Printing, instant},
        remote::Caller,
        span,
    },
    config,
    pb::{
        RotateTokenRequest, RotateTokenResponse, issue_token_request::Expiry as ExpiryForm,
        rotate_token_request::Expiry, token_service_client::TokenServiceClient,
    },
};

/// Let another token take the place of one, and print the new secret once
///
/// The successor has the member and the name of the token, and a secret of its own, which is in this output and nowhere
/// else, ever. The token itself lives on for --overlap, so that whoever uses it can change over without a gap; without
/// --overlap it ends at once. Needs a service key with the grant `tokens.issue`.
///
/// Where no answer comes, the token may have been rotated all the same: --request-id makes it safe to try again.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// The token's id, `tok_…`
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,

    /// How long the token lives on beside its successor, such as `1h` or `7d`, which is the longest
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    overlap: Option<Duration>,

    #[command(flatten)]
    expiry: ExpiryChoice,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    retry: Retry,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if !self.token_id.starts_with("tok_") {
            // Not shown: it may be the secret, by mistake.
            let told = "a token's id begins with `tok_`: a token is rotated by its id only";
            return Err(Failure::Usage(told.to_owned()));
        }
        let session = self.caller.connect().await?;
        let request = RotateTokenRequest {
            token_id: self.token_id,
            expiry: self.expiry.message().map(|expiry| match expiry {
                ExpiryForm::ExpiresAt(at) => Expiry::ExpiresAt(at),
                ExpiryForm::Ttl(ttl) => Expiry::Ttl(ttl),
                ExpiryForm::Never(flag) => Expiry::Never(flag),
            }),
            overlap: self.overlap.map(span),
            actor: self.acting_for.actor,
            request_id: self.retry.request_id,
        };
        let mut client = TokenServiceClient::new(session.channel());
        let rotated = client.rotate_token(session.request(request)).await;
        self.printing.answer(&session.answer(rotated)?, text)
    }
}

fn text(rotated: &RotateTokenResponse, paint: Paint) -> String {
    let token = rotated.token.as_ref();
    let mut text = issue::text(token, &rotated.secret, &rotated.warnings, paint);
    if let Some(predecessor) = &rotated.predecessor {
        let until = instant(predecessor.expires_at.as_ref(), "-");
        text.push_str(&format!(
            "The token {} works until {until}.\n",
            predecessor.token_id
        ));
    }
    text
}
