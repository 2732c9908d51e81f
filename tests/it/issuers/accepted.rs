//! Tokens that name callers: every kind of key, and what they may say besides.

use countersign::pb::DeleteWorkspaceRequest;
use serde_json::json;
use tonic::{Code, metadata::MetadataMap};

use super::{
    AUDIENCE, SUBJECT, World, bearer, call, caller, configuration, issuer_table, patiently,
};
use crate::support::{
    call::{Call, as_caller, credentials},
    issuer::{SigningKey, TestIssuer, now},
    server::PLATFORM,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_calls_by_its_token_and_within_its_grants() {
    let world = World::start("").await;
    let shown = world.reader();
    for _ in 0..3 {
        call(&world.channel, &shown).await.expect("it is known");
    }
    let delete = Call::from(DeleteWorkspaceRequest::default());
    let refused = delete.send(&world.channel, &shown).await;
    let refused = refused.err().expect("it may not");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains("`reader`"), "{refused:?}");
    // A key is one as before, and so is nothing.
    call(&world.channel, &as_caller(PLATFORM))
        .await
        .expect("a key");
    let refused = call(&world.channel, &MetadataMap::new()).await;
    let refused = refused.expect_err("nothing is shown");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_and_every_way_to_say_the_same_is_accepted() {
    let keys = [
        SigningKey::p256("p256"),
        SigningKey::p384("p384"),
        SigningKey::ed25519("ed25519"),
        SigningKey::rsa("rsa"),
    ];
    let all: Vec<&SigningKey> = keys.iter().collect();
    let issuer = TestIssuer::start(&all, None).await;
    // Keys for other ends, of unknown kinds and without ids are passed over.
    let mut others = vec![
        json!({"kty": "oct", "kid": "p256", "k": "c2VjcmV0"}),
        json!({"kty": "EC", "kid": "p256", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!("nonsense"),
    ];
    for (key, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("none")),
    ] {
        let mut other = SigningKey::p256("other").public();
        other[key] = value;
        others.push(other);
    }
    issuer.manner().keys.splice(0..0, others);
    let text = configuration(&issuer, "", "");
    let world = World::start_under(issuer, SigningKey::p256("unused"), &text, &[]);
    let claims = world.issuer.claims(AUDIENCE, SUBJECT);
    for key in &keys {
        let token = key.token(&claims);
        call(&world.channel, &bearer(&token)).await.expect(&key.id);
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let header = json!({"typ": "JWT", "alg": algorithm, "kid": "rsa"});
        let token = keys[3].token_with(&header, &claims);
        call(&world.channel, &bearer(&token))
            .await
            .expect(algorithm);
    }
    for (key, value) in [
        ("aud", json!(AUDIENCE)),
        ("aud", json!(["https://elsewhere.example", AUDIENCE])),
        ("nbf", json!(null)),
        ("iat", json!(null)),
        // Within the leeway.
        ("iat", json!(now() + 20)),
        ("nbf", json!(now() + 20)),
        ("exp", json!(4e18)),
        ("exp", json!(now() as f64 + 60.5)),
        ("kubernetes.io", json!({"namespace": "shop"})),
    ] {
        let mut claims = claims.clone();
        claims[key] = value;
        let token = keys[0].token(&claims);
        let answer = call(&world.channel, &bearer(&token)).await;
        answer.unwrap_or_else(|status| panic!("{claims}: {status:?}"));
        let other_case = credentials(&[("authorization", &format!("bearer {token}"))]);
        call(&world.channel, &other_case).await.expect("any case");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_of_several_issuers_are_told_apart() {
    let (key, other_key) = (SigningKey::p256("one"), SigningKey::p256("one"));
    let issuer = TestIssuer::start(&[&key], None).await;
    let other = TestIssuer::start(&[&other_key], None).await;
    let subjects = format!(
        "subjects = [{{issuer = \"{}\", subject = \"{SUBJECT}\"}}, {{issuer = \"{}\", subject = \"robot|7\"}}]",
        other.name(),
        other.name()
    );
    // Only `reader` may see the directory.
    let robot = caller("robot", &subjects).replace("\"directory.read\", ", "");
    let more = issuer_table(&other.name(), "its own name for us", "") + &robot;
    let text = configuration(&issuer, "", &more);
    let world = World::start_under(issuer, key, &text, &[]);
    call(&world.channel, &world.reader()).await.expect("one");
    for subject in [SUBJECT, "robot|7"] {
        let token = other_key.token(&other.claims("its own name for us", subject));
        let refused = call(&world.channel, &bearer(&token)).await;
        let refused = refused.expect_err("it is robot");
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(refused.message().contains("`robot`"), "{refused:?}");
    }
    // Neither can speak for the other, nor for us to others.
    let mut forged = world.issuer.claims(AUDIENCE, SUBJECT);
    for (key, claims) in [
        (&other_key, forged.clone()),
        (&other_key, other.claims(AUDIENCE, SUBJECT)),
        (&world.key, {
            forged["iss"] = json!(other.name());
            forged
        }),
    ] {
        let refused = patiently(&world.channel, &bearer(&key.token(&claims))).await;
        let refused = refused.expect_err("it is no one's");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
}
