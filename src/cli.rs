//! The command line: what can be asked of the `countersign` command, and the exit codes it answers with.
//!
//! A subcommand is a file below. None decides anything: it loads the configuration, calls the library, and prints.

mod dev;
mod key;
mod migrate;
mod pepper;
mod policy;
mod reload;
mod serve;
mod shutdown;

use std::{
    fmt,
    io::{ErrorKind, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::Faults;

/// Something failed.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

/// Issues personal access tokens and decides what their bearers may do.
///
/// Exit codes: 0 done, 1 failed, 64 the command line or the configuration is wrong.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Try it on this machine: countersign dev"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Dev(dev::Dev),
    Migrate(migrate::Migrate),
    Policy(policy::Policy),
    Key(key::Key),
    Pepper(pepper::Pepper),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration is wrong: nothing was started.
    Config(Faults),
    /// Something went wrong, in one sentence.
    Failed(String),
    /// The answer is no, and has been printed.
    Answered,
}

impl Failure {
    /// What was attempted, and why it failed.
    fn new(attempt: &str, cause: impl fmt::Display) -> Self {
        Self::Failed(format!("{attempt}: {cause}"))
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(serve) => block_on(serve.run()),
        Command::Dev(dev) => block_on(dev.run()),
        Command::Migrate(migrate) => block_on(migrate.run()),
        Command::Policy(policy) => policy.run(),
        Command::Key(key) => key.run(),
        Command::Pepper(pepper) => pepper.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Answered) => ExitCode::from(FAILED),
        Err(Failure::Failed(message)) => {
            complain(&format!("error: {message}\n"));
            ExitCode::from(FAILED)
        }
        Err(Failure::Config(faults)) => {
            let indented = faults.to_string().replace('\n', "\n  ");
            complain(&format!(
                "error: the configuration is wrong\n  {indented}\n"
            ));
            ExitCode::from(USAGE)
        }
    }
}

/// Tells what is wrong with a command line, or prints the help or the version that it asks for.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match (error.print(), error.use_stderr()) {
        (Ok(()), false) => ExitCode::SUCCESS,
        (Err(_), false) => ExitCode::from(FAILED),
        (_, true) => ExitCode::from(USAGE),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime", error))?
        .block_on(command)
}

/// Writes to standard output. A reader that has read enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error.
fn complain(text: &str) {
    // Where even this fails there is nobody left to tell; the exit code still says it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
