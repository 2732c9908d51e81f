//! `countersign token revoke-leaked`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{Failure, output::Printing, remote::Caller, secret_input::SecretInput},
    pb::{
        RevokeLeakedTokensRequest, RevokeLeakedTokensResponse,
        token_service_client::TokenServiceClient,
    },
};

/// How many secrets one request holds.
const AT_ONCE: usize = 1000;

/// Revoke every token whose secret was found where it should not be
///
/// Reads secrets, bare or as `Authorization` header values, one a line. What is no secret of a token here is passed over,
/// and nobody is told which were. Needs a service key with any grant on tokens, or `authorize`. More than 1,000 are reported
/// by several requests, one after the other.
#[derive(Debug, Args)]
pub(super) struct RevokeLeaked {
    /// Read the secrets from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,

    /// Where they were found, for the record of each token: at most 100 characters
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    source: String,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl RevokeLeaked {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let input = SecretInput::read_many(self.secrets_file.as_deref())?;
        let lines = input.expose().lines().map(str::trim);
        let secrets: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        if secrets.is_empty() {
            return Err(Failure::Usage("there is no secret to read".to_owned()));
        }
        let session = self.caller.connect().await?;
        let mut client = TokenServiceClient::new(session.channel());
        let mut answer = RevokeLeakedTokensResponse::default();
        for secrets in secrets.chunks(AT_ONCE) {
            let request = RevokeLeakedTokensRequest {
                secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
                source: self.source.clone(),
            };
            let revoked = client.revoke_leaked_tokens(session.request(request)).await;
            answer = session.answer(revoked)?;
        }
        self.printing.answer(&answer, |_, _| {
            "done: those of them that were tokens authorize nothing now\n".to_owned()
        })
    }
}
