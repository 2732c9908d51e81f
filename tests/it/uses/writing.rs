//! How uses are written: never on the path of a decision, many at once, at the latest when the server ends, and never back.

use std::time::{Duration, Instant};

use countersign::pb::{Outcome, resource::Owner};
use sea_orm::ConnectionTrait;
use tokio::task::JoinSet;

use super::{
    AT_ONCE, Issued, PATIENCE, issue, last_used, populate, present, setup, until_used, use_now,
};
use crate::support::{
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    server::{PLATFORM, Setup, TestServer},
    statements::Statements,
};

const HOUR: Duration = Duration::from_secs(3600);
/// More than one statement writes.
const MEMBERS: usize = 7;
const TOKENS_EACH: usize = 50;

fn writes(statements: &[String]) -> usize {
    let is_write = |sql: &&String| sql.starts_with("INSERT INTO token_use ");
    statements.iter().filter(is_write).count()
}

async fn decisions_run_no_statement_and_the_last_use_is_written_at_the_end(database: TestDatabase) {
    let (clock, statements) = (TestClock::default(), Statements::default());
    let server = Setup {
        statements: Some(statements.clone()),
        ..setup(HOUR, &clock)
    };
    let server = server.start(&database).await;
    let client = populate(&server).await;
    let Issued { token_id, secret } = issue(&client, "busy").await;
    use_now(&client, &secret).await;
    statements.take();

    for _ in 0..10 {
        clock.advance(Duration::from_millis(1));
        let mut askers = JoinSet::new();
        for _ in 0..10 {
            let (client, secret) = (client.clone(), secret.clone());
            askers.spawn(async move {
                for _ in 0..100 {
                    use_now(&client, &secret).await;
                }
            });
        }
        while let Some(asker) = askers.join_next().await {
            asker.expect("it was allowed each time");
        }
    }
    assert_eq!(statements.take(), [""; 0], "of 10,000 decisions");
    assert_eq!(last_used(&client, &token_id).await, None);
    statements.take();

    server.stop().await.expect("it stops");
    let written = statements.take();
    assert_eq!(writes(&written), 1, "{written:?}");
    let server = setup(HOUR, &clock).start(&database).await;
    let client = server.client(PLATFORM);
    assert_eq!(last_used(&client, &token_id).await, Some(clock.now()));
}

async fn what_could_not_be_written_is_written_later(database: TestDatabase) {
    let (clock, statements) = (TestClock::default(), Statements::default());
    let server = Setup {
        statements: Some(statements.clone()),
        ..setup(AT_ONCE, &clock)
    };
    let server = server.start(&database).await;
    let client = populate(&server).await;
    let Issued { token_id, secret } = issue(&client, "deploy").await;
    let connection = database.connect().await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        connection.execute_unprepared(&sql).await.expect("renamed");
    };
    // It is read with the token, so that has to be known by then; a denial is no use.
    let others = Owner::OwnerId("ada".to_owned());
    assert_eq!(present(&client, &secret, others).await, Outcome::Deny);
    rename("token_use", "elsewhere").await;
    use_now(&client, &secret).await;
    let used_at = clock.now();
    // It fails more than once, and decisions go on.
    let deadline = Instant::now() + PATIENCE;
    let mut failed = 0;
    while failed < 2 {
        failed += writes(&statements.take());
        assert!(Instant::now() < deadline, "it is tried");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    use_now(&client, &secret).await;
    rename("elsewhere", "token_use").await;
    until_used(&client, &token_id, used_at).await;
    connection.close().await.expect("the connection closes");
}

/// A workspace with many tokens.
async fn crowd(server: &TestServer) -> Vec<Issued> {
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    let mut members = JoinSet::new();
    for number in 0..MEMBERS {
        let (client, member_id) = (client.clone(), format!("m{number}"));
        members.spawn(async move {
            client.put_member("acme", &member_id, "member").await;
            let mut tokens = Vec::new();
            for number in 0..TOKENS_EACH {
                let name = number.to_string();
                let issued = client.issue("acme", &member_id, &name, None).await;
                tokens.push(Issued {
                    token_id: issued.token.expect("a token").token_id,
                    secret: issued.secret,
                });
            }
            tokens
        });
    }
    members.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_write_the_same_tokens_at_once_never_move_a_time_back() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let [early, late] = [TestClock::default(), TestClock::default()];
    late.advance(Duration::from_millis(1));
    let (one, other) = (
        setup(HOUR, &early).start(&database).await,
        setup(HOUR, &late).start(&database).await,
    );
    let tokens = crowd(&one).await;
    assert!(tokens.len() > 256);
    for token in &tokens {
        use_now(&one.client(PLATFORM), &token.secret).await;
        use_now(&other.client(PLATFORM), &token.secret).await;
    }
    let (one, other) = tokio::join!(one.stop(), other.stop());
    one.and(other).expect("both stop");

    // One whose clock is behind comes last.
    let behind = setup(HOUR, &early).start(&database).await;
    for token in &tokens {
        use_now(&behind.client(PLATFORM), &token.secret).await;
    }
    behind.stop().await.expect("it stops");
    let server = setup(HOUR, &late).start(&database).await;
    let client = server.client(PLATFORM);
    for token in &tokens {
        let told = last_used(&client, &token.token_id).await;
        assert_eq!(told, Some(late.now()));
    }
}

on_both![
    decisions_run_no_statement_and_the_last_use_is_written_at_the_end,
    what_could_not_be_written_is_written_later,
];
