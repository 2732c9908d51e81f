//! Where everything meets: `serve` takes bound listeners, a configuration and a shutdown, and returns when all is drained.

mod certificate;
mod handshake;
mod incoming;
mod limits;
mod reload;
mod startup;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::layer::util::{Identity, Stack};

use self::{handshake::Handshakes, reload::Reloader, startup::Attempts};
pub use self::{limits::Limits, reload::Reload};
use crate::{
    config::Config,
    domain::{
        caller::Callers, database_url::Backend, error::Error, identity_token::Refused,
        issuer::Issuer, time::Clock,
    },
    grpc::{Api, DecisionLog, DirectLayer, Gate, GuardLayer, MAX_MESSAGE, Written, reflection},
    identity::Identities,
    service::Service,
    store::{PoolVitals, Store, StoreError},
    telemetry::{
        DatabaseSample, IssuersSample, MetricsServer, PoolSample, RpcLayer, Telemetry, ViewSample,
    },
    view::{self, View},
};

/// How long calls in flight have, once no new ones are taken, before they are cut off.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// The health service that tells whether decisions can be made from memory now.
const FRESHNESS: &str = "countersign.freshness";
const FRESHNESS_INTERVAL: Duration = Duration::from_millis(100);
/// How long decisions that are still to be logged are waited for at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
/// How long issuers of identity tokens are waited for at the start.
const ISSUER_PATIENCE: Duration = Duration::from_secs(3);
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
    /// How much it takes on.
    pub limits: Limits,
    /// New configurations, if they may come.
    pub reloads: Option<mpsc::Receiver<Reload>>,
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
    /// The view cannot be filled.
    #[error("the feed of changes cannot be read: {0}")]
    View(#[from] Error),
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
    let attempts = Attempts::begin();
    let store = loop {
        let clock = inputs.clock.clone();
        match Store::open(&config.database_url, &config.peppers, clock).await {
            Err(error) if error.passes() => attempts.wait(error).await?,
            opened => break opened?,
        }
    };
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
    let telemetry = inputs.telemetry;
    observe(&mut store, &telemetry);
    let (reload_settings, fixed) = reload::split(config);
    let identities = identities(&reload_settings.issuers, &inputs.clock, &telemetry);
    let gate = gate(
        reload_settings.callers,
        identities,
        inputs.clock.clone(),
        &telemetry,
    );
    sample_issuers(&telemetry, &gate);
    reload::tell_certificate(&telemetry, reload_settings.tls.as_ref());
    let tls = Arc::new(ArcSwapOption::from_pointee(reload_settings.tls));
    let handshakes = Handshakes::new(&inputs.limits, inputs.clock.clone(), &telemetry);
    let settings = view_settings(&fixed, &inputs.limits);
    let view = View::new(&store, &settings, &inputs.clock)?;
    if settings.url.backend() == Backend::Sqlite {
        store.set_staleness_bound(settings.staleness_bound).await?;
    }
    let attempts = Attempts::begin();
    let following = loop {
        match view.follow(&store, &settings, &inputs.clock).await {
            Err(Error::Unavailable) => attempts.wait(Error::Unavailable).await?,
            followed => break followed?,
        }
    };
    sample_view(&telemetry, &view);
    let rules = reload_settings.rules;
    let service = Service::new(store.clone(), rules, inputs.clock, view.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    // Ended with this, whatever ends it.
    let mut beside = JoinSet::new();
    let notice_interval = inputs.limits.notice_interval;
    beside.spawn(service.clone().tell_of_expiries(notice_interval));
    service.keep_events_for(reload_settings.event_retention);
    let retention_interval = inputs.limits.retention_interval;
    beside.spawn(service.clone().drop_old_events(retention_interval));
    let (decision_log, logged) = decision_log(&fixed, &telemetry).unzip();
    let decisions = telemetry.clone();
    let api = Api::new(service.clone(), Arc::clone(&gate))
        .on_decision(move |decision| decisions.count_decision(decision))
        .with_decision_log(decision_log);
    let health_service = health_service.max_decoding_message_size(MAX_MESSAGE);
    let mut routes = Routes::new(health_service)
        .add_service(api.directory())
        .add_service(api.event())
        .add_service(api.token());
    if fixed.reflection {
        routes = reflection(routes, &gate)?;
    }
    beside.spawn(tell_freshness(health.clone(), view));
    // Drained: no new connection from then on.
    let (drained, mut has_drained) = watch::channel(false);
    let limits = inputs.limits.with_jitter();
    let shared_tls = Arc::clone(&tls);
    let tls_of_new = (shared_tls, handshakes);
    let connections = incoming::accept(inputs.grpc, tls_of_new, &limits, has_drained.clone());
    let (readiness, watched) = (telemetry.clone(), service.clone());
    beside.spawn(service.clone().keep_uses(limits.use_interval));
    let used = service.clone();
    let drain_delay = fixed.drain_delay;
    let drain = async move {
        shutdown.await;
        tracing::info!("draining");
        readiness.set_ready(false);
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        tokio::time::sleep(drain_delay).await;
        watched.stop_watches();
        drained.send_replace(true);
    };
    let reloader = Reloader::new(service, Arc::clone(&gate), tls, telemetry.clone(), fixed);
    beside.spawn(reloader.run(inputs.reloads));
    // Callers with tokens are not to meet a new server that cannot know them yet.
    gate.warm_up(ISSUER_PATIENCE).await;
    telemetry.set_ready(true);
    let serving = transport(&limits, &telemetry, &api)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), drain);
    let deadline = async {
        has_drained.wait_for(|drained| *drained).await.ok();
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = serving => served?,
        // Streams that nobody closes, such as a watch on health, end here.
        () = deadline => tracing::warn!("calls still in flight were cut off"),
    }
    telemetry.set_ready(false);
    beside.shutdown().await;
    used.write_last_uses().await;
    drop(api);
    if let Some(logged) = logged {
        tokio::time::timeout(LOG_PATIENCE, logged).await.ok();
    }
    following.stop().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The innermost first.
type Layers = Stack<DirectLayer, Stack<GuardLayer, Stack<RpcLayer, Identity>>>;

/// HTTP/2 with its limits, and the layers that every call passes.
fn transport(limits: &Limits, telemetry: &Telemetry, api: &Api) -> Server<Layers> {
    Server::builder()
        .max_concurrent_streams(limits.streams)
        .http2_max_header_list_size(limits.headers)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        // With a grace of tonic's, nobody would be told to go away, only cut: the connections themselves see to its end.
        .max_connection_age(limits.connection_age)
        // The outermost, so that what the guard refuses is told of too.
        .layer(telemetry.rpc_layer())
        .layer(GuardLayer::new(limits.calls.clone(), api))
        .layer(DirectLayer::new(api))
}

/// The log of decisions, if they are logged.
fn decision_log(fixed: &reload::Fixed, telemetry: &Telemetry) -> Option<(DecisionLog, Written)> {
    let unlogged = telemetry.clone();
    let log = DecisionLog::start(fixed.decision_log?, move || {
        unlogged.count_unlogged_decision()
    });
    log.inspect_err(|error| tracing::error!(error = %error, "decisions are not logged"))
        .ok()
}

fn identities(issuers: &[Issuer], clock: &Clock, telemetry: &Telemetry) -> Identities {
    let fetches = telemetry.clone();
    let count_fetch = move |outcome| fetches.count_key_fetch(outcome);
    Identities::new(issuers, clock, Arc::new(count_fetch))
}

fn gate(
    callers: Callers,
    identities: Identities,
    clock: Clock,
    telemetry: &Telemetry,
) -> Arc<Gate> {
    let failures = telemetry.clone();
    let count_failure = move |error: &Error, token: Option<&Refused>| {
        failures.count_authentication_failure(error);
        if let Some(refused) = token {
            failures.count_identity_token_failure(refused);
        }
    };
    Arc::new(Gate::new(callers, identities, clock).on_failure(count_failure))
}

/// Has the keys of issuers tell of themselves.
fn sample_issuers(telemetry: &Telemetry, gate: &Arc<Gate>) {
    let gate = Arc::downgrade(gate);
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    telemetry.sample_issuers(move || {
        let vitals = gate.upgrade().map(|gate| gate.issuers());
        let vitals = vitals.unwrap_or_default();
        IssuersSample {
            held: count(vitals.held),
            missing: count(vitals.missing),
            age: vitals.age,
        }
    });
}

/// Serves the metrics port, where there is one that is not served yet, until what this returns is dropped.
fn serve_metrics(inputs: &mut Inputs, config: &Config) -> Option<MetricsServer> {
    inputs.telemetry.set_policy(config.policy.hash());
    let listener = inputs.metrics.take()?;
    Some(inputs.telemetry.serve_metrics(listener))
}

/// A decision that has to wait does so for no longer than four fifths of its deadline, so that it can still be told why.
fn view_settings(fixed: &reload::Fixed, limits: &Limits) -> view::Settings {
    view::Settings {
        url: fixed.database_url.clone(),
        direct_url: fixed.database_direct_url.clone(),
        staleness_bound: fixed.staleness_bound,
        capacity: fixed.view_capacity,
        patience: limits.calls.decision_deadline * 4 / 5,
    }
}

/// Tells by the health service whether the view is fresh enough to decide from, until it is stopped.
async fn tell_freshness(health: HealthReporter, view: View) {
    let mut told = None;
    loop {
        let is_fresh = view.is_fresh();
        if told.replace(is_fresh) != Some(is_fresh) {
            let status = match is_fresh {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            health.set_service_status(FRESHNESS, status).await;
        }
        tokio::time::sleep(FRESHNESS_INTERVAL).await;
    }
}

/// Has the view tell of itself.
fn sample_view(telemetry: &Telemetry, view: &View) {
    let view = view.clone();
    telemetry.sample_view(move || {
        let vitals = view.vitals();
        ViewSample {
            age: vitals.age,
            tokens: i64::try_from(vitals.tokens).unwrap_or(i64::MAX),
            lag: vitals.lag,
            clock_skew_millis: vitals.clock_skew_millis,
            totals: vitals.totals.to_vec(),
        }
    });
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
        tail: vitals.tail(),
        dropped_events: vitals.dropped_events(),
        pools: vec![
            pool("read", vitals.read_pool()),
            pool("write", vitals.write_pool()),
        ],
    });
}
