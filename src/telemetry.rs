//! What the process tells of itself while it runs: for now its log, to standard error. Never a secret.

use std::io::IsTerminal;

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Targets that would show secrets, and the most that they may say whatever the directives ask for.
///
/// The trace spans of `sea_orm` carry their functions' arguments, among them the database's address with its password,
/// and every event inside prints the span.
const CAPS: [(&str, LevelFilter); 1] = [("sea_orm", LevelFilter::DEBUG)];

/// Starts the log under these directives, which the configuration has checked. A second call changes nothing: the first
/// log stays.
pub fn init(log: &str) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(EnvFilter::new(log).and(caps()));
    let started = tracing_subscriber::registry().with(lines).try_init();
    if started.is_err() {
        tracing::debug!("the log has been started before");
    }
}

/// A filter beside the directives': what is logged must pass both, so no directive can lift a cap.
fn caps() -> Targets {
    Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(CAPS)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn capped_targets_are_quiet_at_trace_with_all_that_is_below_them() {
        let caps = caps();
        for capped in [
            "sea_orm",
            "sea_orm::driver::sqlx_postgres",
            "sea_orm_migration",
        ] {
            assert!(!caps.would_enable(capped, &Level::TRACE), "{capped}");
            assert!(caps.would_enable(capped, &Level::DEBUG), "{capped}");
        }
        assert!(caps.would_enable("countersign::store", &Level::TRACE));
    }
}
