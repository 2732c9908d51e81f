//! `countersign token revoke`.

use clap::Args;

use super::{ActingFor, Retry, target::Target, told};
use crate::{
    cli::{Failure, output::Printing, remote::Caller},
    pb::{RevokeTokenRequest, revoke_token_request, token_service_client::TokenServiceClient},
};

/// Revoke one token for good, by its id or by its secret
///
/// Revoking a token that is dead already succeeds and tells when it died. By id it needs a service key with the grant
/// `tokens.revoke`; by secret any grant on tokens, or `authorize`: whoever holds a leaked token may have it revoked.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    target: Target,

    /// Why, for the record: at most 500 characters
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    retry: Retry,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl Revoke {
    pub(super) async fn run(self) -> Result<(), Failure> {
        use revoke_token_request::Target::{Secret, TokenId};

        let target = self.target.read(TokenId, Secret)?;
        let session = self.caller.connect().await?;
        let request = RevokeTokenRequest {
            target: Some(target),
            reason: self.reason,
            actor: self.acting_for.actor,
            request_id: self.retry.request_id,
            ..RevokeTokenRequest::default()
        };
        let mut client = TokenServiceClient::new(session.channel());
        let revoked = client.revoke_token(session.request(request)).await;
        self.printing.answer(&session.answer(revoked)?, |answer, paint| {
            let token = answer.token.as_ref().map(|token| told(token, paint));
            token.unwrap_or_else(|| {
                "done: if this was a token, it authorizes nothing now (whether it was is told only of tokens issued \
                 here, to service keys with the grant `tokens.read`)\n"
                    .to_owned()
            })
        })
    }
}
