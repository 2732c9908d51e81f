//! A reload while the database fails: it works unless a pepper is to be taken out, of which only the database knows whether
//! it may be.

use countersign::{
    domain::policy::Policy,
    pb::{DenyReason, resource::Owner},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::support::{
    database::{TestDatabase, on_both},
    server::{NEXT_PEPPER, PEPPER, PLATFORM, Setup},
};

const READ_ONLY: &str =
    "[resources.bookings]\nverbs = [\"read\"]\n[roles.member]\nown = [\"bookings.read\"]\n";

/// The other policy, under these peppers.
fn setup(peppers: &[&str]) -> Setup {
    Setup {
        policy: Policy::parse(READ_ONLY).expect("it is good"),
        peppers: peppers.join(","),
        ..Setup::default()
    }
}

async fn run(connection: &DatabaseConnection, statement: &str) {
    let done = connection.execute_unprepared(statement).await;
    done.expect("the statement runs");
}

async fn while_the_database_fails_everything_is_reloaded_but_what_takes_a_pepper_out(
    database: TestDatabase,
) {
    let server = Setup::default().start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    let secret = client.issue("acme", "max", "laptop", None).await.secret;
    let connection = database.connect().await;
    run(&connection, "ALTER TABLE token RENAME TO gone").await;
    assert!(server.reload(setup(&[NEXT_PEPPER, PEPPER])).await);
    let retiring = setup(&[NEXT_PEPPER]);
    let with_embedded = Setup {
        policy: Setup::default().policy,
        ..retiring
    };
    assert!(!server.reload(with_embedded).await);

    run(&connection, "ALTER TABLE gone RENAME TO token").await;
    connection.close().await.expect("the connection closes");
    for (action, expected) in [
        ("bookings.read", DenyReason::Unspecified),
        ("bookings.update", DenyReason::UnknownAction),
    ] {
        let owner = Some(Owner::Bearer(true));
        let answer = client.authorize(&secret, action, "", owner).await;
        let decision = answer.decision.expect("a decision");
        assert_eq!(decision.reason(), expected, "{action}");
    }
}

on_both![while_the_database_fails_everything_is_reloaded_but_what_takes_a_pepper_out];
