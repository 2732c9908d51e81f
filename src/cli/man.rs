//! `countersign man`: the manual.

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use super::{Cli, Failure, print};

/// Print a man page, of the whole or of one command
///
/// To read it: countersign man token issue | man -l -
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command, such as `token issue` [default: the whole]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

impl Man {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut command = Cli::command().display_name("countersign");
        command.build();
        for name in &self.command {
            let known = command.find_subcommand(name).cloned();
            command = known.ok_or_else(|| {
                let asked = self.command.join(" ");
                Failure::Usage(format!("there is no command `{asked}`"))
            })?;
        }
        let mut page = Vec::new();
        Page::new(command)
            .render(&mut page)
            .map_err(|error| Failure::new("cannot write the page", error))?;
        print(&String::from_utf8_lossy(&page))
    }
}
