//! Where everything meets: `serve` takes a bound listener, a configuration and a shutdown, and returns when all is drained.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Notify};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::ServingStatus;

use crate::{
    config::Config,
    domain::{error::Error, time::Clock},
    grpc::{Api, Gate, reflection},
    service::{Parts, Service},
    store::{PoolVitals, Store, StoreError},
    telemetry::{DatabaseSample, MetricsServer, PoolSample, Telemetry},
};

/// How long calls in flight have, once no new ones are taken, before they are cut off.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What a server is given beside its configuration.
pub struct Inputs {
    /// Where gRPC is served.
    pub grpc: TcpListener,
    /// Where metrics and probes are served, if anywhere.
    pub metrics: Option<TcpListener>,
    /// What time it is.
    pub clock: Clock,
    /// What it tells of itself.
    pub telemetry: Telemetry,
}

/// Why the server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The descriptors that reflection serves are broken.
    #[error("reflection cannot be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until `shutdown` resolves. Then readiness ends, the listener stays open for the configured `drain_delay` while
/// load balancers notice, connections are told to go away, and calls in flight are finished. The metrics port is the first
/// to be served and the last to end.
pub async fn serve(
    mut inputs: Inputs,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let _metrics = serve_metrics(&mut inputs, &config);
    let (url, clock) = (&config.database_url, inputs.clock.clone());
    let store = Store::open(url, &config.peppers, clock).await?;
    serve_from(store, inputs, config, shutdown).await
}

/// [`serve`], from a store that is open already.
pub async fn serve_from(
    mut store: Store,
    mut inputs: Inputs,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let _metrics = serve_metrics(&mut inputs, &config);
    let Inputs {
        grpc: listener,
        clock,
        telemetry,
        ..
    } = inputs;
    observe(&mut store, &telemetry);
    let gate = Gate::new(config.callers, clock.clone());
    let failures = telemetry.clone();
    let count_failure = move |error: &Error| failures.count_authentication_failure(error);
    let gate = Arc::new(gate.on_failure(count_failure));
    let api = Api::new(
        Service::new(Parts {
            store: store.clone(),
            policy: config.policy,
            format: config.token_format,
            ring: config.peppers,
            clock,
        }),
        Arc::clone(&gate),
    );
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service)
        .add_service(api.authorization())
        .add_service(api.directory())
        .add_service(api.event())
        .add_service(api.token());
    if config.reflection {
        routes = reflection(routes, &gate)?;
    }
    let closing = Arc::new(Notify::new());
    let closed = Arc::clone(&closing);
    let readiness = telemetry.clone();
    let drain = async move {
        shutdown.await;
        tracing::info!("draining");
        readiness.set_ready(false);
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        tokio::time::sleep(config.drain_delay).await;
        closing.notify_one();
    };
    telemetry.set_ready(true);
    let serving = Server::builder()
        // The outermost, so that health, reflection and whatever other layers refuse are told of too.
        .layer(telemetry.rpc_layer())
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), drain);
    let deadline = async {
        closed.notified().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = serving => served?,
        // Streams that nobody closes, such as a watch on health, end here.
        () = deadline => tracing::warn!("calls still in flight were cut off"),
    }
    telemetry.set_ready(false);
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Serves the metrics port, where there is one that is not served yet, until what this returns is dropped.
fn serve_metrics(inputs: &mut Inputs, config: &Config) -> Option<MetricsServer> {
    inputs.telemetry.set_policy(config.policy.hash());
    let listener = inputs.metrics.take()?;
    Some(inputs.telemetry.serve_metrics(listener))
}

/// Has the store tell of itself.
fn observe(store: &mut Store, telemetry: &Telemetry) {
    let changes = telemetry.clone();
    store.on_commit(move |details| changes.count_change(details));
    let vitals = store.vitals();
    let pool = |name, pool: PoolVitals| PoolSample {
        name,
        open: i64::try_from(pool.open).unwrap_or(i64::MAX),
        idle: i64::try_from(pool.idle).unwrap_or(i64::MAX),
    };
    telemetry.sample_database(move || DatabaseSample {
        head: vitals.head(),
        pools: vec![
            pool("read", vitals.read_pool()),
            pool("write", vitals.write_pool()),
        ],
    });
}
