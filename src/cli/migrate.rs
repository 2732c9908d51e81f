//! `countersign migrate`: brings a database's schema to what this version needs.

use clap::Args;

use super::{Failure, print};
use crate::{
    config::{self, DatabaseFlags, Sources},
    store,
};

/// Apply pending migrations, or tell which there are
///
/// Prints the name of each, or `nothing to do`. Safe to run more than once and from several places: a lock lets one at
/// a time through. Uses database_direct_url, which is database_url unless given, because the lock needs a session of its
/// own. Also writes the staleness_bound that all replicas keep to. `serve` on Postgres refuses to start while migrations are pending; on SQLite it applies them itself.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Apply nothing; print what is pending and exit with 1 if there is anything, with 0 otherwise
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    flags: DatabaseFlags,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (url, bound) = config::load_migration(&Sources::gather(self.flags.0)?)?;
        let names = match self.check {
            true => store::pending_migrations(&url).await,
            false => store::migrate(&url).await,
        };
        let names = names.map_err(Failure::of)?;
        if !self.check {
            store::set_staleness_bound(&url, bound)
                .await
                .map_err(Failure::of)?;
        }
        if names.is_empty() {
            return print("nothing to do\n");
        }
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        print(&lines)?;
        match self.check {
            true => Err(Failure::Answered),
            false => Ok(()),
        }
    }
}
