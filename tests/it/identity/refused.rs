//! Certificates that name no caller: what is answered, what the log says, and that a key is still one beside them.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};
use serde_json::Value;
use tonic::{Code, metadata::MetadataMap};

use super::{BOOKINGS_ID, OTHER_ID, PATIENCE, PLATFORM_ID, World, patiently};
use crate::support::{
    call::{as_caller, credentials, unknown_secret},
    certificates::uri,
    http::Scrape,
    server::{PLATFORM, key_of},
    status::assert_status,
};

const INVALID: &str = "CREDENTIAL_INVALID";
const MISSING: &str = "CREDENTIAL_MISSING";
const AMBIGUOUS: &str = "CREDENTIAL_AMBIGUOUS";

/// The lines about callers that were not authenticated, once there are as many.
async fn failures(world: &World, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = world.process.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("was not authenticated"));
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).expect("the log is JSON"))
            .collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{log}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Change = Box<dyn Fn(&mut CertificateParams)>;

fn named(names: &[&str]) -> Change {
    let names: Vec<SanType> = names.iter().map(uri).collect();
    Box::new(move |params| params.subject_alt_names.clone_from(&names))
}

fn used(usage: KeyUsagePurpose) -> Change {
    Box::new(move |params| {
        params.subject_alt_names = vec![uri(&PLATFORM_ID)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
    })
}

/// What is different about a certificate, why it is refused, and what the log says of it.
fn cases() -> Vec<(Change, &'static str, &'static str)> {
    let no_uri = "it names no workload: it has no URI among its names";
    let several = "it names no workload: it has more than one URI among its names";
    let signs = "it may sign other certificates";
    let path = "has something else than `A-Z a-z 0-9 . - _` in its path";
    let domain = "has something else than `a-z 0-9 . - _` in its trust domain";
    let scheme = "its URI does not begin with `spiffe://`";
    let host = |params: &mut CertificateParams| {
        let name = PLATFORM.try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::DnsName(name)];
    };
    vec![
        (named(&[]), MISSING, no_uri),
        (Box::new(host), MISSING, no_uri),
        (named(&[OTHER_ID]), INVALID, "which is no caller"),
        (
            named(&["spiffe://example.com/ns/shop/sa/platform"]),
            INVALID,
            "which is no caller",
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/Platform"]),
            INVALID,
            "which is no caller",
        ),
        (named(&[PLATFORM_ID, OTHER_ID]), INVALID, several),
        (named(&[PLATFORM_ID, PLATFORM_ID]), INVALID, several),
        (
            named(&["https://example.org/ns/shop/sa/platform"]),
            INVALID,
            scheme,
        ),
        (
            named(&["SPIFFE://example.org/ns/shop/sa/platform"]),
            INVALID,
            scheme,
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/platform?a=b"]),
            INVALID,
            path,
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/platform#a"]),
            INVALID,
            path,
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/plat%66orm"]),
            INVALID,
            path,
        ),
        (
            named(&["spiffe://example.org:443/ns/shop/sa/platform"]),
            INVALID,
            domain,
        ),
        (
            named(&["spiffe://me@example.org/ns/shop/sa/platform"]),
            INVALID,
            domain,
        ),
        (
            named(&["spiffe://Example.org/ns/shop/sa/platform"]),
            INVALID,
            domain,
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/platform/"]),
            INVALID,
            "has an empty segment in its path",
        ),
        (
            named(&["spiffe://example.org/ns/shop/sa/x/../platform"]),
            INVALID,
            "has a segment `.` or `..` in its path",
        ),
        (named(&["spiffe://example.org"]), INVALID, "has no path"),
        (used(KeyUsagePurpose::KeyCertSign), INVALID, signs),
        (used(KeyUsagePurpose::CrlSign), INVALID, signs),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_names_no_caller_is_no_credential_and_is_told_in_the_log() {
    let world = World::start("");
    let cases = cases();
    for (number, (change, reason, told)) in cases.iter().enumerate() {
        let channel = world.channel(&world.clients.client_with(change)).await;
        let refused = patiently(&channel, &MetadataMap::new()).await;
        let refused = refused.expect_err(told);
        assert_status(&refused, Code::Unauthenticated, reason, None);
        let lines = failures(&world, number + 1).await;
        assert_eq!(lines.len(), number + 1);
        let line = &lines[number];
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["reason"], *reason);
        assert_eq!(line["peer"], "127.0.0.1");
        let certificate = line["certificate"].as_str().unwrap_or_default();
        assert!(certificate.contains(told), "{told}: {line}");
        // It is good for the transport: the key beside it says who calls.
        let by_key = patiently(&channel, &as_caller(PLATFORM)).await;
        by_key.expect("the key is the credential");
    }
    let scrape = Scrape::of(world.process.metrics_address()).await;
    let counted = |reason: &str| {
        let series = format!("countersign_authentication_failures_total{{reason=\"{reason}\"}}");
        scrape.get(&series).expect("it is there")
    };
    // Those that were limited are counted too.
    assert!(counted(MISSING) >= 2.0, "{}", counted(MISSING));
    assert!(counted(INVALID) >= 18.0, "{}", counted(INVALID));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_names_a_caller_is_a_credential_beside_which_there_is_no_other() {
    let world = World::start("");
    let (named, transport) = (
        world.workload(BOOKINGS_ID).await,
        world.workload(OTHER_ID).await,
    );
    let token = format!("Bearer {}", unknown_secret());
    let of_its_own = world.workload(PLATFORM_ID).await;
    for (channel, metadata, reason) in [
        (&named, as_caller(PLATFORM), AMBIGUOUS),
        (&named, as_caller("nobody"), AMBIGUOUS),
        (&named, credentials(&[("authorization", &token)]), AMBIGUOUS),
        (&of_its_own, as_caller(PLATFORM), AMBIGUOUS),
        (&transport, as_caller("nobody"), INVALID),
        (
            &transport,
            credentials(&[("authorization", &token)]),
            INVALID,
        ),
        (
            &transport,
            credentials(&[
                ("x-countersign-key", &key_of(PLATFORM)),
                ("authorization", &token),
            ]),
            AMBIGUOUS,
        ),
    ] {
        let refused = patiently(channel, &metadata).await;
        let refused = refused.expect_err("it is refused");
        assert_status(&refused, Code::Unauthenticated, reason, None);
    }
    let lines = failures(&world, 7).await;
    let told = format!("it names `{BOOKINGS_ID}`");
    assert_eq!(lines[0]["certificate"], told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_an_authority_is_not_even_good_for_the_transport() {
    let world = World::start("");
    let authority = world.clients.client_with(|params| {
        params.subject_alt_names = vec![uri(&PLATFORM_ID)];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let connected = crate::tls::connect(world.process.address(), &world.servers, Some(&authority));
    // In TLS 1.3 a client is through before its certificate has been looked at.
    if let Ok(channel) = connected.await {
        let refused = patiently(&channel, &MetadataMap::new()).await;
        let refused = refused.expect_err("it is cut off");
        assert_ne!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    let invalid = "countersign_tls_handshake_failures_total{reason=\"CERTIFICATE_INVALID\"}";
    let metrics = world.process.metrics_address();
    crate::support::http::scrape_until(metrics, |scrape| scrape.get(invalid) >= Some(1.0)).await;
}
