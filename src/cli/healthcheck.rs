//! `countersign healthcheck`: readiness, for probes of containers.

use clap::Args;
use serde_json::json;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Failure, call,
    output::{Printing, Tone},
    remote::Remote,
};

/// Tell whether the service is ready, by the standard health check
///
/// Needs no service key. Exit codes: 0 SERVING, 1 anything else, also that there is no answer.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// The name of a health service [default: the whole]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    service: String,

    #[command(flatten)]
    remote: Remote,

    #[command(flatten)]
    printing: Printing,
}

impl Healthcheck {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.ask())
    }

    async fn ask(self) -> Result<(), Failure> {
        let session = self.remote.connect().await?;
        let request = HealthCheckRequest {
            service: self.service.clone(),
        };
        let mut client = HealthClient::new(session.channel());
        let answer = session.answer(client.check(session.request(request)).await)?;
        let status = answer.status();
        let told = status.as_str_name();
        let (is_serving, tone) = match status {
            ServingStatus::Serving => (true, Tone::Good),
            _ => (false, Tone::Bad),
        };
        let value = json!({"service": self.service, "status": told});
        self.printing
            .value(&value, |paint| paint.paint(tone, told) + "\n")?;
        match is_serving {
            true => Ok(()),
            false => Err(Failure::Answered),
        }
    }
}
