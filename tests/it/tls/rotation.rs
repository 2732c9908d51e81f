//! Certificates that are replaced while the service runs.

use std::time::{Duration, Instant};

use super::{PATIENCE, USUAL, World, der, lines, shake_hands};
use crate::support::{certificates::Certified, http::scrape_until, process::Process, wire::Wire};

const END: &str = "countersign_tls_certificate_not_after_seconds";
const REFUSED: &str = "the configuration was not reloaded";

/// The certificate that a new connection is shown.
async fn shown(world: &World, process: &Process) -> Vec<u8> {
    let stream = shake_hands(process.address(), &world.authority, &USUAL).await;
    let stream = stream.expect("the handshake succeeds");
    let (_, session) = stream.get_ref();
    let certificates = session.peer_certificates().expect("a chain");
    certificates[0].to_vec()
}

async fn wait_until_shown(world: &World, process: &Process, certified: &Certified) {
    let deadline = Instant::now() + PATIENCE;
    while shown(world, process).await != der(&certified.certificate).to_vec() {
        assert!(Instant::now() < deadline, "the new one is never shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let world = World::create().await;
    let process = world.serve();
    let stream = shake_hands(process.address(), &world.authority, &USUAL).await;
    let mut open = Wire::over(stream.expect("the handshake succeeds")).await;
    open.must_be_healthy(1).await;

    let second = world.authority.server("two");
    second.write(world.folder.path(), "server");
    process.send("HUP");
    wait_until_shown(&world, &process, &second).await;
    open.must_be_healthy(3).await;

    // A broken file, and a key of another certificate, change nothing and are told.
    let third = world.authority.server("three");
    let before = lines(&process, REFUSED, 0).await.len();
    world.write(
        "server.pem",
        &third.certificate[..third.certificate.len() / 2],
    );
    process.send("HUP");
    let refused = lines(&process, REFUSED, before + 1).await;
    let told = refused.last().expect("it is told").to_string();
    assert!(told.contains("tls.cert_file"), "{told}");
    assert_eq!(
        shown(&world, &process).await,
        der(&second.certificate).to_vec()
    );
    world.write("server.pem", &third.certificate);
    process.send("HUP");
    let refused = lines(&process, "does not go with the certificate", 1).await;
    let told = refused.last().expect("it is told").to_string();
    assert!(
        told.contains(REFUSED) && told.contains("tls.key_file"),
        "{told}"
    );
    assert_eq!(
        shown(&world, &process).await,
        der(&second.certificate).to_vec()
    );
    open.must_be_healthy(5).await;

    // Once both are there it is taken, without being asked.
    world.write("server.key", &third.key);
    wait_until_shown(&world, &process, &third).await;
    open.must_be_healthy(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_when_the_certificate_ends() {
    let world = World::create().await;
    let process = world.serve();
    let told = async |end: f64| {
        scrape_until(process.metrics_address(), |it| it.get(END) == Some(end)).await;
    };
    let (end_of_2020, end_of_2199) = (1_609_459_200.0, 7_258_118_400.0);
    told(end_of_2199).await;

    // Of a chain it is the first end that counts.
    let (new, old) = (
        world.authority.server("new"),
        world.authority.expired_server(),
    );
    let chain = Certified {
        certificate: format!("{}{}", new.certificate, old.certificate),
        key: new.key.clone(),
    };
    chain.write(world.folder.path(), "server");
    process.send("HUP");
    told(end_of_2020).await;

    new.write(world.folder.path(), "server");
    process.send("HUP");
    told(end_of_2199).await;
}
