//! `countersign config`: writes a configuration file to start from, checks one, and shows what is in effect.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Failure,
    output::{Cell, Printing, Table, Tone},
    print,
};
use crate::config::{self, Mode, ServeFlags, Shown, Sources};

/// Write, check and show the configuration of a server
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a configuration file with every key, explained and commented out
    Init {
        /// Write it to this file instead, which must not exist
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check a configuration as a start would, and start nothing
    ///
    /// Prints `ok`, or every fault at once, each with its key, where the value comes from and what would be right. Exit
    /// codes: 0 it is good, 64 it is not. Takes the file, the environment and the flags that `serve` takes; does not open
    /// the database or a port.
    Check {
        #[command(flatten)]
        what: What,
    },
    /// Show the configuration in effect, each value with where it comes from
    ///
    /// Secrets are masked. What is wrong is told too, as `check` does, and the exit code is 64 then.
    Show {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        printing: Printing,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
struct What {
    /// The command that would start with it; defaults and what is required differ
    #[arg(long = "for", value_enum, value_name = "COMMAND", default_value_t = Server::Serve)]
    server: Server,

    #[command(flatten)]
    flags: ServeFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Serve,
    Dev,
}

impl Server {
    fn mode(self) -> Mode {
        match self {
            Self::Serve => Mode::Serve,
            Self::Dev => Mode::Dev,
        }
    }
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Init { file: None } => print(&config::document()),
            Command::Init { file: Some(file) } => write(file),
            Command::Check { what } => {
                let sources = Sources::gather(what.flags.0)?;
                config::check(what.server.mode(), &sources)?;
                print("ok\n")
            }
            Command::Show { what, printing } => {
                let mode = what.server.mode();
                let sources = Sources::gather(what.flags.0)?;
                show(&config::show(mode, &sources), &printing)?;
                Ok(config::check(mode, &sources)?)
            }
        }
    }
}

fn write(file: PathBuf) -> Result<(), Failure> {
    let attempt = format!("cannot write `{}`", file.display());
    // Never over a file that is there: it may be the one in use.
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)
        .map_err(|error| Failure::new(&attempt, error))?;
    opened
        .write_all(config::document().as_bytes())
        .map_err(|error| Failure::new(&attempt, error))?;
    print(&format!("wrote {}\n", file.display()))
}

fn show(rows: &[Shown], printing: &Printing) -> Result<(), Failure> {
    let value: Value = rows
        .iter()
        .map(|row| json!({"key": row.key, "value": row.value, "origin": row.origin}))
        .collect();
    printing.value(&value, |paint| {
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for row in rows {
            let tone = match row.origin.as_str() {
                "the default" | "not set" => Tone::Plain,
                _ => Tone::Good,
            };
            table.row([
                row.key.as_str().into(),
                row.value.as_deref().unwrap_or("-").into(),
                Cell::new(&row.origin, tone),
            ]);
        }
        table.text(paint)
    })
}
