//! What is no token is refused before anything is looked up: the statements that the server sends to its database are
//! counted. That every such text is refused at all is `token_format`'s subject; here a few hundred go through the server.

use std::{collections::BTreeSet, time::Duration};

use countersign::{
    domain::secret::{Secret, TokenFormat},
    pb::{
        DenyReason, GetTokenRequest, Outcome, RevokeTokenRequest, get_token_request,
        resource::Owner, revoke_token_request,
    },
};

use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    statements::Statements,
};

/// What each character is changed to: the ends of the alphabet, a letter, and what is in no token.
const CHANGES: [char; 6] = ['0', 'z', 'Q', '_', ' ', 'é'];
/// How many requests by secret a caller has in a second.
const BY_SECRET_PER_SECOND: usize = 20;

/// Every text that differs from a token by one character changed, by being cut short or being longer, or by two
/// neighbours swapped.
fn neighbours_of(token: &str) -> Vec<String> {
    let mut texts = BTreeSet::new();
    for place in 0..token.len() {
        let (before, after) = (&token[..place], &token[place + 1..]);
        texts.extend(CHANGES.map(|new| format!("{before}{new}{after}")));
        texts.extend([before.to_owned(), after.to_owned()]);
        if let Some(next) = after.chars().next() {
            let (this, rest) = (&token[place..=place], &after[1..]);
            texts.insert(format!("{before}{next}{this}{rest}"));
        }
    }
    for more in ["0", "A", "_", " ", "\n", "=", token] {
        texts.extend([format!("{token}{more}"), format!("{more}{token}")]);
    }
    texts.remove(token);
    texts.into_iter().collect()
}

/// A server whose statements are counted, and a live token.
async fn start(database: &TestDatabase) -> (TestServer, Client, Statements, String) {
    let statements = Statements::default();
    let setup = Setup {
        statements: Some(statements.clone()),
        ..Setup::default()
    };
    let server = setup.start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    let secret = platform.issue("acme", "max", "deploy", None).await.secret;
    statements.take();
    (server, platform, statements, secret)
}

/// A token that was never issued.
fn unknown_token() -> String {
    let secret = Secret::random().expect("random bytes");
    TokenFormat::default().print(&secret).expose().to_owned()
}

fn get(secret: &str) -> GetTokenRequest {
    GetTokenRequest {
        target: Some(get_token_request::Target::Secret(secret.to_owned())),
        ..Default::default()
    }
}

async fn the_first_decision_takes_one_statement_and_the_next_and_a_malformed_token_none(
    database: TestDatabase,
) {
    let (_server, platform, statements, token) = start(&database).await;
    let ask = async |token: &str| {
        platform
            .authorize(token, "bookings.read", "", Some(Owner::Bearer(true)))
            .await
    };

    // First, that it counts.
    let answer = ask(&token).await;
    assert_eq!(
        answer.decision.expect("a decision").outcome(),
        Outcome::Allow
    );
    assert_eq!(statements.take().len(), 1, "for a token that is known");
    ask(&token).await;
    assert_eq!(statements.take(), [""; 0], "once it is remembered");
    let answer = ask(&unknown_token()).await;
    let reason = answer.decision.expect("a decision").reason();
    assert_eq!(reason, DenyReason::UnknownToken);
    assert_eq!(statements.take().len(), 1, "for a token that is unknown");

    let texts = neighbours_of(&token);
    assert!(texts.len() > 400, "{}", texts.len());
    for (i, text) in texts.iter().enumerate() {
        // A header value may have more than one space, so after its scheme a space in front would be no change.
        let scheme = match i % 3 {
            1 if !text.starts_with(' ') => "Bearer ",
            2 if !text.starts_with(' ') => "bearer  ",
            _ => "",
        };
        let answer = ask(&format!("{scheme}{text}")).await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.outcome(), Outcome::Deny, "{text:?}");
        assert_eq!(decision.reason(), DenyReason::MalformedToken, "{text:?}");
        assert_eq!((answer.principal, answer.revision.as_str()), (None, ""));
        assert_eq!(statements.take(), [""; 0], "{text:?}");
    }
    ask(&unknown_token()).await;
    assert_eq!(statements.take().len(), 1, "it still counts");
}

async fn a_malformed_secret_is_looked_up_by_no_statement(database: TestDatabase) {
    let (server, platform, statements, token) = start(&database).await;
    let mut tokens = platform.tokens.clone();

    let found = tokens.get_token(get(&token)).await.expect("an answer");
    assert!(found.into_inner().token.is_some());
    assert_eq!(statements.take().len(), 1, "for a secret that is known");
    let found = tokens.get_token(get(&unknown_token())).await;
    assert_eq!(found.expect("an answer").into_inner().token, None);
    assert_eq!(statements.take().len(), 1, "for a secret that is unknown");

    let texts = neighbours_of(&token);
    for (i, text) in texts.iter().step_by(4).enumerate() {
        if i % BY_SECRET_PER_SECOND == 0 {
            server.clock().advance(Duration::from_secs(1));
        }
        let found = tokens.get_token(get(text)).await.expect("an answer");
        assert_eq!(found.into_inner().token, None, "{text:?}");
        assert_eq!(statements.take(), [""; 0], "{text:?}");
    }
}

async fn a_malformed_secret_to_revoke_reads_the_head_and_no_token(database: TestDatabase) {
    let (_server, platform, statements, token) = start(&database).await;
    let request = RevokeTokenRequest {
        target: Some(revoke_token_request::Target::Secret(format!("{token}0"))),
        reason: "found in a log".to_owned(),
        ..Default::default()
    };
    let answer = platform.tokens.clone().revoke_token(request).await;
    assert_eq!(answer.expect("an answer").into_inner().token, None);
    let statements = statements.take();
    assert!(
        statements.iter().all(|sql| !sql.contains("\"token\"")),
        "{statements:?}"
    );
    assert_eq!(statements.len(), 1, "{statements:?}");
}

on_both![
    the_first_decision_takes_one_statement_and_the_next_and_a_malformed_token_none,
    a_malformed_secret_is_looked_up_by_no_statement,
    a_malformed_secret_to_revoke_reads_the_head_and_no_token,
];
