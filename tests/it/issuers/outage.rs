//! Issuers that are away, from the start or later, and keys that grow too old.

use std::time::{Duration, Instant};

use countersign::domain::{
    caller::{ActsFor, Callers, Grant},
    issuer::{Issuer, KeysAt},
};
use serde_json::json;
use tonic::Code;

use super::{
    AUDIENCE, INVALID, SUBJECT, UNAVAILABLE, World, again_while, bearer, call, configuration,
    patiently, retry_delay,
};
use crate::support::{
    call::as_caller,
    database::{TestDatabase, on_both},
    http::scrape_until,
    issuer::{SigningKey, TestIssuer},
    server::{PLATFORM, Setup, caller},
    status::assert_status,
};

const MISSING: &str = "countersign_issuers{keys=\"MISSING\"}";
const HELD: &str = "countersign_issuers{keys=\"HELD\"}";
const AGE: &str = "countersign_issuer_keys_age_seconds";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_yet_is_an_outage_and_no_refusal() {
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], None).await;
    issuer.manner().is_away = true;
    let text = configuration(&issuer, "", "");
    let world = World::start_under(issuer, key, &text, &[]);
    let shown = world.reader();
    let answer = call(&world.channel, &shown).await.expect_err("it is away");
    assert_status(&answer, Code::Unavailable, UNAVAILABLE, None);
    assert_eq!(retry_delay(&answer), Duration::from_secs(1));
    // Others do not notice, and what is no good whatever the keys are is refused.
    call(&world.channel, &as_caller(PLATFORM))
        .await
        .expect("a key");
    let mut claims = world.issuer.claims(AUDIENCE, SUBJECT);
    claims["iss"] = json!("https://elsewhere.example");
    let refused = patiently(&world.channel, &bearer(&world.key.token(&claims))).await;
    let refused = refused.expect_err("its issuer is not known");
    assert_status(&refused, Code::Unauthenticated, INVALID, None);
    // It is told and counted.
    let told = world.lines("could not be fetched", 1).await;
    assert_eq!(told[0]["issuer"], json!(world.issuer.name()));
    assert_eq!(
        (&told[0]["held"], &told[0]["level"]),
        (&json!(false), &json!("WARN"))
    );
    let lines = world.lines("was not authenticated", 1).await;
    assert_eq!(lines[0]["reason"], UNAVAILABLE);
    let series = "countersign_identity_token_failures_total{reason=\"KEYS_MISSING\"}";
    assert!(world.get(series).await >= 1.0);
    let series = "countersign_authentication_failures_total{reason=\"IDENTITY_UNAVAILABLE\"}";
    assert!(world.get(series).await >= 1.0);
    assert_eq!(
        (world.get(MISSING).await, world.get(HELD).await),
        (1.0, 0.0)
    );
    assert_eq!(world.get(AGE).await, f64::INFINITY);
    assert!(
        world
            .get("countersign_issuer_key_fetches_total{outcome=\"FAILED\"}")
            .await
            >= 1.0
    );

    world.issuer.manner().is_away = false;
    let answer = again_while(&world.channel, &shown, Code::Unavailable).await;
    answer.expect("it is back");
    assert_eq!(
        (world.get(MISSING).await, world.get(HELD).await),
        (0.0, 1.0)
    );
    assert!(world.get(AGE).await < 60.0);

    // Away later: what is held goes on, for tokens that were never seen too.
    world.issuer.manner().is_away = true;
    world.reload(None).await;
    let failed = "countersign_issuer_key_fetches_total{outcome=\"FAILED\"}";
    let before = world.get(failed).await;
    world
        .until(|scrape| scrape.get(failed) > Some(before))
        .await;
    call(&world.channel, &shown)
        .await
        .expect("it is remembered");
    let mut claims = world.issuer.claims(AUDIENCE, SUBJECT);
    claims["jti"] = json!("another one");
    call(&world.channel, &bearer(&world.key.token(&claims)))
        .await
        .expect("keys are held");
    // Whether another key is one of its, nobody can say.
    let new = SigningKey::p256("two").token(&claims);
    let answer = call(&world.channel, &bearer(&new))
        .await
        .expect_err("nobody knows");
    assert_status(&answer, Code::Unavailable, UNAVAILABLE, None);
    world.issuer.manner().is_away = false;
    world.until(|scrape| scrape.get(AGE) < Some(1.0)).await;
    let refused = again_while(&world.channel, &bearer(&new), Code::Unavailable).await;
    let refused = refused.expect_err("it is none");
    assert_status(&refused, Code::Unauthenticated, INVALID, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_never_answers_holds_up_only_whom_it_vouches_for() {
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], None).await;
    issuer.manner().is_stuck = true;
    let text = configuration(&issuer, "", "");
    // It starts all the same.
    let world = World::start_under(issuer, key, &text, &[]);
    call(&world.channel, &as_caller(PLATFORM))
        .await
        .expect("it has started");
    let shown = world.reader();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (channel, shown) = (world.channel.clone(), shown.clone());
        waiting.spawn(async move { call(&channel, &shown).await });
    }
    let began = Instant::now();
    for _ in 0..20 {
        call(&world.channel, &as_caller(PLATFORM))
            .await
            .expect("a key");
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.expect("a call").expect_err("nobody knows");
        assert_status(&answer, Code::Unavailable, UNAVAILABLE, None);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

async fn keys_that_cannot_be_fetched_again_count_for_a_day(database: TestDatabase) {
    let key = SigningKey::p256("one");
    let issuer = TestIssuer::start(&[&key], None).await;
    let reader = caller("reader", &[Grant::DirectoryRead], ActsFor::Platform).1;
    let mut setup = Setup::default();
    if let Callers::Known(known) = &mut setup.callers {
        let subjects = known.subjects.entry(issuer.name()).or_default();
        subjects.insert(SUBJECT.to_owned(), reader);
    }
    setup.issuers.push(Issuer {
        name: issuer.name(),
        audience: AUDIENCE.to_owned(),
        is_kubernetes: true,
        keys_at: KeysAt::discovered(&issuer.name()).expect("an address"),
        authorities: None,
        bearer_token_file: None,
    });
    let clock = setup.clock.clone();
    let server = setup.start(&database).await;
    // It is good for two days by the clock of the server.
    let mut claims = issuer.claims(AUDIENCE, SUBJECT);
    let now = clock.now().0 / 1000;
    for (key, value) in [("exp", now + 2 * 86_400), ("nbf", now), ("iat", now)] {
        claims[key] = json!(value);
    }
    let shown = bearer(&key.token(&claims));
    let answer = again_while(&server.channel(), &shown, Code::Unavailable).await;
    answer.expect("it is known");
    issuer.manner().is_away = true;
    clock.advance(Duration::from_secs(86_400 - 1));
    call(&server.channel(), &shown)
        .await
        .expect("a day is not over");
    clock.advance(Duration::from_secs(1));
    let answer = call(&server.channel(), &shown)
        .await
        .expect_err("a day is over");
    assert_status(&answer, Code::Unavailable, UNAVAILABLE, None);
    issuer.manner().is_away = false;
    let answer = again_while(&server.channel(), &shown, Code::Unavailable).await;
    answer.expect("they are fetched anew");
    // Nothing is remembered past its expiry, to the millisecond.
    clock.advance(Duration::from_secs(86_400) - Duration::from_millis(1));
    again_while(&server.channel(), &shown, Code::Unavailable)
        .await
        .expect("still");
    clock.advance(Duration::from_millis(1));
    let refused = patiently(&server.channel(), &shown)
        .await
        .expect_err("it has expired");
    assert_status(&refused, Code::Unauthenticated, INVALID, None);
    scrape_until(server.metrics_address(), |scrape| {
        scrape.get(HELD) == Some(1.0)
    })
    .await;
}

on_both![keys_that_cannot_be_fetched_again_count_for_a_day];
