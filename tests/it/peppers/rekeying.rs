//! Tokens move to the active pepper as they are used: soon, beside the decisions, and with replicas in both states of a
//! rotation.

use std::time::{Duration, Instant};

use countersign::{
    domain::database_url::DatabaseUrl,
    pb::{DenyReason, resource::Owner},
    server::Limits,
    store::live_tokens_by_pepper,
};

use crate::support::{
    client::Client,
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup, TestServer},
    statements::Statements,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Between one writing and the next.
const AT_ONCE: Duration = Duration::from_millis(20);
const AT_THE_END: Duration = Duration::from_secs(3600);

/// The rings of each step: before, add, activate, retire.
const BEFORE: &[&str] = &[PEPPER];
const ADDED: &[&str] = &[PEPPER, NEXT_PEPPER];
const ACTIVATED: &[&str] = &[NEXT_PEPPER, PEPPER];
const RETIRED: &[&str] = &[NEXT_PEPPER];

fn setup(ring: &[&str], use_interval: Duration) -> Setup {
    let setup = Setup::default();
    Setup {
        peppers: ring.join(","),
        limits: Limits {
            use_interval,
            ..setup.limits.clone()
        },
        ..setup
    }
}

async fn reload(server: &TestServer, ring: &[&str]) -> bool {
    server.reload(setup(ring, AT_ONCE)).await
}

async fn populate(server: &TestServer) -> Client {
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    client
}

/// The secret and the id.
async fn issue(client: &Client, name: &str) -> (String, String) {
    let issued = client.issue("acme", "max", name, None).await;
    (issued.secret, issued.token.expect("a token").token_id)
}

/// Why a token is refused, unspecified if it is not, and the position at which that was.
async fn decide(client: &Client, secret: &str) -> (DenyReason, String) {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    let reason = answer.decision.expect("a decision").reason();
    (reason, answer.revision)
}

async fn assert_works(client: &Client, secret: &str, when: &str) {
    let (reason, _) = decide(client, secret).await;
    assert_eq!(reason, DenyReason::Unspecified, "{when}");
}

/// How many live tokens hang on the first pepper and on the next.
async fn counts(database: &TestDatabase) -> [i64; 2] {
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    let clock = TestClock::default().clock();
    let counts = live_tokens_by_pepper(&url, &clock).await;
    let counts = counts.expect("the database is read");
    ["p1", "p2"].map(|id| {
        let found = counts.iter().find(|(pepper, _)| pepper == id);
        found.map_or(0, |(_, live)| *live)
    })
}

async fn until_counts(database: &TestDatabase, expected: [i64; 2]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counts = counts(database).await;
        if counts == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn what_is_used_moves_to_the_active_pepper_and_nobody_notices(database: TestDatabase) {
    let statements = Statements::default();
    let server = Setup {
        statements: Some(statements.clone()),
        ..setup(BEFORE, AT_ONCE)
    };
    let server = server.start(&database).await;
    let client = populate(&server).await;
    let [(warm, _), (cold, _), (_, unused)] = [
        issue(&client, "warm").await,
        issue(&client, "cold").await,
        issue(&client, "unused").await,
    ];
    let (_, before) = decide(&client, &warm).await;
    assert!(reload(&server, ADDED).await);
    assert_works(&client, &warm, "once there are two").await;
    assert!(reload(&server, ACTIVATED).await);
    assert_works(&client, &warm, "though it was in memory").await;
    assert_works(&client, &cold, "for the first time").await;
    until_counts(&database, [1, 2]).await;

    // No change is told of, and nothing that is remembered is lost.
    statements.take();
    for secret in [&warm, &cold] {
        let (reason, revision) = decide(&client, secret).await;
        assert_eq!(reason, DenyReason::Unspecified);
        assert_eq!(revision, before);
    }
    let looked_up = statements.take();
    let looked_up = looked_up.iter().filter(|sql| sql.contains("\"digest\" IN"));
    assert_eq!(looked_up.count(), 0);

    assert!(!reload(&server, RETIRED).await, "one was never used");
    client.revoke(&unused).await;
    assert!(reload(&server, RETIRED).await);
    for secret in [&warm, &cold] {
        assert_works(&client, secret, "once the old one is gone").await;
    }
    server.stop().await.expect("it stops");
    let server = setup(RETIRED, AT_ONCE).start(&database).await;
    for secret in [&warm, &cold] {
        assert_works(&server.client(PLATFORM), secret, "after a restart").await;
    }
}

async fn an_activation_that_was_taken_back_moves_nothing(database: TestDatabase) {
    let server = setup(ADDED, AT_THE_END).start(&database).await;
    let client = populate(&server).await;
    let (secret, _) = issue(&client, "deploy").await;
    assert!(reload(&server, ACTIVATED).await);
    assert_works(&client, &secret, "while it is about to move").await;
    assert!(reload(&server, ADDED).await);
    assert!(reload(&server, BEFORE).await, "nothing hangs on the next");
    server.stop().await.expect("it stops");
    assert_eq!(counts(&database).await, [1, 0]);
    let server = setup(BEFORE, AT_THE_END).start(&database).await;
    assert_works(&server.client(PLATFORM), &secret, "after a restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_may_move_the_same_tokens_at_once() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let one = setup(ADDED, AT_THE_END).start(&database).await;
    let other = setup(ACTIVATED, AT_THE_END).start(&database).await;
    let clients = [populate(&one).await, other.client(PLATFORM)];
    let mut secrets = Vec::new();
    for number in 0..50 {
        secrets.push(issue(&clients[0], &number.to_string()).await.0);
    }
    assert_eq!(counts(&database).await, [50, 0]);
    assert!(reload(&one, ACTIVATED).await);
    for secret in &secrets {
        for client in &clients {
            assert_works(client, secret, "at both").await;
        }
    }
    let (one, other) = tokio::join!(one.stop(), other.stop());
    one.and(other).expect("both stop");
    assert_eq!(counts(&database).await, [0, 50]);
    let server = setup(RETIRED, AT_THE_END).start(&database).await;
    for secret in &secrets {
        assert_works(&server.client(PLATFORM), secret, "under the next").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_before_and_after_a_step_keep_every_token_alive() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let servers = [
        setup(BEFORE, AT_ONCE).start(&database).await,
        setup(BEFORE, AT_ONCE).start(&database).await,
    ];
    let clients = [populate(&servers[0]).await, servers[1].client(PLATFORM)];
    let mut secrets = Vec::new();
    for number in 0..5 {
        secrets.push(issue(&clients[0], &number.to_string()).await.0);
    }
    let assert_all_work = async |when: &str| {
        for _ in 0..20 {
            for secret in &secrets {
                for client in &clients {
                    assert_works(client, secret, when).await;
                }
            }
            tokio::time::sleep(AT_ONCE / 4).await;
        }
    };
    for (server, ring, when) in [
        (0, ADDED, "one has added"),
        (1, ADDED, "both have added"),
        (0, ACTIVATED, "one has activated"),
        (0, ADDED, "one has gone back"),
        (1, ACTIVATED, "the other has activated"),
        (0, ACTIVATED, "both have activated"),
    ] {
        assert!(reload(&servers[server], ring).await, "{when}");
        assert_all_work(when).await;
    }
    until_counts(&database, [0, 5]).await;
    for server in [0, 1] {
        assert!(reload(&servers[server], RETIRED).await);
        assert_all_work("retired").await;
    }
}

on_both![
    what_is_used_moves_to_the_active_pepper_and_nobody_notices,
    an_activation_that_was_taken_back_moves_nothing,
];
