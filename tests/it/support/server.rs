//! The real server, in this process, on a port of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use countersign::{
    config::Config,
    domain::{
        caller::{ActsFor, Caller, Callers, Grant, KeyDigest},
        database_url::DatabaseUrl,
        ids::CallerName,
        issuer::Issuer,
        pepper::PepperRing,
        policy::Policy,
        secret::TokenFormat,
    },
    grpc::{self, CallLimits},
    server::{self, Inputs, Limits, Reload, StartError},
    store::{self, Store},
    telemetry::Telemetry,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint};

use super::{
    client::Client,
    clock::TestClock,
    database::{Backend, TestDatabase},
    statements::Statements,
};

/// A caller with every grant that acts for the platform.
pub(crate) const PLATFORM: &str = "platform";
/// A caller with every grant that acts for members.
pub(crate) const DASHBOARD: &str = "dashboard";
/// A caller that may only ask for decisions.
pub(crate) const BOOKINGS: &str = "bookings";

/// A pepper, and one to rotate to.
pub(crate) const PEPPER: &str = "p1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub(crate) const NEXT_PEPPER: &str = "p2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// The service key of the caller with this name.
pub(crate) fn key_of(name: &str) -> String {
    format!("csn_key_{name:0<43}")
}

/// One entry of the callers.
pub(crate) fn caller(name: &str, grants: &[Grant], acts_for: ActsFor) -> (KeyDigest, Arc<Caller>) {
    let caller = Caller {
        name: CallerName::parse(name).expect("a name"),
        grants: grants.to_vec(),
        acts_for,
    };
    (KeyDigest::of(&key_of(name)), Arc::new(caller))
}

/// How a server is set up. The default is what most tests want.
pub(crate) struct Setup {
    pub(crate) callers: Callers,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) policy: Policy,
    pub(crate) peppers: String,
    pub(crate) token_format: TokenFormat,
    pub(crate) reflection: bool,
    pub(crate) drain_delay: Duration,
    /// Where the database is reached, if not directly.
    pub(crate) database_url: Option<String>,
    /// Where its feed is followed, if not where the rest is.
    pub(crate) database_direct_url: Option<String>,
    pub(crate) clock: TestClock,
    pub(crate) limits: Limits,
    pub(crate) event_retention: Option<Duration>,
    /// Told of every statement that is run while it serves.
    pub(crate) statements: Option<Statements>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            callers: Callers::keyed(vec![
                caller(PLATFORM, &Grant::ALL, ActsFor::Platform),
                caller(DASHBOARD, &Grant::ALL, ActsFor::Members),
                caller(BOOKINGS, &[Grant::Authorize], ActsFor::Members),
            ]),
            issuers: Vec::new(),
            policy: Policy::embedded().expect("the default policy is good"),
            peppers: PEPPER.to_owned(),
            token_format: TokenFormat::default(),
            reflection: true,
            drain_delay: Duration::ZERO,
            database_url: None,
            database_direct_url: None,
            clock: TestClock::default(),
            // A busy machine is no reason for a test to fail: those about deadlines set their own.
            limits: Limits {
                calls: CallLimits {
                    decision_deadline: Duration::from_secs(30),
                    other_deadline: Duration::from_secs(30),
                    ..CallLimits::default()
                },
                // Nor may what is counted or compared change by itself: those about uses set their own.
                use_interval: Duration::from_secs(3600),
                // Those about notices do: in all others the feed is theirs.
                notice_interval: Duration::from_secs(24 * 60 * 60),
                // As those about retention do.
                retention_interval: Duration::from_secs(24 * 60 * 60),
                ..Limits::default()
            },
            event_retention: None,
            statements: None,
        }
    }
}

impl Setup {
    /// Open to anyone, as `dev` is.
    pub(crate) fn open() -> Self {
        Self {
            callers: Callers::open(CallerName::parse("dev").expect("a name")),
            ..Self::default()
        }
    }

    /// Brings a PostgreSQL database up to date and serves.
    pub(crate) async fn start(self, database: &TestDatabase) -> TestServer {
        if database.backend() == Backend::Postgres {
            let url = DatabaseUrl::parse(database.url()).expect("an address");
            store::migrate(&url)
                .await
                .expect("the database is migrated");
        }
        self.start_unmigrated(database).await
    }

    /// Serves the database as it is.
    pub(crate) async fn start_unmigrated(self, database: &TestDatabase) -> TestServer {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let metrics = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let metrics_address = metrics.local_addr().expect("a bound port");
        let telemetry = Telemetry::new(grpc::methods()).expect("telemetry");
        let url = self.database_url.as_deref().unwrap_or(database.url());
        let direct_url = self.database_direct_url.as_deref().unwrap_or(url);
        let [url, direct_url] =
            [url, direct_url].map(|url| DatabaseUrl::parse(url).expect("an address"));
        let (clock, statements) = (self.clock.clone(), self.statements.clone());
        let limits = self.limits.clone();
        let place = Place {
            address,
            metrics_address,
            url,
            direct_url,
        };
        let config = self.config(&place);
        let (stop, stopped) = oneshot::channel::<()>();
        // The end of the test, which drops the sender, ends the server as well.
        let shutdown = async move { drop(stopped.await) };
        let (reloads, reloading) = mpsc::channel(1);
        let inputs = Inputs {
            grpc: listener,
            metrics: Some(metrics),
            clock: clock.clock(),
            telemetry,
            limits,
            reloads: Some(reloading),
        };
        let task = tokio::spawn(async move {
            let Some(statements) = statements else {
                return server::serve(inputs, config, shutdown).await;
            };
            let clock = inputs.clock.clone();
            let mut store = Store::open(&config.database_url, &config.peppers, clock).await?;
            store.on_statement(move |sql| statements.add(sql));
            server::serve_from(store, inputs, config, shutdown).await
        });
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address")
            .connect_lazy();
        TestServer {
            place,
            clock,
            channel,
            reloads,
            stop,
            task,
        }
    }

    fn config(self, place: &Place) -> Config {
        Config {
            listen_addr: place.address,
            metrics_addr: place.metrics_address,
            database_url: place.url.clone(),
            database_direct_url: place.direct_url.clone(),
            peppers: PepperRing::parse(&self.peppers).expect("peppers"),
            policy: self.policy,
            token_format: self.token_format,
            staleness_bound: Duration::from_secs(1),
            view_capacity: 1000,
            tls: None,
            reflection: self.reflection,
            drain_delay: self.drain_delay,
            log: "info".to_owned(),
            decision_log: None,
            event_retention: self.event_retention,
            callers: self.callers,
            issuers: self.issuers,
        }
    }
}

/// What every configuration of one server has in common.
struct Place {
    address: SocketAddr,
    metrics_address: SocketAddr,
    url: DatabaseUrl,
    direct_url: DatabaseUrl,
}

/// A server that runs until it is stopped or dropped.
pub(crate) struct TestServer {
    place: Place,
    clock: TestClock,
    channel: Channel,
    reloads: mpsc::Sender<Reload>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), StartError>>,
}

impl TestServer {
    /// The default one.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Setup::default().start(database).await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Where its metrics are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.place.metrics_address
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// The caller with this name.
    pub(crate) fn client(&self, name: &str) -> Client {
        self.client_with_key(Some(&key_of(name)))
    }

    /// Whoever shows this key, or none.
    pub(crate) fn client_with_key(&self, key: Option<&str>) -> Client {
        Client::new(&self.channel, key)
    }

    /// Its connection, to add metadata of one's own.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Goes on as this setup says, or as before: false. Its clock and its statements stay those that it was started with.
    pub(crate) async fn reload(&self, setup: Setup) -> bool {
        let (applied, is_applied) = oneshot::channel();
        let reload = Reload {
            config: Ok(setup.config(&self.place)),
            applied: Some(applied),
        };
        let sent = self.reloads.send(reload).await;
        assert!(sent.is_ok(), "the server runs");
        is_applied.await.expect("the server tells")
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn abandon(self) {
        self.task.abort();
        // It was told to end, and has not ended by itself.
        self.task.await.expect_err("it is aborted");
    }

    /// Waits until it ends by itself, and answers how.
    pub(crate) async fn ended(self) -> Result<(), StartError> {
        let ended = self.task.await;
        drop(self.stop);
        ended.expect("the server does not panic")
    }

    /// Stops it gracefully. Its result, so that a failed start can be looked at.
    pub(crate) async fn stop(self) -> Result<(), StartError> {
        drop(self.stop);
        self.task.await.expect("the server does not panic")
    }
}

/// Servers on one database and by one clock: one, and where the database can be shared two.
pub(crate) async fn servers(database: &TestDatabase, clock: &TestClock) -> Vec<TestServer> {
    let count = match database.backend() {
        Backend::Sqlite => 1,
        Backend::Postgres => 2,
    };
    let mut servers = Vec::new();
    for _ in 0..count {
        let setup = Setup {
            clock: clock.clone(),
            ..Setup::default()
        };
        servers.push(setup.start(database).await);
    }
    servers
}
