//! `countersign dev`: the service on this machine, open, with a demo workspace to try it on.

mod demo;
mod output;

use clap::{Args, ValueEnum};
use tokio::sync::oneshot;

use super::{
    Failure, print,
    serve::{bind, bound_address, install_telemetry},
    shutdown,
};
use crate::{
    config::{self, Config, DevFlags, Mode, Sources},
    server,
    telemetry::Telemetry,
};

/// Serve on this machine only, open to everyone, with a demo workspace and tokens
///
/// Makes the SQLite database and the peppers beside it (`<database>.peppers`) when they are missing and reuses them
/// otherwise. Makes sure that workspace `demo` exists with the members `ada` (admin) and `max` (member), issues a
/// token named `dev` for each, valid for 30 days, and prints them with calls to try. The tokens of an earlier run are
/// revoked.
///
/// Takes the same keys as `serve`, but no `[[callers]]`, no files for TLS and no address off loopback. Ends at SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// How to print address, members and tokens; `json` is one object on one line and nothing else
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,

    #[command(flatten)]
    flags: DevFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = config::load(Mode::Dev, &Sources::gather(self.flags.0.clone())?)?;
        let telemetry = install_telemetry(&config)?;
        let served = self.serve(config, telemetry.clone()).await;
        telemetry.flush().await;
        served
    }

    async fn serve(&self, config: Config, telemetry: Telemetry) -> Result<(), Failure> {
        let signal = shutdown::on_signal()?;
        let inputs = bind(&config, telemetry).await?;
        let address = bound_address(&inputs.grpc)?;
        // The server ends at a signal, and also when the demo cannot be set up: then the sender is dropped.
        let (keep_serving, abandoned) = oneshot::channel::<()>();
        let shutdown = async {
            tokio::select! {
                () = signal => {}
                _ = abandoned => {}
            }
        };
        let serving = server::serve(inputs, config, shutdown);
        let mut server = tokio::spawn(serving);
        let set_up = async {
            let demo = demo::set_up(address).await?;
            print(&match self.output {
                Output::Text => output::text(&demo),
                Output::Json => output::json(&demo)?,
            })
        };
        let outcome = tokio::select! {
            // First, so that a server that failed is reported by its own error, not by the connection it broke.
            biased;
            ended = &mut server => return how_it_ended(ended),
            outcome = set_up => outcome,
        };
        if outcome.is_err() {
            drop(keep_serving);
            how_it_ended(server.await)?;
            return outcome;
        }
        let ended = server.await;
        drop(keep_serving);
        how_it_ended(ended)
    }
}

fn how_it_ended(
    ended: Result<Result<(), server::StartError>, tokio::task::JoinError>,
) -> Result<(), Failure> {
    match ended {
        Ok(served) => served.map_err(Failure::of),
        Err(error) => Err(Failure::new("the server broke off", error)),
    }
}
