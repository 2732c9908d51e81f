//! Service accounts, subjects and issuers come and go with a reload, and tokens end: also those that are remembered, and in
//! streams that are open.

use std::time::Duration;

use countersign::pb::{WatchEventsRequest, WatchEventsResponse};
use serde_json::json;
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming, metadata::MetadataMap, transport::Channel};

use super::{
    ACCOUNT, AUDIENCE, INVALID, PATIENCE, SUBJECT, World, bearer, call, caller, configuration,
    issuer_table, patiently, reader,
};
use crate::support::{
    client::Client,
    issuer::{SigningKey, TestIssuer, now},
    status::assert_status,
};

async fn watch(channel: &Channel, metadata: &MetadataMap) -> Streaming<WatchEventsResponse> {
    let mut client = Client::new(channel, None).events;
    let mut request = Request::new(WatchEventsRequest::default());
    *request.metadata_mut() = metadata.clone();
    client
        .watch_events(request)
        .await
        .expect("a stream")
        .into_inner()
}

async fn end(watch: &mut Streaming<WatchEventsResponse>) -> Status {
    loop {
        let item = timeout(PATIENCE, watch.message()).await;
        if let Err(status) = item.expect("an end in time") {
            return status;
        }
    }
}

async fn is_refused(world: &World, metadata: &MetadataMap) {
    let refused = patiently(&world.channel, metadata).await;
    let refused = refused.expect_err("it is refused");
    assert_status(&refused, Code::Unauthenticated, INVALID, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_that_is_no_caller_any_more_is_refused_at_once() {
    let world = World::start("").await;
    let (shown, other) = (
        world.reader(),
        bearer(&world.token("system:serviceaccount:shop:other")),
    );
    call(&world.channel, &shown)
        .await
        .expect("it is known, and remembered");
    is_refused(&world, &other).await;
    let mut watched = watch(&world.channel, &shown).await;
    let text = configuration(&world.issuer, "", "");
    let replaced = text.replace(&reader(ACCOUNT), &reader("shop/other"));
    world.reload(Some(&replaced)).await;
    is_refused(&world, &shown).await;
    call(&world.channel, &other)
        .await
        .expect("the other one is known");
    let ended = end(&mut watched).await;
    assert_status(&ended, Code::Unauthenticated, INVALID, None);
    // Fewer grants count for what is remembered too.
    let fewer = replaced.replace(
        "\"directory.read\", \"events.read\", \"authorize\"",
        "\"authorize\"",
    );
    world.reload(Some(&fewer)).await;
    let refused = call(&world.channel, &other).await.expect_err("it may not");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    world.reload(Some(&text)).await;
    call(&world.channel, &shown).await.expect("it is one again");
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_and_audiences_are_replaced_without_a_restart() {
    let world = World::start("").await;
    let shown = world.reader();
    call(&world.channel, &shown).await.expect("it is known");
    let text = configuration(&world.issuer, "", "");
    world
        .reload(Some(&text.replace(AUDIENCE, "another audience")))
        .await;
    is_refused(&world, &shown).await;
    let claims = world.issuer.claims("another audience", SUBJECT);
    let other = bearer(&world.key.token(&claims));
    call(&world.channel, &other)
        .await
        .expect("it is for that audience");

    let key = SigningKey::ed25519("new");
    let new = TestIssuer::start(&[&key], None).await;
    let subjects = format!(
        "subjects = [{{issuer = \"{}\", subject = \"x\"}}]",
        new.name()
    );
    let more = caller("x", &subjects) + &issuer_table(&new.name(), "us", "");
    let both = configuration(&world.issuer, "", &more);
    world.reload(Some(&both)).await;
    // Its keys are waited for.
    let of_new = bearer(&key.token(&new.claims("us", "x")));
    call(&world.channel, &of_new)
        .await
        .expect("the new one is trusted");
    call(&world.channel, &shown)
        .await
        .expect("the first one is again");
    world.reload(Some(&text)).await;
    is_refused(&world, &of_new).await;

    // What cannot be is refused whole, and what was goes on.
    let refused = "countersign_reloads_total{outcome=\"REFUSED\"}";
    let bad = text.replace("kubernetes = true\n", "");
    crate::reload::running::replace(&world.process.folder().join("countersign.toml"), &bad);
    world.until(|scrape| scrape.get(refused) >= Some(1.0)).await;
    call(&world.channel, &shown)
        .await
        .expect("the former one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_authenticates_no_call_and_no_stream_any_more() {
    let world = World::start("").await;
    let mut claims = world.issuer.claims(AUDIENCE, SUBJECT);
    let expiry = now() + 5;
    claims["exp"] = json!(expiry);
    let shown = bearer(&world.key.token(&claims));
    call(&world.channel, &shown)
        .await
        .expect("it is good still");
    let mut watched = watch(&world.channel, &shown).await;
    let ended = end(&mut watched).await;
    assert!(now() >= expiry, "it ended early");
    assert_status(&ended, Code::Unauthenticated, INVALID, None);
    is_refused(&world, &shown).await;
    let lines = world.lines("was not authenticated", 1).await;
    let told = lines[0]["identity_token"].as_str().expect("why");
    assert!(told.starts_with("it expired "), "{told}");
    // The connection is good for another one.
    let answer = timeout(
        Duration::from_secs(10),
        call(&world.channel, &world.reader()),
    )
    .await;
    answer.expect("in time").expect("it is good");
}
