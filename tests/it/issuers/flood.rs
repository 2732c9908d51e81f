//! Whoever makes up names of keys neither floods the issuer nor holds up anyone else.

use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;

use super::{AUDIENCE, SUBJECT, World, bearer, call};
use crate::support::{call::as_caller, server::PLATFORM};

const STRANGERS: usize = 8;
const TOKENS: usize = 50;
/// At the start, at once, and in the ten seconds or two that this may take on a busy machine.
const MOST_FETCHES: usize = 1 + 10 + 3;

#[tokio::test(flavor = "multi_thread")]
async fn made_up_keys_cost_the_issuer_a_few_requests_and_others_nothing() {
    let world = World::start("").await;
    let shown = world.reader();
    call(&world.channel, &shown).await.expect("it is known");
    let claims = world.issuer.claims(AUDIENCE, SUBJECT);
    let mut strangers = JoinSet::new();
    for stranger in 0..STRANGERS {
        let tokens: Vec<String> = (0..TOKENS)
            .map(|number| {
                let header = json!({"alg": "ES256", "kid": format!("{stranger}-{number}")});
                world.key.token_with(&header, &claims)
            })
            .collect();
        let channel = world.channel.clone();
        strangers.spawn(async move {
            for token in tokens {
                let refused = call(&channel, &bearer(&token)).await;
                let refused = refused.expect_err("it is made up");
                let is_refused = matches!(
                    refused.code(),
                    Code::Unauthenticated | Code::ResourceExhausted
                );
                assert!(is_refused, "{refused:?}");
            }
        });
    }
    let mut number = 0;
    while !strangers.is_empty() {
        // Those that are known, those that have yet to be verified, and those with keys.
        call(&world.channel, &shown).await.expect("it is known");
        let mut claims = claims.clone();
        claims["jti"] = json!(number);
        let new = bearer(&world.key.token(&claims));
        call(&world.channel, &new).await.expect("it can be known");
        call(&world.channel, &as_caller(PLATFORM))
            .await
            .expect("a key");
        number += 1;
        while let Some(ended) = strangers.try_join_next() {
            ended.expect("a stranger");
        }
    }
    let asked = world.issuer.times_asked();
    assert!(asked <= MOST_FETCHES, "asked {asked} times");
    let series = "countersign_identity_token_failures_total{reason=\"KEY_UNKNOWN\"}";
    #[expect(clippy::cast_precision_loss, reason = "there are not so many")]
    let all = (STRANGERS * TOKENS) as f64;
    assert_eq!(world.get(series).await, all);
}
