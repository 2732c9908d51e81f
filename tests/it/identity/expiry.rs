//! A certificate that expires while its connection lives.

use std::{
    error::Error,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use countersign::pb::{WatchEventsRequest, WatchEventsResponse};
use rcgen::date_time_ymd;
use tokio::time::timeout;
use tonic::{Code, Streaming, metadata::MetadataMap, transport::Channel};

use super::{PATIENCE, World, caller, patiently};
use crate::{
    support::{
        certificates::{Certified, uri},
        client::Client,
        http::Scrape,
        status::assert_status,
    },
    tls::connect,
};

const ID: &str = "spiffe://example.org/short-lived";
/// How long it lives: enough to connect on a busy machine.
const LIFE: Duration = Duration::from_secs(8);
/// How long it lives where that was not enough.
const LONG_LIFE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_authenticates_no_call_and_no_stream_any_more() {
    let none = MetadataMap::new();
    let both = caller("short-lived", ID, "directory.read")
        .replace("\"directory.read\"", "\"directory.read\", \"events.read\"");
    let world = World::start(&both);
    let opened = match Opened::with(&world, LIFE).await {
        Err(_) => Opened::with(&world, LONG_LIFE).await,
        opened => opened,
    };
    let Opened {
        certified,
        expiry,
        channel,
        mut watched,
    } = opened.expect("it is good still");

    let deadline = Instant::now() + LONG_LIFE + PATIENCE;
    let refused = loop {
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
        match patiently(&channel, &none).await {
            // Never later than a second after its last one.
            Ok(()) => assert!(asked < expiry + Duration::from_secs(1), "{asked:?}"),
            Err(status) => break status,
        }
        assert!(Instant::now() < deadline, "it is never refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
    assert!(now > expiry, "{now:?}");
    assert_status(&refused, Code::Unauthenticated, "CREDENTIAL_INVALID", None);
    let told = format!("it names `{ID}`, and has expired");
    // The log is read by a thread of its own.
    while !world.process.log().contains(&told) {
        assert!(Instant::now() < deadline, "{}", world.process.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = loop {
        let item = timeout(PATIENCE, watched.message()).await;
        if let Err(status) = item.expect("an end in time") {
            break status;
        }
    };
    assert_status(&ended, Code::Unauthenticated, "CREDENTIAL_INVALID", None);

    // A new connection does not come about, from the second after its last one on.
    let address = world.process.address();
    let expired = "countersign_tls_handshake_failures_total{reason=\"CERTIFICATE_EXPIRED\"}";
    let metrics = world.process.metrics_address();
    while Scrape::of(metrics).await.get(expired) == Some(0.0) {
        assert!(Instant::now() < deadline, "{}", world.process.log());
        if let Ok(channel) = connect(address, &world.servers, Some(&certified)).await {
            patiently(&channel, &none).await.expect_err("it is refused");
        }
    }
}

/// What a certificate that lives still has opened.
struct Opened {
    certified: Certified,
    /// Its last second, since 1970.
    expiry: Duration,
    channel: Channel,
    watched: Streaming<WatchEventsResponse>,
}

impl Opened {
    /// With a certificate that lives for so long from now on. It may have expired before all is open.
    async fn with(world: &World, life: Duration) -> Result<Self, Box<dyn Error>> {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later");
        let expiry = Duration::from_secs((since_epoch + life).as_secs());
        let certified = world.clients.client_with(|params| {
            params.subject_alt_names = vec![uri(&ID)];
            params.not_after = date_time_ymd(1970, 1, 1) + expiry;
        });
        let address = world.process.address();
        let channel = connect(address, &world.servers, Some(&certified)).await?;
        patiently(&channel, &MetadataMap::new()).await?;
        let mut events = Client::new(&channel, None).events;
        let watched = events.watch_events(WatchEventsRequest::default()).await?;
        Ok(Self {
            certified,
            expiry,
            channel,
            watched: watched.into_inner(),
        })
    }
}
