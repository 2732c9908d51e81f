//! The probes, from before the database is there until after it has gone.

use std::time::Duration;

use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    client::authorize_request,
    database::{Backend, TestDatabase, on_both},
    http::{get, status, wait_for_status},
    proxy::{Mode, Proxy},
    server::{Setup, TestServer},
};

on_both![
    readiness_ends_with_the_drain_and_the_port_stays,
    what_is_not_there_is_told_with_what_is,
];

async fn readiness_ends_with_the_drain_and_the_port_stays(database: TestDatabase) {
    let setup = Setup {
        drain_delay: Duration::from_millis(1500),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let address = server.metrics_address();
    wait_for_status(address, "/readyz", 200).await;
    assert_eq!(health(&server).await, ServingStatus::Serving);
    let channel = server.channel();
    let stopping = tokio::spawn(server.stop());
    wait_for_status(address, "/readyz", 503).await;
    assert_eq!(
        get(address, "/readyz").await,
        (503, "not ready\n".to_owned())
    );
    assert_eq!(status(address, "/livez").await, 200);
    assert_eq!(status(address, "/metrics").await, 200);
    // Calls are still answered, as the drain delay is for.
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(channel.clone()).check(request).await;
    let answer = answer.expect("it still answers").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    drop(channel);
    stopping
        .await
        .expect("no panic")
        .expect("it stops without a fault");
    wait_for_status(address, "/livez", 0).await;
}

async fn what_is_not_there_is_told_with_what_is(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let address = server.metrics_address();
    let (status, text) = get(address, "/healthz").await;
    assert_eq!(status, 404);
    for path in ["/metrics", "/livez", "/readyz"] {
        assert!(text.contains(path), "{text}");
    }
    assert_eq!(get(address, "/livez").await, (200, "alive\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_comes_with_the_database_and_does_not_hang_on_it() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let (before, rest) = database.url().split_once("127.0.0.1:").expect("a port");
    let (port, name) = rest.split_once('/').expect("a database");
    let upstream = format!("127.0.0.1:{port}").parse().expect("an address");
    let proxy = Proxy::start(upstream, Mode::Stall).await;
    let setup = Setup {
        database_url: Some(format!("{before}{}/{name}", proxy.address())),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let address = server.metrics_address();
    wait_for_status(address, "/livez", 200).await;
    assert_eq!(status(address, "/readyz").await, 503);
    assert_eq!(status(address, "/metrics").await, 200);

    proxy.set(Mode::Pass);
    wait_for_status(address, "/readyz", 200).await;
    let client = server.client("bookings");
    let token = never_issued();
    let request = || authorize_request(&token, "bookings.read", "acme", None);
    let authorize = async || client.authorization.clone().authorize(request()).await;
    authorize().await.expect("there is a decision");

    proxy.set(Mode::Cut);
    // The first refusal shows that the outage has arrived.
    let refusal = loop {
        if let Err(status) = authorize().await {
            break status;
        }
    };
    assert_eq!(refusal.code(), Code::Unavailable);
    assert_eq!(status(address, "/readyz").await, 200);
    assert_eq!(status(address, "/livez").await, 200);
    assert_eq!(status(address, "/metrics").await, 200);
    assert_eq!(health(&server).await, ServingStatus::Serving);
}

/// A token that was never issued, for which the database has to be asked.
fn never_issued() -> String {
    use countersign::domain::secret::{Secret, TokenFormat};

    let secret = Secret::random().expect("random bytes");
    TokenFormat::default().print(&secret).expose().to_owned()
}

async fn health(server: &TestServer) -> ServingStatus {
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(server.channel()).check(request).await;
    answer.expect("health answers").into_inner().status()
}
