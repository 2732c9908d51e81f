//! What the bearer controls: whatever is presented as a token leads to a decision and never to an error.

use countersign::pb::{
    Context, DenyReason, GetTokenRequest, Outcome, RevokeTokenRequest,
    get_token_request::Target as GetTarget, revoke_token_request::Target as RevokeTarget,
};

use super::world::World;
use crate::support::database::{TestDatabase, on_both};

fn odd_tokens(secret: &str) -> Vec<(String, String)> {
    let mut tokens: Vec<(String, String)> = [
        "",
        " ",
        "\0",
        "\n",
        "x",
        "é",
        "😀",
        "٣٣٣",
        "\u{feff}",
        "\u{202e}",
        "null",
        "Bearer",
        "Bearer ",
        "bearer  ",
        "BEARER\t",
        "Bearer é",
        "Bearé x",
        "Basic YTpi",
        "csn_pat",
        "csn_pat_",
        "csn_pat_1",
        "csn_pat_1é",
        "' OR 1=1 --",
        "%00",
        "${jndi:ldap://x}",
        "../../etc/passwd",
    ]
    .into_iter()
    .map(|token| (format!("{token:?}"), token.to_owned()))
    .collect();
    let mut add = |name: &str, token: String| tokens.push((name.to_owned(), token));
    add("900 KB of letters", "A".repeat(900_000));
    add(
        "900 KB after the prefix",
        format!("csn_pat_1{}", "A".repeat(900_000)),
    );
    add(
        "900 KB of spaces after Bearer",
        format!("Bearer {}", " ".repeat(900_000)),
    );
    add("900 KB of two-byte letters", "é".repeat(450_000));
    add("900 KB of Bearer", "Bearer ".repeat(128_000));
    add("a token twice", format!("{secret}{secret}"));
    add("Bearer twice", format!("Bearer Bearer {secret}"));
    add("Bearer and no space", format!("Bearer{secret}"));
    add("Bearer and a tab", format!("Bearer\t{secret}"));
    add(
        "Bearer and a no-break space",
        format!("Bearer\u{a0}{secret}"),
    );
    add("another scheme", format!("Token {secret}"));
    add("a space before", format!(" {secret}"));
    add("a line feed after", format!("{secret}\n"));
    add("quoted", format!("\"{secret}\""));
    add("in capitals", secret.to_uppercase());
    add("of a version to come", secret.replacen("_1", "_2", 1));
    tokens
}

async fn whatever_the_bearer_presents_is_decided_on(database: TestDatabase) {
    let world = World::create(&database).await;
    let before = database.dump().await;
    let mut authorization = world.client.authorization.clone();
    let mut tokens = world.client.tokens.clone();
    for (name, token) in odd_tokens(&world.secret) {
        let request = world.ask(|request| request.token.clone_from(&token));
        let answer = authorization.authorize(request).await;
        let answer = answer
            .unwrap_or_else(|status| panic!("{name}: {status}"))
            .into_inner();
        let decision = answer.decision.expect("a decision");
        assert_eq!(
            (decision.outcome(), decision.reason()),
            (Outcome::Deny, DenyReason::MalformedToken),
            "{name}"
        );
        assert_eq!(
            (answer.principal, answer.revision.as_str()),
            (None, ""),
            "{name}"
        );

        // As a target it is nobody's, which is no error either.
        let get = GetTokenRequest {
            target: Some(GetTarget::Secret(token.clone())),
            actor: None,
        };
        let answer = tokens.get_token(get).await;
        let answer = answer.unwrap_or_else(|status| panic!("{name}: {status}"));
        assert_eq!(answer.into_inner().token, None, "{name}");
        let revoke = RevokeTokenRequest {
            target: Some(RevokeTarget::Secret(token)),
            ..Default::default()
        };
        let answer = tokens.revoke_token(revoke).await;
        let answer = answer.unwrap_or_else(|status| panic!("{name}: {status}"));
        assert_eq!(answer.into_inner().token, None, "{name}");
        world
            .server
            .clock()
            .advance(std::time::Duration::from_secs(1));
    }
    assert_eq!(database.dump().await, before);
}

async fn a_token_is_taken_bare_or_as_a_bearer_header_of_any_case(database: TestDatabase) {
    let world = World::create(&database).await;
    for scheme in ["", "Bearer ", "bearer ", "BEARER ", "bEARER ", "Bearer    "] {
        let request = world.ask(|request| request.token = format!("{scheme}{}", world.secret));
        let answer = world.client.authorization.clone().authorize(request).await;
        let decision = answer
            .expect("a decision")
            .into_inner()
            .decision
            .expect("it");
        assert_eq!(decision.outcome(), Outcome::Allow, "{scheme:?}");
    }
}

async fn whomever_the_bearer_asks_to_act_for_is_decided_on(database: TestDatabase) {
    let world = World::create(&database).await;
    let huge = "m".repeat(900_000);
    for (on_behalf_of, reason) in [
        ("", DenyReason::Unspecified),
        ("max", DenyReason::Unspecified),
        ("MAX", DenyReason::Impersonation),
        (" ", DenyReason::Impersonation),
        ("ada", DenyReason::Impersonation),
        ("not an id é\0", DenyReason::Impersonation),
        (huge.as_str(), DenyReason::Impersonation),
    ] {
        let request = world.ask(|request| {
            request.context = Some(Context {
                on_behalf_of: on_behalf_of.to_owned(),
                ..Default::default()
            });
        });
        let answer = world.client.authorization.clone().authorize(request).await;
        let decision = answer
            .expect("a decision")
            .into_inner()
            .decision
            .expect("it");
        assert_eq!(decision.reason(), reason, "{:.20?}", on_behalf_of);
    }
}

on_both![
    whatever_the_bearer_presents_is_decided_on,
    a_token_is_taken_bare_or_as_a_bearer_header_of_any_case,
    whomever_the_bearer_asks_to_act_for_is_decided_on,
];
