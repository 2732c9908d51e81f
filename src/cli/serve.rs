//! `countersign serve`: the service, until a signal ends it.

use std::net::SocketAddr;

use clap::Args;
use tokio::{net::TcpListener, sync::mpsc};

use super::{Failure, reload, shutdown};
use crate::{
    config::{self, Config, Mode, ServeFlags, Sources},
    domain::time::Clock,
    grpc,
    server::{self, Inputs, Limits, Reload},
    telemetry::Telemetry,
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
        let flags = self.flags.0;
        let sources = Sources::gather(flags.clone())?;
        // Before the files are read, so that no change to them is missed.
        let files = config::fingerprint(&sources);
        let config = config::load(Mode::Serve, &sources)?;
        let telemetry = install_telemetry(&config)?;
        // Before anything is logged: whoever learns from the log that this runs may send SIGHUP.
        let reloads = reload::watch(flags, files)?;
        let served = serve(config, reloads, telemetry.clone()).await;
        telemetry.flush().await;
        served
    }
}

async fn serve(
    config: Config,
    reloads: mpsc::Receiver<Reload>,
    telemetry: Telemetry,
) -> Result<(), Failure> {
    let signal = shutdown::on_signal()?;
    let mut inputs = bind(&config, telemetry).await?;
    inputs.reloads = Some(reloads);
    server::serve(inputs, config, signal)
        .await
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// Starts the log, and the traces if the environment asks for them.
pub(super) fn install_telemetry(config: &Config) -> Result<Telemetry, Failure> {
    Telemetry::install(grpc::methods(), &config.log)
        .map_err(|error| Failure::new("cannot start telemetry", error))
}

/// Binds both ports, then logs where they are: port 0 becomes a number only now.
pub(super) async fn bind(config: &Config, telemetry: Telemetry) -> Result<Inputs, Failure> {
    let grpc = listen("listen_addr", config.listen_addr).await?;
    let metrics = listen("metrics_addr", config.metrics_addr).await?;
    let (grpc_at, metrics_at) = (bound_address(&grpc)?, bound_address(&metrics)?);
    tracing::info!(server.address = %grpc_at, "gRPC listens on {grpc_at}");
    tracing::info!(server.address = %metrics_at, "metrics and probes at http://{metrics_at}");
    Ok(Inputs {
        grpc,
        metrics: Some(metrics),
        clock: Clock::system(),
        telemetry,
        limits: Limits::default(),
        reloads: None,
    })
}

async fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let attempt = format!("cannot listen on `{address}`, the `{key}`");
        Failure::new(&attempt, error)
    })
}

/// Where a listener listens.
pub(super) fn bound_address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    let address = listener.local_addr();
    address.map_err(|error| Failure::new("cannot tell which address is bound", error))
}
