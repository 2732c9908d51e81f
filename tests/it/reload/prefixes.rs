//! The prefix of tokens changes with a reload, and the one before is retired.

use countersign::{
    domain::secret::TokenFormat,
    pb::{DenyReason, resource::Owner},
};

use crate::support::{
    client::Client,
    database::{TestDatabase, on_both},
    server::{PLATFORM, Setup},
};

fn setup(prefix: &str, retired: &[&str]) -> Setup {
    let retired: Vec<String> = retired.iter().map(|&prefix| prefix.to_owned()).collect();
    Setup {
        token_format: TokenFormat::new(prefix, &retired).expect("the prefixes are good"),
        ..Setup::default()
    }
}

/// Why a token is refused. Unspecified: it is not.
async fn reason(client: &Client, secret: &str) -> DenyReason {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    answer.decision.expect("a decision").reason()
}

async fn a_new_prefix_is_printed_and_the_old_one_works_until_it_is_taken_out(
    database: TestDatabase,
) {
    let server = setup("csn_pat", &[]).start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let old = client.issue("acme", "max", "old", None).await.secret;
    assert!(old.starts_with("csn_pat_1"), "{} characters", old.len());

    assert!(server.reload(setup("acme", &["csn_pat"])).await);
    let new = client.issue("acme", "max", "new", None).await.secret;
    assert!(new.starts_with("acme_1"), "{} characters", new.len());
    for secret in [&old, &new] {
        assert_eq!(reason(&client, secret).await, DenyReason::Unspecified);
    }

    assert!(server.reload(setup("acme", &[])).await);
    assert_eq!(reason(&client, &old).await, DenyReason::MalformedToken);
    assert_eq!(reason(&client, &new).await, DenyReason::Unspecified);

    // Nothing of it is lost: what was taken out can be put back.
    assert!(server.reload(setup("acme", &["csn_pat"])).await);
    assert_eq!(reason(&client, &old).await, DenyReason::Unspecified);
}

on_both![a_new_prefix_is_printed_and_the_old_one_works_until_it_is_taken_out];
