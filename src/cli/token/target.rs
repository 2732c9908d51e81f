//! Which token is meant: by its id, or by its secret, which comes in by standard input or a file only.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, secret_input::SecretInput};

/// A token, by id or by secret.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// The token's id, `tok_…`
    #[arg(value_name = "TOKEN_ID")]
    token_id: Option<String>,

    /// Read the token's secret from standard input
    #[arg(long)]
    secret_stdin: bool,

    /// Read the token's secret from a file
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Target {
    /// The id, or the secret once it is read, as a message takes it.
    pub(super) fn read<T>(
        self,
        by_id: fn(String) -> T,
        by_secret: fn(String) -> T,
    ) -> Result<T, Failure> {
        match self.token_id {
            None => {
                let secret = SecretInput::read(self.secret_file.as_deref())?;
                Ok(by_secret(secret.expose().to_owned()))
            }
            Some(id) if id.starts_with("tok_") => Ok(by_id(id)),
            // Not shown: it may be the secret, by mistake.
            Some(_) => Err(Failure::Usage(
                "a token's id begins with `tok_`; its secret is given by --secret-stdin or --secret-file, because \
                 the process list shows arguments"
                    .to_owned(),
            )),
        }
    }
}
