//! Where everything meets: `serve` takes a bound listener, a configuration and a shutdown, and returns when all is drained.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Notify};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::ServingStatus;
use tower::util::MapResponseLayer;

use crate::{
    config::Config,
    domain::time::Clock,
    grpc::{Api, Gate, reflection, restate_too_large},
    service::{Parts, Service},
    store::{Store, StoreError},
};

/// How long calls in flight have, once no new ones are taken, before they are cut off.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

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

/// Serves until `shutdown` resolves. Then health turns NOT_SERVING, the listener stays open for the configured
/// `drain_delay` while load balancers notice, connections are told to go away, and calls in flight are finished.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let store = Store::open(&config.database_url, &config.peppers, clock.clone()).await?;
    serve_from(store, listener, config, clock, shutdown).await
}

/// [`serve`], from a store that is open already.
pub async fn serve_from(
    store: Store,
    listener: TcpListener,
    config: Config,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let gate = Arc::new(Gate::new(config.callers, clock.clone()));
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
    let drain = async move {
        shutdown.await;
        tracing::info!("draining");
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        tokio::time::sleep(config.drain_delay).await;
        closing.notify_one();
    };
    let serving = Server::builder()
        .layer(MapResponseLayer::new(restate_too_large))
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
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}
