//! Going on under another configuration: rules, callers, certificate and log levels change together, or nothing does.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::incoming::SharedTls;
use crate::{
    config::{Config, Faults, Tls},
    domain::{caller::Callers, database_url::DatabaseUrl},
    grpc::Gate,
    service::{Rules, Service},
    telemetry::Telemetry,
};

/// A configuration to go on under, or what is wrong with it.
pub struct Reload {
    /// The whole of it.
    pub config: Result<Config, Faults>,
    /// Told, if anyone waits, whether it was taken.
    pub applied: Option<oneshot::Sender<bool>>,
}

/// What a reload replaces.
pub(super) struct Replaceable {
    pub(super) rules: Rules,
    pub(super) callers: Callers,
    pub(super) tls: Option<Tls>,
    log: String,
}

/// What stays as it was at start.
#[derive(PartialEq)]
pub(super) struct Fixed {
    database_url: DatabaseUrl,
    database_direct_url: DatabaseUrl,
    staleness_bound: Duration,
    pub(super) reflection: bool,
    pub(super) drain_delay: Duration,
    speaks_tls: bool,
}

/// The two parts of a configuration. (Addresses are not looked at: port 0 is another one each time.)
pub(super) fn split(config: Config) -> (Replaceable, Fixed) {
    let fixed = Fixed {
        database_url: config.database_url,
        database_direct_url: config.database_direct_url,
        staleness_bound: config.staleness_bound,
        reflection: config.reflection,
        drain_delay: config.drain_delay,
        speaks_tls: config.tls.is_some(),
    };
    let replaceable = Replaceable {
        rules: Rules {
            policy: config.policy,
            format: config.token_format,
            ring: config.peppers,
        },
        callers: config.callers,
        tls: config.tls,
        log: config.log,
    };
    (replaceable, fixed)
}

/// Applies reloads to the running server.
pub(super) struct Reloader {
    service: Service,
    gate: Arc<Gate>,
    tls: SharedTls,
    telemetry: Telemetry,
    fixed: Fixed,
}

impl Reloader {
    pub(super) fn new(
        service: Service,
        gate: Arc<Gate>,
        tls: SharedTls,
        telemetry: Telemetry,
        fixed: Fixed,
    ) -> Self {
        Self {
            service,
            gate,
            tls,
            telemetry,
            fixed,
        }
    }

    /// Applies one after the other until no more can come.
    pub(super) async fn run(self, reloads: Option<mpsc::Receiver<Reload>>) {
        let Some(mut reloads) = reloads else {
            return;
        };
        while let Some(reload) = reloads.recv().await {
            let outcome = match reload.config {
                Ok(config) => self.apply(config).await,
                Err(faults) => Err(faults.to_string()),
            };
            let is_applied = outcome.is_ok();
            if let Err(error) = outcome {
                tracing::error!(error = %error, "the configuration was not reloaded: the running one stays");
            }
            self.telemetry.count_reload(is_applied);
            if let Some(waiting) = reload.applied {
                waiting.send(is_applied).ok();
            }
        }
    }

    /// What can be refused comes first, so that a refusal leaves everything as it was.
    async fn apply(&self, config: Config) -> Result<(), String> {
        let (new, fixed) = split(config);
        if fixed.speaks_tls != self.fixed.speaks_tls {
            return Err("whether TLS is spoken changes at a restart only".to_owned());
        }
        if fixed != self.fixed {
            tracing::warn!(
                "`database_url`, `database_direct_url`, `staleness_bound`, `reflection` and `drain_delay` change at a \
                 restart only"
            );
        }
        self.telemetry
            .set_log(&new.log)
            .map_err(|error| error.to_string())?;
        let hash = new.rules.policy.hash().to_owned();
        self.service
            .replace_rules(new.rules)
            .await
            .map_err(|error| error.to_string())?;
        self.telemetry.set_policy(&hash);
        self.gate.replace_callers(new.callers);
        self.tls.store(new.tls.map(Arc::new));
        tracing::info!(policy.hash = %hash, "the configuration was reloaded");
        Ok(())
    }
}
