//! `countersign key`: makes the keys by which internal services authenticate.

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Failure, print};
use crate::domain::caller::{KeyDigest, random_key};

/// Make service keys for callers
#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new service key and its digest
    ///
    /// The calling service sends the key in the metadata `x-countersign-key`; keep it in a secret store, it is shown
    /// this once. The digest goes into `key_digests` of the `[[callers]]` in the configuration and is no secret.
    New,
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Command::New = self.command;
        let key = random_key().map_err(|error| Failure::new("cannot make a key", error))?;
        let digest = KeyDigest::of(&key);
        print(&Zeroizing::new(format!(
            "key: {}\ndigest: {digest}\n",
            *key
        )))
    }
}
