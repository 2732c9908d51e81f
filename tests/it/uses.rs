//! When tokens were last used: told a little later, written past the feed and off the path of decisions, and never back.

mod filters;
mod idle;
mod killed;
mod writing;

use std::time::{Duration, Instant};

use countersign::{
    domain::time::Timestamp,
    pb::{
        BatchAuthorizeRequest, BatchMode, Check, GetTokenRequest, ListPermissionsRequest, Outcome,
        Resource, get_token_request::Target, resource::Owner,
    },
    server::Limits,
};

use crate::support::{
    client::Client,
    clock::TestClock,
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Between one writing and the next, of a server that writes at once.
const AT_ONCE: Duration = Duration::from_millis(20);

/// A server that writes after this time, with this clock.
fn setup(use_interval: Duration, clock: &TestClock) -> Setup {
    let setup = Setup::default();
    Setup {
        limits: Limits {
            use_interval,
            ..setup.limits.clone()
        },
        clock: clock.clone(),
        ..setup
    }
}

/// A token, and what reads it.
struct Issued {
    token_id: String,
    secret: String,
}

async fn issue(client: &Client, name: &str) -> Issued {
    let issued = client.issue("acme", "max", name, None).await;
    let token = issued.token.expect("a token");
    assert_eq!(token.last_used_at, None);
    Issued {
        token_id: token.token_id,
        secret: issued.secret,
    }
}

async fn populate(server: &TestServer) -> Client {
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    client
}

/// Presents it for something that its member may do to its own, or may not do to others'.
async fn present(client: &Client, secret: &str, owner: Owner) -> Outcome {
    let answer = client
        .authorize(secret, "bookings.read", "acme", Some(owner))
        .await;
    answer.decision.expect("a decision").outcome()
}

async fn use_now(client: &Client, secret: &str) {
    let outcome = present(client, secret, Owner::Bearer(true)).await;
    assert_eq!(outcome, Outcome::Allow);
}

/// When it was last used, as far as is known.
async fn last_used(client: &Client, token_id: &str) -> Option<Timestamp> {
    let request = GetTokenRequest {
        target: Some(Target::TokenId(token_id.to_owned())),
        actor: None,
    };
    let answer = client.tokens.clone().get_token(request).await;
    let token = answer.expect("an answer").into_inner().token;
    let at = token.expect("the token").last_used_at?;
    Some(Timestamp(
        at.seconds * 1000 + i64::from(at.nanos / 1_000_000),
    ))
}

/// Waits until it is told that a token was used then.
async fn until_used(client: &Client, token_id: &str, at: Timestamp) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = last_used(client, token_id).await;
        if told == Some(at) {
            return;
        }
        assert!(Instant::now() < deadline, "{told:?}, and not {at:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn batch(client: &Client, secret: &str, owners: &[Owner]) -> Vec<Outcome> {
    let check = |owner: &Owner| Check {
        action: "bookings.read".to_owned(),
        resource: Some(Resource {
            workspace_id: "acme".to_owned(),
            owner: Some(owner.clone()),
            ..Default::default()
        }),
    };
    let request = BatchAuthorizeRequest {
        token: secret.to_owned(),
        checks: owners.iter().map(check).collect(),
        mode: BatchMode::All.into(),
        ..Default::default()
    };
    let answer = client.authorization.clone().batch_authorize(request).await;
    let decisions = answer.expect("decisions").into_inner().decisions;
    decisions.iter().map(|one| one.outcome()).collect()
}

async fn what_was_allowed_is_told_and_what_was_denied_is_not(database: TestDatabase) {
    use Outcome::{Allow, Deny};

    let clock = TestClock::default();
    let server = setup(AT_ONCE, &clock).start(&database).await;
    let client = populate(&server).await;
    let [own, others] = [Owner::Bearer(true), Owner::OwnerId("ada".to_owned())];

    let denied = issue(&client, "denied").await;
    let outcome = present(&client, &denied.secret, others.clone()).await;
    assert_eq!(outcome, Deny);
    let all_denied = issue(&client, "all denied").await;
    let outcomes = batch(
        &client,
        &all_denied.secret,
        &[others.clone(), others.clone()],
    )
    .await;
    assert_eq!(outcomes, [Deny, Deny]);
    let asked = issue(&client, "asked").await;
    let request = ListPermissionsRequest {
        token: asked.secret.clone(),
        ..Default::default()
    };
    let answer = client.authorization.clone().list_permissions(request).await;
    assert!(
        !answer
            .expect("an answer")
            .into_inner()
            .permissions
            .is_empty()
    );
    let revoked = issue(&client, "revoked").await;
    client.revoke(&revoked.token_id).await;
    let outcome = present(&client, &revoked.secret, own.clone()).await;
    assert_eq!(outcome, Deny);

    clock.advance(Duration::from_millis(1));
    let used = issue(&client, "used").await;
    use_now(&client, &used.secret).await;
    until_used(&client, &used.token_id, clock.now()).await;
    clock.advance(Duration::from_millis(1));
    let first = clock.now();
    let in_part = issue(&client, "in part").await;
    let outcomes = batch(&client, &in_part.secret, &[others.clone(), own.clone()]).await;
    assert_eq!(outcomes, [Deny, Allow]);
    until_used(&client, &in_part.token_id, first).await;

    // Whatever had been marked before was written with these.
    for unused in [&denied, &all_denied, &asked, &revoked] {
        assert_eq!(last_used(&client, &unused.token_id).await, None);
    }
    // A denial later is no use either, and a use later is.
    clock.advance(Duration::from_secs(1));
    let outcome = present(&client, &in_part.secret, others).await;
    assert_eq!(outcome, Deny);
    use_now(&client, &used.secret).await;
    until_used(&client, &used.token_id, clock.now()).await;
    assert_eq!(last_used(&client, &in_part.token_id).await, Some(first));
    // Whoever revokes it is told as well.
    let told = client.revoke(&used.token_id).await.last_used_at;
    assert_eq!(
        told.map(|at| at.seconds * 1000),
        Some(clock.now().0 / 1000 * 1000)
    );
}

on_both![what_was_allowed_is_told_and_what_was_denied_is_not];
