//! `countersign completions`: the scripts by which shells complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, print};

/// Print a script that completes the command line in a shell
///
/// For bash: countersign completions bash > /etc/bash_completion.d/countersign
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "countersign", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
