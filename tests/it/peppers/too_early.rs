//! Taking a pepper out too early, and giving one another key, through the real binary: refused, with the reason in the log,
//! and nothing changed.

use countersign::pb::{DenyReason, resource::Owner};

use crate::{
    reload::running::{Running, file, until},
    support::{
        client::Client,
        server::{NEXT_PEPPER, PEPPER},
    },
};

/// The id of the first pepper with the key of the next.
const OTHER_KEY: &str = "p1:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

const KEPT: &str = "the configuration was not reloaded: the running one stays";

/// Why a token is refused. Unspecified: it is not.
async fn reason(client: &Client, secret: &str) -> DenyReason {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    answer.decision.expect("a decision").reason()
}

/// A server with a file of peppers and two tokens under the first.
async fn start() -> (Running, Client, [(String, String); 2]) {
    let configuration = file("peppers_file = \"peppers\"\n");
    let server = Running::start(&configuration, &[("peppers", PEPPER)]);
    let client = server.client();
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let mut tokens = Vec::new();
    for name in ["laptop", "phone"] {
        let issued = client.issue("acme", "max", name, None).await;
        tokens.push((issued.secret, issued.token.expect("a token").token_id));
    }
    let tokens = tokens.try_into().expect("there are two");
    (server, client, tokens)
}

/// What the log says last of a refusal.
fn refusal(server: &Running) -> Option<String> {
    let mut said = server.said("ERROR");
    let (message, error) = said.pop()?;
    assert_eq!(message, KEPT);
    Some(error)
}

fn sentence(live: usize) -> String {
    format!("{live} live tokens hang on the pepper `p1`, which is not in the ring: add it back")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_that_is_taken_out_too_early_is_refused_with_the_count() {
    let (server, client, tokens) = start().await;
    // With another level and other callers besides: they are refused with it.
    let louder = file("log = \"debug\"\npeppers_file = \"peppers\"\n");
    let louder = louder.replace("\"tokens.issue\", ", "");
    server.write("countersign.toml", &louder);
    server.take("peppers", NEXT_PEPPER, "it is refused", || {
        refusal(&server) == Some(sentence(2))
    });
    assert_eq!(server.reloads().applied, 0);
    for (secret, _) in &tokens {
        assert_eq!(reason(&client, secret).await, DenyReason::Unspecified);
    }
    let issued = client.issue("acme", "max", "tablet", None).await;
    assert_eq!(server.said("DEBUG"), [], "the level is what it was");

    client.revoke(&tokens[0].1).await;
    let before = server.reloads().refused;
    server.hang_up();
    until("it is refused again", || {
        server.reloads().refused > before && refusal(&server) == Some(sentence(2))
    });
    for token_id in [&tokens[1].1, &issued.token.expect("a token").token_id] {
        client.revoke(token_id).await;
    }
    server.hang_up();
    until("it is accepted", || server.reloads().applied == 1);
    let refused = reason(&client, &tokens[1].0).await;
    assert_eq!(refused, DenyReason::UnknownToken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pepper_that_keeps_its_id_and_gets_another_key_is_refused() {
    let (server, client, tokens) = start().await;
    let told = "the pepper `p1` has another key than the running one: give a new pepper a new id";
    server.take("peppers", OTHER_KEY, "it is refused", || {
        refusal(&server).as_deref() == Some(told)
    });
    assert_eq!(server.reloads().applied, 0);
    for (secret, _) in &tokens {
        assert_eq!(reason(&client, secret).await, DenyReason::Unspecified);
    }
    let both = format!("{PEPPER},{NEXT_PEPPER}");
    server.take("peppers", &both, "a new one is accepted", || {
        server.reloads().applied > 0
    });
}
