//! The configuration: one typed struct, parsed whole before anything is started.
//!
//! Values come from defaults, the file, the environment and flags, each overriding those before it. Everything that is
//! wrong is told at once, with its key and where it was given. No message and no `Debug` shows a secret.

mod callers;
pub(crate) mod client;
mod document;
mod fault;
mod file;
mod flags;
mod issuers;
mod keys;
mod loader;
mod peppers;
mod settings;
mod show;
mod tls;
mod value;

use std::{net::SocketAddr, time::Duration};

pub(crate) use document::document;
pub use fault::Faults;
pub(crate) use flags::{DatabaseFlags, DevFlags, FlagValues, PepperFlags, PolicyFlags, ServeFlags};
use loader::Loader;
pub(crate) use settings::Sources;
pub(crate) use show::{Shown, show};
pub use tls::Tls;
pub(crate) use value::duration;

use crate::domain::{
    caller::Callers, database_url::DatabaseUrl, issuer::Issuer, pepper::PepperRing, policy::Policy,
    secret::TokenFormat, share::Share,
};

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Service to authenticated callers.
    Serve,
    /// Development on one machine: open, on loopback, with peppers made when there are none.
    Dev,
}

/// A configuration in which everything is known to be in order.
#[derive(Debug)]
pub struct Config {
    /// Where gRPC is served.
    pub listen_addr: SocketAddr,
    /// Where metrics and probes are served.
    pub metrics_addr: SocketAddr,
    /// The database.
    pub database_url: DatabaseUrl,
    /// The database without a pooler between.
    pub database_direct_url: DatabaseUrl,
    /// The keys under which secrets are hashed.
    pub peppers: PepperRing,
    /// Who may do what.
    pub policy: Policy,
    /// How tokens are printed.
    pub token_format: TokenFormat,
    /// How old a view may be that a decision is made from.
    pub staleness_bound: Duration,
    /// How many tokens a view remembers.
    pub view_capacity: usize,
    /// How the gRPC port speaks TLS. None: it does not.
    pub tls: Option<Tls>,
    /// Whether reflection is served.
    pub reflection: bool,
    /// How long listeners stay open after readiness has ended.
    pub drain_delay: Duration,
    /// The log's directives.
    pub log: String,
    /// The share of the allows that are logged with all denials. None: no decision is.
    pub decision_log: Option<Share>,
    /// How long events are kept. None: for ever.
    pub event_retention: Option<Duration>,
    /// Who may call.
    pub callers: Callers,
    /// Whose tokens name them.
    pub issuers: Vec<Issuer>,
}

/// Makes the configuration of a server. Besides the sources, it reads the files that keys name; in [`Mode::Dev`] it
/// makes the file of peppers if nothing else is wrong.
pub(crate) fn load(mode: Mode, sources: &Sources) -> Result<Config, Faults> {
    Loader::new(mode, sources).finish(Loader::config)
}

/// Tells what is wrong with the configuration of a server, as [`load`] would. Reads the same files and makes none.
pub(crate) fn check(mode: Mode, sources: &Sources) -> Result<(), Faults> {
    let loader = Loader::new(mode, sources).without_writing();
    loader.finish(Loader::config).map(drop)
}

/// Only where the database is, without a pooler between, and what migrations write into it.
pub(crate) fn load_migration(sources: &Sources) -> Result<(DatabaseUrl, Duration), Faults> {
    Loader::new(Mode::Serve, sources).finish(|loader| {
        let urls = loader.database_urls();
        let bound = loader.staleness_bound();
        Some((urls?.1, bound?))
    })
}

/// Only the peppers and where the database is: for commands that look at what hangs on them.
pub(crate) fn load_peppers(sources: &Sources) -> Result<(PepperRing, DatabaseUrl), Faults> {
    Loader::new(Mode::Serve, sources).finish(|loader| {
        let urls = loader.database_urls();
        let peppers = loader.given_peppers();
        Some((peppers?, urls?.0))
    })
}

/// Only the policy: for commands that show it.
pub(crate) fn load_policy(sources: &Sources) -> Result<Policy, Faults> {
    Loader::new(Mode::Serve, sources).finish(Loader::policy)
}

/// What the configuration file and the files that it names hold, as one word: another one when any of them changes.
pub(crate) fn fingerprint(sources: &Sources) -> String {
    Loader::new(Mode::Serve, sources).fingerprint(sources)
}

#[cfg(test)]
mod tests;
