//! `countersign serve`: the service, until a signal ends it.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

use super::{Failure, shutdown};
use crate::{
    config::{self, Mode, ServeFlags, Sources},
    domain::time::Clock,
    server, telemetry,
};

/// Serve the gRPC API until SIGTERM or SIGINT
///
/// Needs peppers (`countersign pepper new`) and at least one `[[callers]]` in the configuration file (`countersign key
/// new`). SQLite is migrated at start; Postgres by `countersign migrate` before it.
///
/// At the first signal readiness turns NOT_SERVING, the listeners stay open for the drain delay, and calls in flight
/// are answered. A second signal ends the process at once.
///
/// A key has one name in three spellings: `staleness_bound` in the file, --staleness-bound,
/// COUNTERSIGN_STALENESS_BOUND. A flag overrides a variable, a variable overrides the file. A wrong configuration
/// starts nothing and exits with 64.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = config::load(Mode::Serve, &Sources::gather(self.flags.0)?)?;
        telemetry::init(&config.log);
        let signal = shutdown::on_signal()?;
        let listener = bind(config.listen_addr).await?;
        server::serve(listener, config, Clock::system(), signal)
            .await
            .map_err(|error| Failure::Failed(error.to_string()))
    }
}

/// Binds the gRPC port and logs where that is: port 0 becomes a number only now.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let attempt = format!("cannot listen on `{address}`");
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::new(&attempt, error))?;
    let bound = bound_address(&listener)?;
    tracing::info!(server.address = %bound, "gRPC listens on {bound}");
    Ok(listener)
}

/// Where a listener listens.
pub(super) fn bound_address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    let address = listener.local_addr();
    address.map_err(|error| Failure::new("cannot tell which address is bound", error))
}
