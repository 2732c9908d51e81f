//! Going on under another configuration: rules, callers, certificate and log levels change together, or nothing does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::incoming::SharedTls;
use crate::{
    config::{Config, Faults, Tls},
    domain::{caller::Callers, database_url::DatabaseUrl, issuer::Issuer, share::Share},
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
    pub(super) issuers: Vec<Issuer>,
    pub(super) tls: Option<Tls>,
    pub(super) event_retention: Option<Duration>,
    log: String,
}

/// What stays as it was at start.
pub(super) struct Fixed {
    listen_addr: SocketAddr,
    metrics_addr: SocketAddr,
    pub(super) database_url: DatabaseUrl,
    pub(super) database_direct_url: DatabaseUrl,
    pub(super) staleness_bound: Duration,
    pub(super) view_capacity: usize,
    pub(super) reflection: bool,
    pub(super) drain_delay: Duration,
    pub(super) decision_log: Option<Share>,
    speaks_tls: bool,
}

impl Fixed {
    /// The keys in which another configuration differs.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen_addr", self.listen_addr != other.listen_addr),
            ("metrics_addr", self.metrics_addr != other.metrics_addr),
            ("database_url", self.database_url != other.database_url),
            (
                "database_direct_url",
                self.database_direct_url != other.database_direct_url,
            ),
            (
                "staleness_bound",
                self.staleness_bound != other.staleness_bound,
            ),
            ("view_capacity", self.view_capacity != other.view_capacity),
            ("reflection", self.reflection != other.reflection),
            ("drain_delay", self.drain_delay != other.drain_delay),
            ("decision_log", self.decision_log != other.decision_log),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(key, _)| key).collect()
    }
}

/// The two parts of a configuration.
pub(super) fn split(config: Config) -> (Replaceable, Fixed) {
    let fixed = Fixed {
        listen_addr: config.listen_addr,
        metrics_addr: config.metrics_addr,
        database_url: config.database_url,
        database_direct_url: config.database_direct_url,
        staleness_bound: config.staleness_bound,
        view_capacity: config.view_capacity,
        reflection: config.reflection,
        drain_delay: config.drain_delay,
        decision_log: config.decision_log,
        speaks_tls: config.tls.is_some(),
    };
    let replaceable = Replaceable {
        rules: Rules {
            policy: config.policy,
            format: config.token_format,
            ring: config.peppers,
        },
        callers: config.callers,
        issuers: config.issuers,
        tls: config.tls,
        event_retention: config.event_retention,
        log: config.log,
    };
    (replaceable, fixed)
}

/// Tells when the certificate ends that is shown from now on.
pub(super) fn tell_certificate(telemetry: &Telemetry, tls: Option<&Tls>) {
    telemetry.set_certificate_end(tls.and_then(|tls| tls.not_after));
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
        let hash = new.rules.policy.hash().to_owned();
        Telemetry::check_log(&new.log).map_err(|error| error.to_string())?;
        self.service
            .replace_rules(new.rules)
            .await
            .map_err(|error| error.to_string())?;
        // Nothing is refused from here on.
        if let Err(error) = self.telemetry.set_log(&new.log) {
            tracing::error!(error = %error, "the log goes on as it was");
        }
        self.telemetry.set_policy(&hash);
        self.gate.replace_callers(new.callers, &new.issuers);
        self.service.keep_events_for(new.event_retention);
        tell_certificate(&self.telemetry, new.tls.as_ref());
        self.tls.store(new.tls.map(Arc::new));
        tracing::info!(policy.hash = %hash, "the configuration was reloaded");
        let differences = self.fixed.differences(&fixed);
        if !differences.is_empty() {
            let keys = differences.join("`, `");
            tracing::warn!("`{keys}` changed, which counts only after a restart");
        }
        Ok(())
    }
}
