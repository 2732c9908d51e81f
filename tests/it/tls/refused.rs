//! Clients that are not served: what they are told, and the one line in the log for each.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, HandshakeKind, RootCertStore,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
        version::TLS13,
    },
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    FAILED, OLDER, Offer, PATIENCE, USUAL, World, connect, der, lines, must_have_failed,
    shake_hands, shake_hands_over, told as told_of,
};
use crate::support::{
    certificates::{Authority, Certified},
    http::scrape_until,
    process::Process,
    wire::Wire,
};

/// What keeps a client from being served, in the connection or in the first call.
async fn refusal(process: &Process, ca: &Authority, identity: Option<&Certified>) -> String {
    let refusal = async {
        match connect(process.address(), ca, identity).await {
            Err(error) => told_of(&error),
            Ok(channel) => {
                let request = HealthCheckRequest::default();
                let answer = HealthClient::new(channel).check(request).await;
                told_of(&answer.expect_err("it is not served"))
            }
        }
    };
    let refusal = tokio::time::timeout(PATIENCE, refusal).await;
    refusal.expect("nothing hangs")
}

/// A handshake that one of both sides refuses: where it came from, and what the client was told.
async fn refused(address: SocketAddr, ca: &Authority, offer: &Offer<'_>) -> (SocketAddr, String) {
    let stream = TcpStream::connect(address).await.expect("TCP is there");
    let peer = stream.local_addr().expect("an address");
    let told = async {
        let mut stream = shake_hands_over(stream, ca, offer).await?;
        // In TLS 1.3 a client is through before its certificate has been looked at.
        stream.read(&mut [0; 1]).await.map(|_| ())
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    let told = told.expect("nothing hangs").expect_err("it is refused");
    (peer, told.to_string())
}

/// A connection on which this is said: where it came from.
async fn say(address: SocketAddr, bytes: &[u8]) -> SocketAddr {
    let mut stream = TcpStream::connect(address).await.expect("TCP is there");
    stream.write_all(bytes).await.expect("it is sent");
    stream.shutdown().await.expect("it is sent");
    let read = async { while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it is cut off");
    stream.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_get_through_the_handshake_is_one_line_in_the_log() {
    let world = World::create().await;
    let process = world.serve();
    let address = process.address();
    let other = Authority::new("authority");
    for offer in [USUAL, OLDER] {
        let (peer, told) = refused(address, &other, &offer).await;
        assert!(told.contains("invalid peer certificate"), "{told}");
        must_have_failed(&process, peer, "received fatal alert: ").await;
    }
    let old = Offer {
        protocol: b"http/1.1",
        ..USUAL
    };
    let (peer, told) = refused(address, &world.authority, &old).await;
    assert!(told.contains("NoApplicationProtocol"), "{told}");
    must_have_failed(&process, peer, "any known protocol").await;
    let plain = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let peer = say(address, plain).await;
    must_have_failed(&process, peer, "InvalidContentType").await;
    let peer = say(address, b"").await;
    must_have_failed(&process, peer, "handshake eof").await;
    let channel = shake_hands(address, &world.authority, &USUAL).await;
    Wire::over(channel.expect("others are served"))
        .await
        .must_be_healthy(1)
        .await;
    assert_eq!(lines(&process, "WARN", 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_tell_people_why_they_are_not_served() {
    let world = World::create().await;
    let process = world.serve();
    let address = process.address();
    let other = Authority::new("authority");
    world.write("other.pem", &other.certificate());
    let told = refusal(&process, &other, None).await;
    assert!(told.contains("invalid peer certificate"), "{told}");
    let server = format!("https://{address}");
    let other = world.path("other.pem");
    let (code, _, stderr) = world.run(&["healthcheck", "--server", &server, "--ca-file", &other]);
    assert_eq!(code, Some(1));
    let hint = "give the certificates of its authority with `--ca-file`";
    assert!(stderr.contains(hint), "{stderr}");

    let plain = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let call = async {
        let channel = plain.connect().await.map_err(|error| told_of(&error))?;
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await;
        answer.map_err(|status| told_of(&status))
    };
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer
        .expect("nothing hangs")
        .expect_err("no plain text is served");
    let plain = address.to_string();
    let (code, _, stderr) = world.run(&["healthcheck", "--server", &plain]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("write `https://` for `--server`"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_out_of_date_or_for_another_host_is_refused_by_clients() {
    let world = World::create().await;
    let cases = [
        (world.authority.expired_server(), "certificate expired"),
        (world.authority.server_elsewhere(), "not valid for name"),
    ];
    for (certified, reason) in cases {
        certified.write(world.folder.path(), "server");
        let process = world.serve();
        let (peer, told) = refused(process.address(), &world.authority, &USUAL).await;
        assert!(told.contains(reason), "{told}");
        must_have_failed(&process, peer, "received fatal alert").await;
        assert_eq!(lines(&process, FAILED, 1).await.len(), 1);
        let told = refusal(&process, &world.authority, None).await;
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_good_certificate_is_refused_where_one_is_wanted() {
    let world = World::create().await;
    let clients = Authority::new("clients");
    let process = world.serve_to_clients_of(&clients);
    let cases = [
        (None, "CertificateRequired", "peer sent no certificates"),
        (
            Some(Authority::new("clients").client()),
            "alert",
            "invalid peer certificate: ",
        ),
        (
            Some(world.authority.client()),
            "UnknownCA",
            "invalid peer certificate: UnknownIssuer",
        ),
        (
            Some(clients.expired_client()),
            "CertificateExpired",
            "certificate expired",
        ),
    ];
    for (identity, alert, error) in &cases {
        for offer in [USUAL, OLDER] {
            let offer = Offer {
                identity: identity.as_ref(),
                ..offer
            };
            let (peer, told) = refused(process.address(), &world.authority, &offer).await;
            assert!(told.contains(alert), "{alert}: {told}");
            must_have_failed(&process, peer, error).await;
        }
    }
    // Only now: who connects this way tries again and again, and of one address 20 failures a second are logged.
    for (identity, ..) in &cases {
        let told = refusal(&process, &world.authority, identity.as_ref()).await;
        assert!(!told.is_empty());
    }
    let (server, ca) = (
        format!("https://{}", process.address()),
        world.path("ca.pem"),
    );
    let (code, _, stderr) = world.run(&["healthcheck", "--server", &server, "--ca-file", &ca]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: "), "{stderr}");
    let good = clients.client();
    let channel = connect(process.address(), &world.authority, Some(&good)).await;
    let answer = HealthClient::new(channel.expect("it connects"))
        .check(HealthCheckRequest::default())
        .await;
    answer.expect("a good one is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_client_on_a_plain_port_is_told_and_nothing_hangs() {
    let world = World::create().await;
    let process = Process::serve(&world.database, "");
    let told = refusal(&process, &world.authority, None).await;
    assert!(
        told.contains("corrupt message") || told.contains("eof"),
        "{told}"
    );
    let (server, ca) = (
        format!("https://{}", process.address()),
        world.path("ca.pem"),
    );
    let (code, _, stderr) = world.run(&["healthcheck", "--server", &server, "--ca-file", &ca]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("does it speak TLS there?"), "{stderr}");
    Wire::connect(process.address())
        .await
        .must_be_healthy(1)
        .await;
}

/// Why handshakes failed, and how many for it.
async fn counted(process: &Process, reason: &str, count: f64) {
    let series = format!("countersign_tls_handshake_failures_total{{reason=\"{reason}\"}}");
    let metrics = process.metrics_address();
    scrape_until(metrics, |scrape| scrape.get(&series) == Some(count)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_handshake_that_fails_is_counted_by_its_reason() {
    let world = World::create().await;
    let clients = Authority::new("clients");
    let process = world.serve_to_clients_of(&clients);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2199, 1, 1);
    let authority = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let [missing, unknown] = ["CERTIFICATE_MISSING", "AUTHORITY_UNKNOWN"];
    let [expired, invalid] = ["CERTIFICATE_EXPIRED", "CERTIFICATE_INVALID"];
    let cases = [
        (None, missing),
        (Some(Authority::new("others").client()), unknown),
        (Some(clients.expired_client()), expired),
        (Some(clients.client_with(early)), invalid),
        (Some(clients.client_with(authority)), invalid),
        (Some(clients.server("server")), invalid),
    ];
    for (identity, reason) in &cases {
        for offer in [USUAL, OLDER] {
            let offer = Offer {
                identity: identity.as_ref(),
                ..offer
            };
            let (peer, _) = refused(process.address(), &world.authority, &offer).await;
            must_have_failed(&process, peer, "").await;
            let told = lines(&process, &format!("\"{peer}\""), 1).await;
            assert_eq!(told[0]["reason"], *reason, "{told:?}");
        }
    }
    counted(&process, missing, 2.0).await;
    counted(&process, unknown, 2.0).await;
    counted(&process, expired, 2.0).await;
    counted(&process, invalid, 6.0).await;
    say(process.address(), b"").await;
    counted(&process, "OTHER", 1.0).await;
}

/// How two connections come about, of a client that would take up in the second what was agreed on in the first.
async fn twice(
    world: &World,
    process: &Process,
    identity: Certified,
) -> [Option<HandshakeKind>; 2] {
    let mut roots = RootCertStore::empty();
    let ca = der(&world.authority.certificate());
    roots.add(ca).expect("an authority");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let chain = vec![der(&identity.certificate)];
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("a version")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let mut kinds = [None; 2];
    for kind in &mut kinds {
        let stream = TcpStream::connect(process.address()).await;
        let stream = stream.expect("TCP is there");
        let name = ServerName::from(process.address().ip());
        let stream = connector.connect(name, stream).await;
        let stream = stream.expect("the handshake succeeds");
        *kind = stream.get_ref().1.handshake_kind();
        // What could be taken up comes after the handshake.
        Wire::over(stream).await.must_be_healthy(1).await;
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified_anew_for_every_connection() {
    let world = World::create().await;
    let clients = Authority::new("clients");
    let full = Some(HandshakeKind::Full);
    let process = world.serve_to_clients_of(&clients);
    assert_eq!(
        twice(&world, &process, clients.client()).await,
        [full, full]
    );
    drop(process);
    // Where none is asked for, the second goes faster.
    let process = world.serve();
    let kinds = twice(&world, &process, clients.client()).await;
    assert_eq!(kinds, [full, Some(HandshakeKind::Resumed)]);
}
