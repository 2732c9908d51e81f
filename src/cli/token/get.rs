//! `countersign token get`.

use clap::Args;

use super::{ActingFor, target::Target, told};
use crate::{
    cli::{Failure, output::Printing, remote::Caller},
    pb::{GetTokenRequest, get_token_request, token_service_client::TokenServiceClient},
};

/// Show what is known of one token, by its id or by its secret
///
/// Needs a service key with the grant `tokens.read`. Exits with 1 where nothing is told of a secret: it was never issued
/// here, or the service key has only the grant `tokens.revoke`.
#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    acting_for: ActingFor,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl Get {
    pub(super) async fn run(self) -> Result<(), Failure> {
        use get_token_request::Target::{Secret, TokenId};

        let target = self.target.read(TokenId, Secret)?;
        let session = self.caller.connect().await?;
        let request = GetTokenRequest {
            target: Some(target),
            actor: self.acting_for.actor,
        };
        let mut client = TokenServiceClient::new(session.channel());
        let answer = session.answer(client.get_token(session.request(request)).await)?;
        self.printing.answer(&answer, |answer, paint| {
            let token = answer.token.as_ref().map(|token| told(token, paint));
            token.unwrap_or_else(|| {
                "nothing is told of this token: it was never issued here, or the service key lacks the grant \
                 `tokens.read`\n"
                    .to_owned()
            })
        })?;
        match answer.token {
            Some(_) => Ok(()),
            None => Err(Failure::Answered),
        }
    }
}
