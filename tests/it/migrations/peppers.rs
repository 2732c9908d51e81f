//! A server does not start where live tokens hang on a pepper that it lacks: it could only call them unknown.

use std::time::Duration;

use countersign::pb::{Outcome, resource::Owner};

use crate::support::{
    client::Client,
    clock::TestClock,
    database::{TestDatabase, on_both},
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup, TestServer},
};

/// A server with these peppers, the active one first.
async fn start(database: &TestDatabase, clock: &TestClock, peppers: &[&str]) -> TestServer {
    let setup = Setup {
        peppers: peppers.join(","),
        clock: clock.clone(),
        ..Setup::default()
    };
    setup.start(database).await
}

/// What a server with the next pepper alone says, when it does not start.
async fn refusal(database: &TestDatabase, clock: &TestClock) -> String {
    let server = start(database, clock, &[NEXT_PEPPER]).await;
    let refused = server.stop().await;
    refused.expect_err("it does not start").to_string()
}

fn sentence(live: usize) -> String {
    format!("{live} live tokens hang on the pepper `p1`, which is not in the ring")
}

async fn assert_allowed(client: &Client, secret: &str) {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    let decision = answer.decision.expect("a decision");
    assert_eq!(decision.outcome(), Outcome::Allow, "{}", decision.message);
}

async fn a_pepper_may_be_retired_when_no_live_token_hangs_on_it(database: TestDatabase) {
    let clock = TestClock::default();
    let hour = Duration::from_secs(3600);
    let server = start(&database, &clock, &[PEPPER]).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    for member_id in ["max", "ada"] {
        client.put_member("acme", member_id, "member").await;
    }
    let revoked = client.issue("acme", "max", "revoked", None).await;
    client.issue("acme", "max", "expiring", Some(hour)).await;
    client.issue("acme", "ada", "removed", None).await;
    client.issue("acme", "ada", "removed too", None).await;
    server.stop().await.expect("it stops");

    let said = refusal(&database, &clock).await;
    assert!(said.contains(&sentence(4)), "{said}");
    clock.advance(hour);
    let said = refusal(&database, &clock).await;
    assert!(said.contains(&sentence(3)), "{said}");

    let server = start(&database, &clock, &[NEXT_PEPPER, PEPPER]).await;
    let client = server.client(PLATFORM);
    assert_allowed(&client, &revoked.secret).await;
    client
        .revoke(&revoked.token.expect("a token").token_id)
        .await;
    server.stop().await.expect("it stops");
    let said = refusal(&database, &clock).await;
    assert!(said.contains(&sentence(2)), "{said}");

    let server = start(&database, &clock, &[PEPPER]).await;
    let client = server.client(PLATFORM);
    client.remove_member("acme", "ada").await;
    server.stop().await.expect("it stops");
    let server = start(&database, &clock, &[NEXT_PEPPER]).await;
    let client = server.client(PLATFORM);
    let issued = client.issue("acme", "max", "of the next", None).await;
    assert_allowed(&client, &issued.secret).await;
    server.stop().await.expect("it served");
}

async fn a_ring_of_two_verifies_the_tokens_of_both(database: TestDatabase) {
    let clock = TestClock::default();
    let mut secrets = Vec::new();
    // Add everywhere, activate, and the step back: the order in which replicas of both states meet.
    let rings: [&[&str]; 4] = [
        &[PEPPER],
        &[PEPPER, NEXT_PEPPER],
        &[NEXT_PEPPER, PEPPER],
        &[PEPPER, NEXT_PEPPER],
    ];
    for (number, ring) in rings.into_iter().enumerate() {
        let server = start(&database, &clock, ring).await;
        let client = server.client(PLATFORM);
        if number == 0 {
            client.create_workspace("acme").await;
            client.put_member("acme", "max", "member").await;
        }
        let name = format!("token {number}");
        secrets.push(client.issue("acme", "max", &name, None).await.secret);
        for secret in &secrets {
            assert_allowed(&client, secret).await;
        }
        server.stop().await.expect("it stops");
    }
    // All of them were used while the first was the active one, so they have moved to it.
    let said = refusal(&database, &clock).await;
    assert!(said.contains(&sentence(4)), "{said}");
}

on_both![
    a_pepper_may_be_retired_when_no_live_token_hangs_on_it,
    a_ring_of_two_verifies_the_tokens_of_both,
];
