//! Old events are dropped: the oldest ones only, never the newest, and everybody who would miss them is told how far.

mod afterwards;
mod command;
mod replicas;
mod revisions;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use countersign::{
    pb::{Event, ListEventsRequest, ListEventsResponse, TrailStart},
    server::Limits,
};
use sea_orm::ConnectionTrait;
use tokio::time::{Instant, sleep};

use crate::support::{
    client::{self, Client},
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    http::scrape_until,
    server::{PLATFORM, Setup, TestServer},
    statements::Statements,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longer than anything takes that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that looks for old events all the time.
fn setup(event_retention: Option<Duration>) -> Setup {
    let setup = Setup::default();
    Setup {
        limits: Limits {
            retention_interval: Duration::from_millis(5),
            ..setup.limits
        },
        event_retention,
        ..setup
    }
}

/// Keeps events for a week. There are a workspace and a member, of which the events 1 and 2 tell.
async fn acme(database: &TestDatabase) -> (TestServer, Client) {
    let server = setup(Some(WEEK)).start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    (server, platform)
}

/// Changes so many things, each with an event.
async fn change(client: &Client, times: usize) {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..times {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        client.create_workspace(&format!("w{number}")).await;
    }
}

async fn execute(database: &TestDatabase, sql: &str) {
    let connection = database.connect().await;
    let done = connection.execute_unprepared(sql).await;
    done.expect("the statement runs");
    connection.close().await.expect("the connection closes");
}

/// Makes the events of these revisions old, by any clock.
async fn age(database: &TestDatabase, revisions: std::ops::RangeInclusive<i64>) {
    let (from, to) = revisions.into_inner();
    let millis = (400 * DAY).as_millis();
    let range = format!("revision BETWEEN {from} AND {to}");
    execute(
        database,
        &format!("UPDATE event SET at = at - {millis} WHERE {range}"),
    )
    .await;
}

/// So many events that are as old as can be, after the one that is the newest.
async fn add_old_events(database: &TestDatabase, head: i64, count: i64) {
    let id = match database.backend() {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "decode(replace(gen_random_uuid()::text, '-', ''), 'hex')",
    };
    let sql = format!(
        "INSERT INTO event (revision, event_id, at, kind, caller, workspace_id, details) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT {head} + i, {id}, i, 'WORKSPACE_UPDATED', 'platform', 'acme', \
             '{{\"kind\":\"WORKSPACE_UPDATED\",\"name\":\"acme\",\"state\":null}}' FROM n"
    );
    execute(database, &sql).await;
    let newest = format!(
        "(SELECT event_id FROM event WHERE revision = {})",
        head + count
    );
    let sql = format!(
        "UPDATE feed_head SET revision = {}, event_id = {newest}",
        head + count
    );
    execute(database, &sql).await;
}

async fn page(client: &Client, request: ListEventsRequest) -> ListEventsResponse {
    let page = client.events.clone().list_events(request).await;
    page.expect("a page").into_inner()
}

async fn trail_start(client: &Client) -> Option<TrailStart> {
    page(client, ListEventsRequest::default()).await.trail_start
}

fn number(revision: &str) -> i64 {
    let (number, _) = revision.split_once('-').expect("a revision");
    number.parse().expect("a number")
}

/// The numbers of all events, oldest first.
async fn kept(client: &Client) -> Vec<i64> {
    let events = client::events(client).await;
    let numbers = events.iter().map(|event| number(&event.revision));
    numbers.rev().collect()
}

/// Waits until this is the oldest event.
async fn until_dropped(client: &Client, oldest: i64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let start = trail_start(client).await;
        let begins = start.map_or(0, |start| number(&start.revision));
        assert!(begins <= oldest, "{begins} is the oldest");
        if begins == oldest {
            return;
        }
        assert!(Instant::now() < deadline, "{begins} is the oldest");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn the_oldest_are_dropped_and_it_is_told_where_the_trail_begins(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    change(&platform, 6).await;
    let all: Vec<Event> = client::events(&platform).await;
    let two = ListEventsRequest {
        page_size: 4,
        ..Default::default()
    };
    let first = page(&platform, two.clone()).await;
    assert_eq!(first.trail_start, None, "it is whole");
    age(&database, 0..=5).await;
    // The one after event 5 is young: who has come as far as 5 can go on.
    until_dropped(&platform, 5).await;
    let whole = page(&platform, ListEventsRequest::default()).await;
    let (kept, _) = all.split_at(4);
    let (oldest, young) = whole.events.split_last().expect("some are kept");
    assert_eq!(young, &kept[..3]);
    assert_eq!(oldest.revision, kept[3].revision);
    let start = whole.trail_start.expect("it is told");
    assert_eq!(
        (&start.revision, start.occurred_at),
        (&oldest.revision, oldest.occurred_at)
    );
    // Whatever is asked for, also by who listed on from before.
    let filtered = ListEventsRequest {
        caller: "nobody".to_owned(),
        ..Default::default()
    };
    let further = ListEventsRequest {
        page_token: first.next_page_token,
        ..two
    };
    for request in [filtered, further] {
        let page = page(&platform, request).await;
        assert_eq!(page.events, []);
        assert_eq!(page.trail_start.as_ref(), Some(&start));
    }
    // Whoever lists may see it before who dropped them says so.
    let metrics = scrape_until(server.metrics_address(), |scrape| {
        scrape.get("countersign_events_dropped_total") == Some(5.0)
    });
    let oldest = metrics.await.get("countersign_feed_oldest_revision");
    assert_eq!(oldest, Some(5.0));
    // What a server knows at its start is in the database.
    server.stop().await.expect("it stops");
    let server = setup(None).start(&database).await;
    scrape_until(server.metrics_address(), |scrape| {
        scrape.get("countersign_feed_oldest_revision") == Some(5.0)
    })
    .await;
    assert_eq!(trail_start(&server.client(PLATFORM)).await, Some(start));
}

async fn the_newest_event_is_never_dropped(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    change(&platform, 3).await;
    age(&database, 0..=5).await;
    until_dropped(&platform, 5).await;
    assert_eq!(kept(&platform).await, [5]);
    // The next one is the next number, and now the other is there for who had come as far.
    change(&platform, 1).await;
    assert_eq!(kept(&platform).await, [5, 6]);
    age(&database, 6..=6).await;
    until_dropped(&platform, 6).await;
    change(&platform, 2).await;
    assert_eq!(kept(&platform).await, [6, 7, 8]);
}

async fn what_is_behind_a_young_event_is_kept_however_old(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    change(&platform, 8).await;
    // As by clocks that do not agree.
    age(&database, 5..=8).await;
    age(&database, 0..=3).await;
    until_dropped(&platform, 3).await;
    assert_eq!(kept(&platform).await, Vec::from_iter(3..=10));
    age(&database, 4..=4).await;
    until_dropped(&platform, 8).await;
    assert_eq!(kept(&platform).await, [8, 9, 10]);
}

async fn a_server_whose_clock_is_ahead_drops_nothing_that_is_young(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    change(&platform, 3).await;
    // Of today, by the database's clock.
    let today = TestClock::system().now().0;
    execute(&database, &format!("UPDATE event SET at = {today}")).await;
    server.clock().advance(1000 * DAY);
    // What comes to be known of an old one shows that it was looked.
    age(&database, 0..=1).await;
    until_dropped(&platform, 1).await;
    assert_eq!(kept(&platform).await, [1, 2, 3, 4, 5]);
}

async fn how_long_is_as_the_running_configuration_says(database: TestDatabase) {
    let statements = Statements::default();
    let setup_for = |event_retention| Setup {
        statements: Some(statements.clone()),
        ..setup(event_retention)
    };
    let server = setup_for(None).start(&database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    change(&platform, 3).await;
    age(&database, 0..=5).await;
    // It is looked at where the trail begins, again and again, and nothing is dropped.
    let mut looked = 0;
    while looked < 5 {
        let taken = statements.take();
        assert!(!taken.iter().any(|sql| sql.contains("DELETE")), "{taken:?}");
        looked += taken.iter().filter(|sql| sql.contains("feed_tail")).count();
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(kept(&platform).await, Vec::from_iter(0..=5));
    // They are 400 days old.
    assert!(server.reload(setup_for(Some(1000 * DAY))).await);
    age(&database, 0..=2).await;
    age(&database, 0..=2).await;
    until_dropped(&platform, 2).await;
    assert!(server.reload(setup_for(Some(WEEK))).await);
    until_dropped(&platform, 5).await;
}

on_both![
    the_oldest_are_dropped_and_it_is_told_where_the_trail_begins,
    the_newest_event_is_never_dropped,
    what_is_behind_a_young_event_is_kept_however_old,
    a_server_whose_clock_is_ahead_drops_nothing_that_is_young,
    how_long_is_as_the_running_configuration_says,
];
