//! The configuration's flags, made from the table of keys.

use std::{collections::BTreeMap, fmt};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{
    Mode,
    keys::{self, Group, Key},
};

/// The id of `--config`, which says where the file is and so cannot stand in it.
const CONFIG: &str = "config";

/// What was given on the command line. Prints nothing of itself: it may hold secrets.
#[derive(Clone, Default)]
pub(crate) struct FlagValues {
    /// The configuration file.
    pub(super) config: Option<String>,
    /// By the key's name.
    pub(super) values: BTreeMap<&'static str, String>,
}

impl fmt::Debug for FlagValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagValues").finish_non_exhaustive()
    }
}

fn command_with(command: Command, mode: Mode, takes: fn(&Key) -> bool) -> Command {
    let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").help(
        "The configuration file (TOML). A variable overrides it, a flag overrides both [env: \
         COUNTERSIGN_CONFIG]",
    );
    let flags = keys::all().iter().filter(|key| takes(key)).map(|key| {
        let (help, flag, variable) = (key.help, &key.flag, &key.variable);
        let default = key
            .default_told(mode)
            .map_or_else(String::new, |told| format!(" [default: {told}]"));
        let warning = match key.is_secret {
            true => {
                format!(". The command line shows in the process list: prefer --{flag}-file there")
            }
            false => String::new(),
        };
        Arg::new(key.name)
            .long(flag.as_str())
            .value_name("VALUE")
            .help(format!("{help}{warning}{default} [env: {variable}]"))
    });
    command.arg(config).args(flags)
}

fn values_of(matches: &ArgMatches, takes: fn(&Key) -> bool) -> FlagValues {
    let given = |id: &str| matches.get_one::<String>(id).cloned();
    FlagValues {
        config: given(CONFIG),
        values: keys::all()
            .iter()
            .filter(|key| takes(key))
            .filter_map(|key| Some((key.name, given(key.name)?)))
            .collect(),
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident, $mode:expr, $takes:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $name(pub(crate) FlagValues);

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                command_with(command, $mode, $takes)
            }

            fn augment_args_for_update(command: Command) -> Command {
                command_with(command, $mode, $takes)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(values_of(matches, $takes)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = values_of(matches, $takes);
                Ok(())
            }
        }
    )+};
}

flags! {
    /// The flags of `serve`.
    ServeFlags, Mode::Serve, |_| true;
    /// The flags of `dev`.
    DevFlags, Mode::Dev, |_| true;
    /// The flags of a command that only opens the database.
    DatabaseFlags, Mode::Serve, |key| key.group == Group::Database;
    /// The flags of a command that looks at the peppers and what hangs on them.
    PepperFlags, Mode::Serve, |key| key.group == Group::Database || key.base() == "peppers";
    /// The flags of a command that only reads the policy.
    PolicyFlags, Mode::Serve, |key| key.group == Group::Policy;
}
