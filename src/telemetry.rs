//! What the process tells of itself while it runs: for now its log, to standard error. Never a secret.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log under these directives, which the configuration has checked. A second call changes nothing: the first
/// log stays.
pub fn init(log: &str) {
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(log))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_err() {
        tracing::debug!("the log has been started before");
    }
}
