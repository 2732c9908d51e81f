//! The metrics port: `/metrics` for Prometheus, `/livez` and `/readyz` for probes. Plain HTTP always, and nothing secret.
//!
//! No answer waits for the database.

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::Telemetry;

/// The text format that every version of Prometheus reads.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics port until it is dropped.
pub struct MetricsServer(JoinHandle<()>);

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Telemetry {
    /// Serves metrics and probes on this listener. To be kept until all else has ended, so that a drain can be seen.
    pub fn serve_metrics(&self, listener: TcpListener) -> MetricsServer {
        let router = router(self.clone());
        MetricsServer(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(error = %error, "the metrics port failed");
            }
        }))
    }
}

fn router(telemetry: Telemetry) -> Router {
    let readiness = telemetry.clone();
    Router::new()
        .route("/metrics", get(async move || metrics(&telemetry)))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(async move || readyz(&readiness)))
        .fallback(async || {
            let text = "there is nothing here but /metrics, /livez and /readyz\n";
            (StatusCode::NOT_FOUND, text)
        })
}

fn metrics(telemetry: &Telemetry) -> impl IntoResponse + use<> {
    match telemetry.0.metrics.scrape() {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, TEXT_FORMAT)], text),
        Err(error) => {
            tracing::error!(error = %error, "the metrics cannot be written");
            let text = "the metrics cannot be written\n".to_owned();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(CONTENT_TYPE, TEXT_FORMAT)],
                text,
            )
        }
    }
}

fn readyz(telemetry: &Telemetry) -> (StatusCode, &'static str) {
    match telemetry.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}
