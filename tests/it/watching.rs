//! Watching the feed: each event once, in order, none left out, and an end that says where to go on.

use std::time::Duration;

use countersign::pb::{
    Event, RevokeTokenRequest, WatchEventsRequest, WatchEventsResponse, watch_events_response::Item,
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Endpoint};
use tonic_types::StatusExt;

use crate::support::{
    client::{self, Client, revoke_request},
    database::{Backend, TestDatabase, on_both},
    server::{BOOKINGS, PLATFORM, Setup, TestServer, key_of},
    status::assert_status,
};

/// No item takes longer to come, a heartbeat at the latest.
const PATIENCE: Duration = Duration::from_secs(20);

type Watch = Streaming<WatchEventsResponse>;

async fn watch(client: &Client, workspace_id: &str, after: &str) -> Result<Watch, Status> {
    let request = WatchEventsRequest {
        workspace_id: workspace_id.to_owned(),
        after_revision: after.to_owned(),
    };
    let answer = client.events.clone().watch_events(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn next(watch: &mut Watch) -> Result<Item, Status> {
    let item = timeout(PATIENCE, watch.message())
        .await
        .expect("an item in time")?;
    Ok(item.expect("the stream goes on").item.expect("an item"))
}

/// The events until the first heartbeat, and its revision.
async fn until_caught_up(watch: &mut Watch) -> (Vec<Event>, String) {
    let mut events = Vec::new();
    loop {
        match next(watch).await.expect("an item") {
            Item::Event(event) => events.push(event),
            Item::Heartbeat(heartbeat) => return (events, heartbeat.revision),
        }
    }
}

async fn next_event(watch: &mut Watch) -> Event {
    loop {
        if let Item::Event(event) = next(watch).await.expect("an item") {
            return event;
        }
    }
}

/// The audit trail, oldest first.
async fn listed(client: &Client) -> Vec<Event> {
    let mut events = client::events(client).await;
    events.reverse();
    events
}

async fn a_watcher_is_told_each_event_once_and_in_order(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    let first = listed(&client).await[0].revision.clone();
    let mut from_the_start = watch(&client, "", &first).await.expect("a stream");
    let mut from_now = watch(&client, "", "").await.expect("a stream");
    // Watching from now on begins where it says that it does.
    let (none, now) = until_caught_up(&mut from_now).await;
    assert_eq!((none.len(), &now), (0, &listed(&client).await[1].revision));

    client.put_member("acme", "max", "member").await;
    let issuing = async {
        for number in 0..30 {
            let issued = client
                .issue("acme", "max", &format!("t{number}"), None)
                .await;
            client
                .revoke(&issued.token.expect("a token").token_id)
                .await;
        }
    };
    let hearing = async {
        let mut heard = Vec::new();
        while heard.len() < 61 {
            heard.push(next_event(&mut from_now).await);
        }
        heard
    };
    let ((), heard) = tokio::join!(issuing, hearing);
    let all = listed(&client).await;
    assert_eq!(heard, all[2..]);
    let mut heard = Vec::new();
    while heard.len() < all.len() - 1 {
        heard.push(next_event(&mut from_the_start).await);
    }
    assert_eq!(heard, all[1..]);

    // From the middle on, as after an end.
    let middle = &all[20].revision;
    let mut resumed = watch(&client, "", middle).await.expect("a stream");
    let (rest, head) = until_caught_up(&mut resumed).await;
    assert_eq!(rest, all[21..]);
    assert_eq!(head, all.last().expect("an event").revision);
}

async fn a_watcher_of_one_workspace_hears_of_no_other(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let first = listed(&client).await[0].revision.clone();
    for workspace_id in ["acme", "other"] {
        client.create_workspace(workspace_id).await;
        client.put_member(workspace_id, "max", "member").await;
    }
    let mut of_acme = watch(&client, "acme", &first).await.expect("a stream");
    let (heard, head) = until_caught_up(&mut of_acme).await;
    let workspaces: Vec<_> = heard
        .iter()
        .map(|event| event.workspace_id.as_str())
        .collect();
    assert_eq!(workspaces, ["acme", "acme"]);
    // What was not asked for counts as told: to go on after it leaves nothing out.
    assert_eq!(head, listed(&client).await.last().expect("one").revision);
}

async fn a_watcher_on_another_server_hears_within_a_second(database: TestDatabase) {
    if database.backend() == Backend::Sqlite {
        // An embedded database has one server.
        return;
    }
    let here = TestServer::start(&database).await;
    let there = Setup::default().start(&database).await;
    let client = here.client(PLATFORM);
    let mut watch = watch(&there.client(PLATFORM), "", "")
        .await
        .expect("a stream");
    until_caught_up(&mut watch).await;
    client.create_workspace("acme").await;
    let event = timeout(Duration::from_secs(5), next_event(&mut watch)).await;
    assert_eq!(event.expect("in time").workspace_id, "acme");
}

async fn a_revision_of_another_feed_is_refused(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    for unknown in ["0-0123456789abcdef", "7-0123456789abcdef"] {
        let status = watch(&client, "", unknown)
            .await
            .expect_err("it is unknown");
        assert_status(&status, Code::FailedPrecondition, "REVISION_UNKNOWN", None);
    }
    let status = watch(&client, "a b", "1")
        .await
        .expect_err("it is malformed");
    assert_status(
        &status,
        Code::InvalidArgument,
        "FIELD_MALFORMED",
        Some("workspace_id"),
    );
    let status = watch(&server.client(BOOKINGS), "", "")
        .await
        .expect_err("no grant");
    assert_status(&status, Code::PermissionDenied, "GRANT_MISSING", None);
    let nobody = server.client_with_key(None);
    let status = watch(&nobody, "", "").await.expect_err("no credential");
    assert_status(&status, Code::Unauthenticated, "CREDENTIAL_MISSING", None);
}

async fn a_feed_that_was_set_back_ends_the_watch(database: TestDatabase) {
    use sea_orm::ConnectionTrait;

    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    client.create_workspace("acme").await;
    let mut watch = watch(&client, "", "").await.expect("a stream");
    until_caught_up(&mut watch).await;
    // As a restored backup would: the newest change is gone, and another one takes its number.
    let connection = database.connect().await;
    for statement in [
        "DELETE FROM event WHERE revision = 1",
        "UPDATE feed_head SET revision = 0",
    ] {
        connection
            .execute_unprepared(statement)
            .await
            .expect("it is set back");
    }
    client.put_member("acme", "max", "member").await;
    let status = loop {
        match next(&mut watch).await {
            Ok(Item::Heartbeat(_)) => {}
            Ok(Item::Event(event)) => panic!("an event of another history: {event:?}"),
            Err(status) => break status,
        }
    };
    assert_status(&status, Code::FailedPrecondition, "REVISION_UNKNOWN", None);
}

async fn a_watch_ends_when_the_server_stops(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let mut watch = watch(&client, "", "").await.expect("a stream");
    until_caught_up(&mut watch).await;
    let started = std::time::Instant::now();
    let stopping = tokio::spawn(server.stop());
    let status = loop {
        match next(&mut watch).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_status(&status, Code::Unavailable, "UNAVAILABLE", None);
    stopping.await.expect("it stops").expect("and cleanly");
    // Open streams do not use up the time that calls in flight have.
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
}

async fn a_watcher_that_does_not_read_is_ended_and_can_go_on(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let first = listed(&client).await[0].revision.clone();
    client.create_workspace("acme").await;
    client.put_member("acme", "max", "member").await;
    // More than all buffers between the two ends hold.
    let reason = "😀".repeat(500);
    for number in 0..400 {
        let issued = client
            .issue("acme", "max", &format!("t{number}"), None)
            .await;
        let request = RevokeTokenRequest {
            reason: reason.clone(),
            ..revoke_request(&issued.token.expect("a token").token_id)
        };
        let revoked = client.tokens.clone().revoke_token(request).await;
        revoked.expect("it is revoked");
    }
    let narrow = Endpoint::from_shared(format!("http://{}", server.address()))
        .expect("an address")
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .connect_lazy();
    let reader = Client::new(&narrow, Some(&key_of(PLATFORM)));
    let mut watch = watch(&reader, "", &first).await.expect("a stream");
    let mut last = next_event(&mut watch).await;
    // It is counted as slow only after 10 seconds, so no shorter wait would do.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let status = loop {
        match next(&mut watch).await {
            Ok(Item::Event(event)) => last = event,
            Ok(Item::Heartbeat(heartbeat)) => panic!("it caught up: {heartbeat:?}"),
            Err(status) => break status,
        }
    };
    assert_status(&status, Code::ResourceExhausted, "WATCHER_TOO_SLOW", None);
    let info = status
        .get_error_details()
        .error_info()
        .cloned()
        .expect("details");
    assert_eq!(info.metadata["revision"], last.revision);
    // Nothing is lost to one that goes on from there.
    let mut again = self::watch(&client, "", &last.revision)
        .await
        .expect("a stream");
    let (rest, _) = until_caught_up(&mut again).await;
    let all = listed(&client).await;
    let known = all.iter().position(|event| event.revision == last.revision);
    assert_eq!(rest, all[known.expect("it is listed") + 1..]);
}

async fn so_many_may_watch_and_no_more(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let mut watches = Vec::new();
    for _ in 0..64 {
        watches.push(watch(&client, "", "").await.expect("a stream"));
    }
    let status = watch(&client, "", "").await.expect_err("one too many");
    assert_status(&status, Code::ResourceExhausted, "TOO_MANY_WATCHERS", None);
    let limit = status.get_error_details().error_info().cloned();
    assert_eq!(limit.expect("details").metadata["limit"], "64");
    // One that leaves makes room.
    watches.pop();
    let again = async {
        loop {
            if let Ok(stream) = watch(&client, "", "").await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("there is room again");
}

on_both![
    a_watcher_is_told_each_event_once_and_in_order,
    a_watcher_of_one_workspace_hears_of_no_other,
    a_watcher_on_another_server_hears_within_a_second,
    a_revision_of_another_feed_is_refused,
    a_feed_that_was_set_back_ends_the_watch,
    a_watch_ends_when_the_server_stops,
    so_many_may_watch_and_no_more,
    a_watcher_that_does_not_read_is_ended_and_can_go_on,
];
