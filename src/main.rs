//! The `countersign` command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use countersign::cli::{self, Cli};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(command) => cli::run(command),
        Err(error) => cli::refuse(&error),
    }
}
