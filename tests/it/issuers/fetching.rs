//! How keys are fetched: over TLS that is verified, with a token where the server wants one, and from nowhere else than where
//! they may come from.

use std::fs;

use serde_json::json;
use tonic::Code;

use super::{
    AUDIENCE, SUBJECT, UNAVAILABLE, World, again_while, bearer, call, caller, configuration,
    issuer_table,
};
use crate::support::{
    certificates::Authority,
    issuer::{SigningKey, TestIssuer},
    status::assert_status,
};

/// A world whose issuer speaks TLS under an authority.
async fn over_tls(authority: &Authority, trusted: &Authority) -> World {
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], Some(&authority.server("issuer"))).await;
    let text = configuration(&issuer, "ca_file = \"issuers.pem\"\n", "");
    let files = [("issuers.pem", trusted.certificate())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    World::start_under(issuer, key, &text, &files)
}

/// That the keys could not be fetched, and why.
async fn is_told(world: &World, why: &str) {
    let answer = call(&world.channel, &world.reader()).await;
    let answer = answer.expect_err("the keys are missing");
    assert_status(&answer, Code::Unavailable, UNAVAILABLE, None);
    let told = world.lines("could not be fetched", 1).await;
    let told = told[0]["error"].as_str().expect("why").to_owned();
    assert!(told.contains(why), "{why}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_an_issuer_is_verified_by_its_authority() {
    let (right, wrong) = (Authority::new("issuers"), Authority::new("issuers"));
    let world = over_tls(&right, &right).await;
    call(&world.channel, &world.reader())
        .await
        .expect("it is trusted");

    let world = over_tls(&right, &wrong).await;
    is_told(&world, "invalid peer certificate").await;
    assert_eq!(world.issuer.times_asked(), 0);
    // Its file is watched.
    let file = world.process.folder().join("issuers.pem");
    crate::reload::running::replace(&file, &right.certificate());
    let answer = again_while(&world.channel, &world.reader(), Code::Unavailable).await;
    answer.expect("it is trusted now");

    // Without a file it is the system that knows authorities, and not this one.
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], Some(&right.server("issuer"))).await;
    let text = configuration(&issuer, "", "");
    let world = World::start_under(issuer, key, &text, &[]);
    is_told(&world, "invalid peer certificate").await;

    for certified in [right.server_elsewhere(), right.expired_server()] {
        let key = SigningKey::p256("one");
        let issuer = TestIssuer::start(&[&key], Some(&certified)).await;
        let text = configuration(&issuer, "ca_file = \"issuers.pem\"\n", "");
        let files = [("issuers.pem", &*right.certificate())];
        let world = World::start_under(issuer, key, &text, &files);
        is_told(&world, "invalid peer certificate").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_is_shown_the_token_that_it_wants_as_it_is_now() {
    let authority = Authority::new("cluster");
    let key = SigningKey::rsa("cluster");
    let issuer = TestIssuer::start(&[&key], Some(&authority.server("api"))).await;
    issuer.manner().wants = Some("Bearer first".to_owned());
    let of_issuer = format!(
        "jwks_uri = \"{}\"\nca_file = \"ca.crt\"\nbearer_token_file = \"token\"\n",
        issuer.jwks_uri()
    );
    let text = configuration(&issuer, &of_issuer, "");
    // It is not asked where its keys are, so its name need be no address.
    let text = text.replace(
        &format!("\"{}\"", issuer.name()),
        "\"kubernetes/serviceaccount\"",
    );
    let authorities = authority.certificate();
    let files = [("ca.crt", &*authorities), ("token", "first\n")];
    let world = World::start_under(issuer, key, &text, &files);
    let mut claims = world.issuer.claims(AUDIENCE, SUBJECT);
    claims["iss"] = json!("kubernetes/serviceaccount");
    call(&world.channel, &bearer(&world.key.token(&claims)))
        .await
        .expect("it is known");
    assert_eq!(world.issuer.manner().asked.len(), 1);

    // The kubelet replaces it, and the API server's keys are others.
    fs::write(world.process.folder().join("token"), "second").expect("it is written");
    world.issuer.manner().wants = Some("Bearer second".to_owned());
    let next = SigningKey::p256("next");
    world.issuer.publish(&[&next]);
    call(&world.channel, &bearer(&next.token(&claims)))
        .await
        .expect("it is known");
    let log = world.process.log();
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_the_issuer_is_shown_to_no_other_server() {
    let key = SigningKey::p256("one");
    let keys_elsewhere = TestIssuer::start(&[&key], None).await;
    let issuer = TestIssuer::start(&[], None).await;
    issuer.manner().discovery = json!({"jwks_uri": keys_elsewhere.jwks_uri()});
    let text = configuration(&issuer, "bearer_token_file = \"token\"\n", "");
    let world = World::start_under(issuer, key, &text, &[("token", "confidential")]);
    call(&world.channel, &world.reader())
        .await
        .expect("it is known");
    let shown = |issuer: &TestIssuer| {
        let manner = issuer.manner();
        manner
            .asked
            .iter()
            .map(|(_, shown)| shown.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&keys_elsewhere), [None]);
    assert_eq!(
        shown(&world.issuer),
        [Some("Bearer confidential".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_lead_astray_or_are_none_are_not_gone_by() {
    let answer = |head: &str, body: String| Some((head.to_owned(), body));
    let discovery = |key: &str, value: &str| json!({key: value});
    let none = json!({});
    let cases = [
        (
            discovery("issuer", "https://elsewhere.example"),
            None,
            "it is of another issuer, \"https://elsewhere.example\"",
        ),
        (
            discovery("jwks_uri", "http://keys.example"),
            None,
            "its `jwks_uri` must be of `https` off loopback",
        ),
        (
            discovery("jwks_uri", "file:///etc/passwd"),
            None,
            "its `jwks_uri` must be an address",
        ),
        (
            none.clone(),
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", String::new()),
            "the answer was 302 Found",
        ),
        (
            none.clone(),
            answer("503 Service Unavailable", String::new()),
            "the answer was 503",
        ),
        (
            none.clone(),
            answer("200 OK", "<html>".to_owned()),
            "it is not a discovery document",
        ),
        (
            none.clone(),
            answer("200 OK", " ".repeat(300_000)),
            "length limit exceeded",
        ),
    ];
    for (document, instead, why) in cases {
        let key = SigningKey::p256("one");
        let issuer = TestIssuer::start(&[&key], None).await;
        {
            let mut manner = issuer.manner();
            manner.discovery = document;
            manner.instead = instead;
        }
        let text = configuration(&issuer, "", "");
        is_told(&World::start_under(issuer, key, &text, &[]), why).await;
    }
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[], None).await;
    let text = configuration(&issuer, "", "");
    let world = World::start_under(issuer, key, &text, &[]);
    is_told(
        &world,
        "there is no key in it that has an id and a kind that is known here",
    )
    .await;
    // What is no set of keys replaces none.
    world.issuer.publish(&[&world.key]);
    let answer = again_while(&world.channel, &world.reader(), Code::Unavailable).await;
    answer.expect("there is one now");
    for keys in [
        vec![],
        vec![json!({"kty": "oct"})],
        vec![world.key.public(); 101],
    ] {
        world.issuer.manner().keys = keys;
        let failed = "countersign_issuer_key_fetches_total{outcome=\"FAILED\"}";
        let before = world.get(failed).await;
        world.reload(None).await;
        world
            .until(|scrape| scrape.get(failed) > Some(before))
            .await;
        call(&world.channel, &world.reader())
            .await
            .expect("the one it had goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_callers_is_asked_and_vouches_for_nobody() {
    let key = SigningKey::p256("one");
    let lonely = TestIssuer::start(&[&key], None).await;
    let world = World::start(&(issuer_table(&lonely.name(), "us", "") + &caller("x", "key_digests = [\"blake3:0000000000000000000000000000000000000000000000000000000000000000\"]"))).await;
    let refused = call(
        &world.channel,
        &bearer(&key.token(&lonely.claims("us", SUBJECT))),
    )
    .await;
    let refused = refused.expect_err("it is nobody");
    assert_status(&refused, Code::Unauthenticated, super::INVALID, None);
    assert_eq!(lonely.times_asked(), 1);
}
