//! The signals that end a server.

use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, Failure};

/// Catches SIGTERM and SIGINT from now on; the future resolves at the first. A second one ends the process at once, for
/// whoever cannot wait until every call is answered.
pub(super) fn on_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let catch = |kind| signal(kind).map_err(|error| Failure::new("cannot catch signals", error));
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down; a second signal ends it at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("ended by a second signal");
            std::process::exit(FAILED.into());
        });
    })
}
