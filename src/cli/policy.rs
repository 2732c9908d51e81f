//! `countersign policy`: shows what a policy says and checks one before it is used.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};

use super::{Failure, print};
use crate::{
    config::{self, PolicyFlags, Sources},
    domain,
};

/// Show the policy, or check one before using it
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what each role may do and how far, and the policy's hash
    ///
    /// OWN is the member's own, WORKSPACE everything in the workspace, - not at all. Shows the configured policy_file,
    /// or the embedded policy if there is none.
    Show {
        #[command(flatten)]
        flags: PolicyFlags,
    },
    /// Check a policy file: prints `ok` and its hash, or every fault with its line, and then exits with 1
    Check {
        /// The policy file (TOML)
        file: PathBuf,
    },
}

impl Policy {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Show { flags } => {
                let policy = config::load_policy(&Sources::gather(flags.0)?)?;
                print(&format!("{policy}hash: {}\n", policy.hash()))
            }
            Command::Check { file } => check(&file),
        }
    }
}

fn check(file: &PathBuf) -> Result<(), Failure> {
    let name = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(&format!("cannot read `{name}`"), error))?;
    match domain::policy::Policy::parse(&text) {
        Ok(policy) => print(&format!("ok\nhash: {}\n", policy.hash())),
        Err(faults) => {
            let lines: String = faults
                .iter()
                .map(|fault| format!("{name}:{}: {}\n", fault.line, fault.message))
                .collect();
            print(&lines)?;
            Err(Failure::Answered)
        }
    }
}
