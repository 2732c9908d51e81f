//! Notices: that a token is about to expire and that it has, each told once, at its millisecond, of live tokens only.

mod dead;
mod killed;
mod replicas;
mod versions;

use std::time::Duration;

use countersign::{
    domain::time::{Timestamp, millis},
    pb::{Event, event::Details},
    server::Limits,
};

use crate::support::{
    client::{self, Client},
    clock::TestClock,
    database::{TestDatabase, on_both},
    history::History,
    server::{PLATFORM, Setup, TestServer},
};

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than any wait for a notice takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The workspace of the tokens that [`swept`] makes.
const SWEEPS: &str = "sweeps";

/// A notice: of which token, how many days ahead (0: it has expired), and when it was told.
pub(crate) type Notice = (String, u32, Timestamp);

/// A server that looks for what is due all the time.
async fn start(database: &TestDatabase, clock: &TestClock) -> TestServer {
    let setup = Setup::default();
    let setup = Setup {
        clock: clock.clone(),
        limits: Limits {
            notice_interval: Duration::from_millis(5),
            ..setup.limits
        },
        ..setup
    };
    setup.start(database).await
}

async fn acme(database: &TestDatabase) -> (TestServer, Client) {
    let server = start(database, &TestClock::default()).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "max", "member").await;
    (server, platform)
}

async fn issue(client: &Client, name: &str, ttl: Option<Duration>) -> String {
    let issued = client.issue("acme", "max", name, ttl).await;
    issued.token.expect("a token").token_id
}

/// All events, oldest first.
async fn events(client: &Client) -> Vec<Event> {
    let mut events = client::events(client).await;
    events.reverse();
    events
}

fn notice(event: &Event) -> Option<Notice> {
    let days = match event.details.as_ref()? {
        Details::TokenExpiring(expiring) => expiring.days,
        Details::TokenExpired(_) => 0,
        _ => return None,
    };
    let at = event.occurred_at.expect("an instant");
    let at = Timestamp(at.seconds * 1000 + i64::from(at.nanos) / 1_000_000);
    Some((event.token_id.clone(), days, at))
}

/// What was told of all but the tokens that [`swept`] makes.
async fn notices(client: &Client) -> Vec<Notice> {
    let events = events(client).await;
    let others = events.iter().filter(|event| event.workspace_id != SWEEPS);
    others.filter_map(notice).collect()
}

/// Waits until this many were told.
async fn told(client: &Client, expected: usize) -> Vec<Notice> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let notices = notices(client).await;
        assert!(notices.len() <= expected, "{notices:?}");
        if notices.len() == expected {
            return notices;
        }
        assert!(tokio::time::Instant::now() < deadline, "{notices:?}");
        tokio::time::sleep(MILLISECOND).await;
    }
}

/// Waits until some server has gone through all that was due when this was called, and answers what was told. Moves the
/// clock on by two milliseconds.
///
/// The first of them is told of by a look that began when it was due, and the second by one that began after the first
/// was told of: so the first look is over.
pub(crate) async fn swept(client: &Client, clock: &TestClock) -> Vec<Notice> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    client.create_workspace(SWEEPS).await;
    client.put_member(SWEEPS, "sentinel", "member").await;
    for name in ["one", "two"] {
        let issued = client.issue(SWEEPS, "sentinel", name, Some(MILLISECOND));
        let id = issued.await.token.expect("a token").token_id;
        clock.advance(MILLISECOND);
        let is_it = |event: &Event| notice(event).is_some_and(|(told, ..)| told == id);
        while !events(client).await.iter().any(is_it) {
            assert!(tokio::time::Instant::now() < deadline, "it is told");
            tokio::time::sleep(MILLISECOND).await;
        }
    }
    client.delete_workspace(SWEEPS).await;
    notices(client).await
}

fn before(expiry: Timestamp, days: u32) -> Timestamp {
    Timestamp(expiry.0 - millis(DAY * days))
}

async fn each_notice_is_told_once_from_its_millisecond_on(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let late_end = clock.now().plus(40 * DAY);
    let early_end = Timestamp(late_end.0 - 1);
    // In the other order, so that no order but that of their times tells them rightly.
    let late = issue(&platform, "late", Some(40 * DAY)).await;
    let early = issue(&platform, "early", Some(40 * DAY - MILLISECOND)).await;
    issue(&platform, "endless", None).await;
    let mut expected = Vec::new();
    for days in [30, 7, 1, 0] {
        clock.set(before(early_end, days));
        expected.push((early.clone(), days, clock.now()));
        assert_eq!(told(&platform, expected.len()).await, expected);
        clock.advance(MILLISECOND);
        expected.push((late.clone(), days, before(late_end, days)));
        assert_eq!(told(&platform, expected.len()).await, expected);
    }
    assert_eq!(swept(&platform, clock).await, expected, "and no more");
    History::read(&database).await.assert_sound(&[]);

    let events = events(&platform).await;
    let of_early = events.iter().filter(|event| event.token_id == early);
    let instant = |at: Timestamp| prost_types::Timestamp {
        seconds: at.0.div_euclid(1000),
        nanos: i32::try_from(at.0.rem_euclid(1000)).expect("below a thousand") * 1_000_000,
    };
    let mut seen = 0;
    for event in of_early.filter(|event| notice(event).is_some()) {
        assert_eq!(event.caller, "", "the service itself");
        assert_eq!(event.actor, None);
        assert_eq!(
            (event.workspace_id.as_str(), event.member_id.as_str()),
            ("acme", "max")
        );
        let (name, expires_at) = match event.details.clone() {
            Some(Details::TokenExpiring(told)) => (told.name, told.expires_at),
            Some(Details::TokenExpired(told)) => (told.name, told.expires_at),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (name.as_str(), expires_at),
            ("early", Some(instant(early_end)))
        );
        seen += 1;
    }
    assert_eq!(seen, 4);
}

async fn what_was_due_when_a_token_was_issued_is_never_told(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock();
    let lifetimes = [
        ("hour", DAY / 24, 0),
        ("day", DAY, 0),
        ("more than a day", DAY + MILLISECOND, 1),
        ("week", 7 * DAY, 1),
        ("more than a week", 7 * DAY + MILLISECOND, 2),
        ("month", 30 * DAY, 2),
        ("more than a month", 30 * DAY + MILLISECOND, 3),
    ];
    let start = clock.now();
    let mut tokens = Vec::new();
    let mut times = Vec::new();
    for (name, ttl, ahead) in lifetimes {
        let expected = &[30, 7, 1, 0][3 - ahead..];
        tokens.push((issue(&platform, name, Some(ttl)).await, name, expected));
        times.extend([30, 7, 1, 0].map(|days| before(start.plus(ttl), days)));
    }
    times.sort_unstable();
    for time in times {
        clock.set(time.max(clock.now()));
        swept(&platform, clock).await;
    }
    let all = swept(&platform, clock).await;
    for (id, name, expected) in tokens {
        let told = all.iter().filter(|(told, ..)| *told == id);
        let days: Vec<u32> = told.map(|(_, days, _)| *days).collect();
        assert_eq!(days, expected, "{name}");
    }
}

async fn a_restart_tells_none_twice_and_only_the_nearest_of_what_was_missed(
    database: TestDatabase,
) {
    let (server, platform) = acme(&database).await;
    let clock = server.clock().clone();
    let end = clock.now().plus(100 * DAY);
    let id = issue(&platform, "deploy", Some(100 * DAY)).await;
    clock.set(before(end, 30));
    let mut expected = vec![(id.clone(), 30, clock.now())];
    assert_eq!(told(&platform, 1).await, expected);
    server.stop().await.expect("it stops");

    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    assert_eq!(swept(&platform, &clock).await, expected, "no other");
    let missed = issue(&platform, "missed", Some(60 * DAY)).await;
    let missed_end = clock.now().plus(60 * DAY);
    server.stop().await.expect("it stops");

    // While nothing serves: past the 7 and the 1 day of the one, and past the 30 and the 7 of the other.
    clock.set(before(end, 1).plus(MILLISECOND));
    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    expected.push((id.clone(), 1, clock.now()));
    assert_eq!(told(&platform, 2).await, expected);
    clock.set(before(missed_end, 2));
    expected.push((id, 0, clock.now()));
    expected.push((missed.clone(), 7, clock.now()));
    // Both at once: of different stages, so in whichever order.
    let mut found = told(&platform, 4).await;
    found.sort_by_key(|(_, days, at)| (*at, *days));
    assert_eq!(found, expected);
    server.stop().await.expect("it stops");

    // Past its 1 day and its end.
    clock.set(missed_end.plus(DAY));
    let server = start(&database, &clock).await;
    let platform = server.client(PLATFORM);
    let last = (missed, 0, clock.now());
    assert_eq!(told(&platform, 5).await.last(), Some(&last));
    assert_eq!(swept(&platform, &clock).await.len(), 5);
    server.stop().await.expect("it stops");
    History::read(&database).await.assert_sound(&[]);
}

on_both![
    each_notice_is_told_once_from_its_millisecond_on,
    what_was_due_when_a_token_was_issued_is_never_told,
    a_restart_tells_none_twice_and_only_the_nearest_of_what_was_missed,
];
