//! The command line: what can be asked of the `countersign` command, and the exit codes it answers with.
//!
//! A subcommand is a file below. None decides anything: it loads the configuration, calls the library, and prints.

mod authorize;
mod bearer;
mod completions;
mod config;
mod dev;
mod events;
mod healthcheck;
mod key;
mod man;
mod member;
mod migrate;
mod output;
mod paging;
mod pepper;
mod permissions;
mod policy;
mod reload;
mod remote;
mod restore_guard;
mod secret_input;
mod serve;
mod shutdown;
mod token;
mod workspace;

use std::{
    fmt,
    io::{ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{config::Faults, domain::secret::TokenFormat};

/// Something failed.
const FAILED: u8 = 1;
/// How secrets begin, by which a misplaced one is known.
const SECRETS: [&str; 2] = ["csn_pat_1", "csn_key_"];
/// A decision was asked for, and there is none.
const UNDECIDED: u8 = 2;
/// The command line or the configuration is wrong (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

/// Issues personal access tokens and decides what their bearers may do.
///
/// `serve` and `dev` are the service. `token`, `member`, `workspace`, `authorize`, `permissions`, `events` and
/// `healthcheck` talk to one that runs, by gRPC. The others work on their own.
///
/// Exit codes: 0 done, 1 failed or denied, 2 `authorize` and `permissions` could not decide, 64 the command line or the
/// configuration is wrong.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Try it on this machine: countersign dev"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Dev(dev::Dev),
    Migrate(migrate::Migrate),
    Config(config::Config),
    Policy(policy::Policy),
    Key(key::Key),
    Pepper(pepper::Pepper),
    RestoreGuard(restore_guard::RestoreGuard),
    Token(token::Token),
    Member(member::Member),
    Workspace(workspace::Workspace),
    Authorize(authorize::Authorize),
    Permissions(permissions::Permissions),
    Events(events::Events),
    Healthcheck(healthcheck::Healthcheck),
    Completions(completions::Completions),
    Man(man::Man),
}

/// A time span as a message takes it.
fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // A duration here is whole milliseconds.
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration is wrong: nothing was started.
    Config(Faults),
    /// Something went wrong, in one sentence.
    ///
    /// What may help stands on further lines.
    Failed(String),
    /// The same of a decision, which must not be taken for a denial.
    Undecided(String),
    /// The command line asks for what cannot be.
    Usage(String),
    /// The answer is no, and has been printed.
    Answered,
}

impl Failure {
    /// What was attempted, and why it failed.
    fn new(attempt: &str, cause: impl fmt::Display) -> Self {
        Self::Failed(format!("{attempt}: {cause}"))
    }

    /// An error that says by itself what was attempted.
    fn of(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

/// Runs a command to its end.
fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(serve) => block_on(serve.run()),
        Command::Dev(dev) => block_on(dev.run()),
        Command::Migrate(migrate) => block_on(migrate.run()),
        Command::Config(config) => config.run(),
        Command::Policy(policy) => policy.run(),
        Command::Key(key) => key.run(),
        Command::Pepper(pepper) => call(pepper.run()),
        Command::RestoreGuard(guard) => block_on(guard.run()),
        Command::Token(token) => token.run(),
        Command::Member(member) => member.run(),
        Command::Workspace(workspace) => workspace.run(),
        Command::Authorize(authorize) => authorize.run(),
        Command::Permissions(permissions) => permissions.run(),
        Command::Events(events) => events.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Answered) => ExitCode::from(FAILED),
        Err(Failure::Failed(message)) => fail(&message, FAILED),
        Err(Failure::Undecided(message)) => fail(&message, UNDECIDED),
        Err(Failure::Usage(message)) => fail(&message, USAGE),
        Err(Failure::Config(faults)) => {
            fail(&format!("the configuration is wrong\n{faults}"), USAGE)
        }
    }
}

/// Tells the first line as an error and the others below it.
fn fail(message: &str, code: u8) -> ExitCode {
    let indented = message.replace('\n', "\n  ");
    complain(&format!("error: {indented}\n"));
    ExitCode::from(code)
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    // Before anything is parsed, so that no message can repeat it.
    if std::env::args_os().any(|argument| holds_secret(&argument.to_string_lossy())) {
        return fail(
            "a secret stands on the command line, where the process list shows it: give it by standard input or a file",
            USAGE,
        );
    }
    match Cli::try_parse() {
        Ok(command) => run(command),
        Err(error) => refuse(&error),
    }
}

/// Whether a text holds a service key or a token with the default prefix, or most of one (less is a prefix, which may be
/// told), or a token with any other prefix, by its checksum.
fn holds_secret(text: &str) -> bool {
    const TELLING: usize = 20;
    let begins_secret = |head: &str| {
        let mut rests = text.split(head).skip(1);
        rests.any(|rest| rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= TELLING)
    };
    let is_token = |word: &str| {
        word.rsplit_once('_').is_some_and(|(prefix, _)| {
            TokenFormat::new(prefix, &[]).is_ok_and(|format| format.diagnose(word).is_ok())
        })
    };
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    SECRETS.into_iter().any(begins_secret) || words.any(is_token)
}

/// Tells what is wrong with a command line, or prints the help or the version that it asks for.
fn refuse(error: &clap::Error) -> ExitCode {
    match (error.print(), error.use_stderr()) {
        (Ok(()), false) => ExitCode::SUCCESS,
        (Err(_), false) => ExitCode::from(FAILED),
        (_, true) => ExitCode::from(USAGE),
    }
}

/// Runs a command that makes a call or two, on this thread alone: probes run one every few seconds.
fn call(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime", error))?
        .block_on(command)
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
    use crate::domain::secret::Secret;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_is_known_whatever_its_prefix() -> Result<(), Box<dyn std::error::Error>> {
        let secret = Secret::random()?;
        for prefix in ["csn_pat", "acme", "acme_2"] {
            let token = TokenFormat::new(prefix, &[])?.print(&secret);
            let token = token.expose();
            for text in [
                token,
                &format!("--name={token}"),
                &format!("Bearer {token}"),
            ] {
                assert!(holds_secret(text), "{prefix}");
            }
            let cut = &token[..token.len() - 1];
            assert_eq!(holds_secret(cut), prefix == "csn_pat", "{prefix}");
        }
        for harmless in ["csn_pat_1", "acme_1", "tok_1fgJMUITgrdYghGX9Hl1Da"] {
            assert!(!holds_secret(harmless), "{harmless}");
        }
        Ok(())
    }
}
