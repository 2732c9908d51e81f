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

/// What a target is once it is read.
pub(super) enum Which {
    Id(String),
    Secret(SecretInput),
}

impl Target {
    /// Reads the secret, if it is by secret.
    pub(super) fn read(self) -> Result<Which, Failure> {
        match self.token_id {
            None => SecretInput::read(self.secret_file.as_deref()).map(Which::Secret),
            Some(id) if id.starts_with("tok_") => Ok(Which::Id(id)),
            // Not shown: it may be the secret, by mistake.
            Some(_) => Err(Failure::Usage(
                "a token's id begins with `tok_`; its secret is given by --secret-stdin or --secret-file, because \
                 the process list shows arguments"
                    .to_owned(),
            )),
        }
    }
}

impl Which {
    /// The id or the secret, as a message takes it.
    pub(super) fn split<T>(&self, id: fn(String) -> T, secret: fn(String) -> T) -> T {
        match self {
            Self::Id(text) => id(text.clone()),
            Self::Secret(text) => secret(text.expose().to_owned()),
        }
    }
}
