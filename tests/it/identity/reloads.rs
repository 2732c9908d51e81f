//! Workloads come and go with a reload, also in connections that are open; their authorities for new ones.

use countersign::pb::{WatchEventsRequest, WatchEventsResponse};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, metadata::MetadataMap, transport::Channel};

use super::{OTHER_ID, PATIENCE, READER_ID, World, caller, configuration, patiently};
use crate::{
    support::{certificates::Authority, client::Client, http::scrape_until, status::assert_status},
    tls::connect,
};

async fn watch(channel: &Channel) -> Streaming<WatchEventsResponse> {
    let mut client = Client::new(channel, None).events;
    let answer = client.watch_events(WatchEventsRequest::default()).await;
    answer.expect("a stream").into_inner()
}

async fn end(watch: &mut Streaming<WatchEventsResponse>) -> Status {
    loop {
        let item = timeout(PATIENCE, watch.message()).await;
        if let Err(status) = item.expect("an end in time") {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_no_caller_any_more_is_refused_in_the_connections_it_has() {
    let none = MetadataMap::new();
    let reader = |id| configuration(&caller("reader", id, "directory.read"));
    let watcher = caller("watcher", "spiffe://example.org/watcher", "events.read");
    let world = World::start(&format!(
        "{}{watcher}",
        caller("reader", READER_ID, "directory.read")
    ));
    let (old, new) = (
        world.workload(READER_ID).await,
        world.workload(OTHER_ID).await,
    );
    let watching = world.workload("spiffe://example.org/watcher").await;
    let mut watched = watch(&watching).await;
    patiently(&old, &none)
        .await
        .expect("the old one is admitted");
    let refused = patiently(&new, &none)
        .await
        .expect_err("the new one is not");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);

    world
        .reload(&[("countersign.toml", &reader(OTHER_ID))])
        .await;
    patiently(&new, &none)
        .await
        .expect("the new one is admitted");
    let refused = patiently(&old, &none)
        .await
        .expect_err("the old one is not");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
    let ended = end(&mut watched).await;
    assert_status(&ended, Code::Unauthenticated, "CREDENTIAL_INVALID", None);

    world
        .reload(&[("countersign.toml", &reader(READER_ID))])
        .await;
    patiently(&old, &none).await.expect("it is one again");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_counts_for_new_connections_and_open_ones_go_on() {
    let none = MetadataMap::new();
    let world = World::start(&caller("reader", READER_ID, "directory.read"));
    let open = world.workload(READER_ID).await;
    patiently(&open, &none).await.expect("it is admitted");

    let others = Authority::new("clients");
    let both = world.clients.certificate() + &others.certificate();
    world.reload(&[("clients.pem", &both)]).await;
    for authority in [&world.clients, &others] {
        let channel = world.channel(&authority.workload(&[READER_ID])).await;
        patiently(&channel, &none).await.expect("both are trusted");
    }
    world
        .reload(&[("clients.pem", &others.certificate())])
        .await;
    let channel = world.channel(&others.workload(&[READER_ID])).await;
    patiently(&channel, &none)
        .await
        .expect("the new one is trusted");
    patiently(&open, &none).await.expect("what is open goes on");

    let former = world.clients.workload(&[READER_ID]);
    let address = world.process.address();
    if let Ok(channel) = connect(address, &world.servers, Some(&former)).await {
        let refused = patiently(&channel, &none).await;
        refused.expect_err("the former one is not trusted any more");
    }
    let unknown = "countersign_tls_handshake_failures_total{reason=\"AUTHORITY_UNKNOWN\"}";
    let metrics = world.process.metrics_address();
    scrape_until(metrics, |scrape| scrape.get(unknown) >= Some(1.0)).await;
    assert!(world.process.log().contains("AUTHORITY_UNKNOWN"));
}
