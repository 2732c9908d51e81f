//! What a version without notices leaves: tokens that expired in its time, and those that it issued.

use countersign::domain::time::Clock;
use sea_orm::ConnectionTrait;

use super::{DAY, MILLISECOND, before, issue, start, swept, told};
use crate::support::{
    clock::TestClock,
    database::{TestDatabase, on_both},
    server::PLATFORM,
};

async fn what_expired_before_there_were_notices_is_not_told(database: TestDatabase) {
    let clock = TestClock::default();
    // The migration goes by the time of day.
    let today = Clock::system().now();
    clock.set(before(today, 20));
    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    issue(&platform, "expired", Some(19 * DAY)).await;
    let week = issue(&platform, "a week left", Some(27 * DAY)).await;
    let short = issue(&platform, "short", Some(25 * DAY)).await;
    server.stop().await.expect("it stops");

    // As a version without them left it.
    let connection = database.connect().await;
    for statement in [
        "DROP INDEX token_by_notice",
        "ALTER TABLE token DROP COLUMN notified",
        "DELETE FROM seaql_migrations WHERE version = 'm20261124_000007_notices'",
    ] {
        let done = connection.execute_unprepared(statement).await;
        done.expect("the statement runs");
    }
    connection.close().await.expect("the connection closes");

    clock.set(today);
    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    // 30 days had passed for either when it was issued, and 7 have now.
    let mut first = told(&platform, 2).await;
    first.sort();
    let mut expected = vec![(week.clone(), 7, today), (short.clone(), 7, today)];
    expected.sort();
    assert_eq!(first, expected);
    assert_eq!(swept(&platform, &clock).await.len(), 2);
    server.stop().await.expect("it stops");

    // Issued by such a version meanwhile: what was due then is found out.
    let connection = database.connect().await;
    let done = connection
        .execute_unprepared("UPDATE token SET notified = 0 WHERE name = 'short'")
        .await;
    done.expect("the statement runs");
    connection.close().await.expect("the connection closes");
    let end = before(today, 20).plus(25 * DAY);
    clock.set(before(end, 1));
    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    let told = told(&platform, 3).await;
    assert_eq!(told.last(), Some(&(short, 1, clock.now())));
    clock.advance(MILLISECOND);
    assert_eq!(swept(&platform, &clock).await.len(), 3);
}

on_both![what_expired_before_there_were_notices_is_not_told];
