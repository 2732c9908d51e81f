//! How a token is shown and presented: its hint, and the header value in which it travels.

use std::time::Duration;

use countersign::pb::{
    DenyReason, GetTokenRequest, RevokeTokenRequest, TokenState, get_token_request,
    revoke_token_request,
};

use super::{acme, ask_own, get, list};
use crate::support::database::{TestDatabase, on_both};

/// The token alone, and as the value of an `Authorization` header.
fn forms(secret: &str) -> [String; 6] {
    ["", "Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   "]
        .map(|scheme| format!("{scheme}{secret}"))
}

async fn the_header_value_is_accepted_wherever_a_token_or_a_secret_is(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let mut tokens = platform.tokens.clone();
    for number in 0..forms("").len() {
        let name = format!("t{number}");
        let issued = platform.issue("acme", "max", &name, None).await;
        let mut expected = issued.token.expect("the answer carries it");
        for form in forms(&issued.secret) {
            let answer = ask_own(&platform, &form).await.expect("it is allowed");
            let principal = answer.principal.expect("an allow tells whose it is");
            assert_eq!(principal.token_id, expected.token_id);
            let request = GetTokenRequest {
                target: Some(get_token_request::Target::Secret(form)),
                ..Default::default()
            };
            let found = tokens.get_token(request).await.expect("an answer");
            assert_eq!(found.into_inner().token.as_ref(), Some(&expected));
        }
        // In each form once.
        let form = forms(&issued.secret)[number].clone();
        let request = RevokeTokenRequest {
            target: Some(revoke_token_request::Target::Secret(form)),
            ..Default::default()
        };
        let revoked = tokens.revoke_token(request).await.expect("an answer");
        let revoked = revoked.into_inner().token.expect("this caller may read it");
        assert_eq!(revoked.state(), TokenState::Revoked);
        expected.clone_from(&get(&platform, &expected.token_id).await);
        assert_eq!(revoked, expected);
        assert_eq!(
            ask_own(&platform, &issued.secret).await,
            Err(DenyReason::RevokedToken)
        );
        // Requests by secret are limited.
        server.clock().advance(Duration::from_secs(1));
    }
}

async fn the_hint_is_the_last_four_characters_of_the_secret(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    for number in 0..10 {
        let name = format!("t{number}");
        let issued = platform.issue("acme", "max", &name, None).await;
        let token = issued.token.expect("the answer carries it");
        assert_eq!(token.hint, issued.secret[issued.secret.len() - 4..]);
        assert_eq!(get(&platform, &token.token_id).await, token);
        let listed = list(&platform, "max", &[], 0).await;
        assert!(listed.contains(&token));
    }
}

on_both![
    the_header_value_is_accepted_wherever_a_token_or_a_secret_is,
    the_hint_is_the_last_four_characters_of_the_secret,
];
