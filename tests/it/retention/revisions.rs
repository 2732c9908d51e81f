//! Whoever names a revision whose event is gone is told so, and is not taken for one who names another feed's.

use std::time::Duration;

use countersign::pb::{
    AuthorizeRequest, Context, Outcome, WatchEventsRequest, resource::Owner,
    watch_events_response::Item,
};
use tokio::time::timeout;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use super::{PATIENCE, acme, add_old_events, age, change, kept, number, setup, until_dropped};
use crate::support::{
    client::{self, Client, again_for_now, authorize_request},
    database::{TestDatabase, on_both},
    server::PLATFORM,
    status::assert_status,
};

/// The events from after this revision on, until there are no more.
async fn watched(client: &Client, after: &str) -> Result<Vec<i64>, Status> {
    let request = WatchEventsRequest {
        after_revision: after.to_owned(),
        ..Default::default()
    };
    let stream = client.events.clone().watch_events(request).await;
    let mut stream = stream?.into_inner();
    let mut numbers = Vec::new();
    loop {
        let answer = timeout(PATIENCE, stream.message()).await;
        let answer = answer.expect("in time")?.expect("it goes on");
        match answer.item.expect("an item") {
            Item::Event(event) => numbers.push(number(&event.revision)),
            Item::Heartbeat(_) => return Ok(numbers),
        }
    }
}

/// Whether the token may do what it may, from a state with this revision.
async fn allowed(client: &Client, secret: &str, min_revision: &str) -> Result<bool, Status> {
    let ask = || {
        let mut authorization = client.authorization.clone();
        let request = AuthorizeRequest {
            context: Some(Context {
                min_revision: min_revision.to_owned(),
                ..Default::default()
            }),
            ..authorize_request(secret, "bookings.read", "", Some(Owner::Bearer(true)))
        };
        async move {
            authorization
                .authorize(request)
                .await
                .map(Response::into_inner)
        }
    };
    let answer = again_for_now(|| async { ask().await.map(Response::new) }).await?;
    Ok(answer.decision.expect("a decision").outcome() == Outcome::Allow)
}

/// The name of the same position in another feed.
fn of_another_feed(revision: &str) -> String {
    let turned = |digit| if digit == 'f' { '0' } else { 'f' };
    let mut name = revision.to_owned();
    let last = name.pop().expect("a digit");
    name.push(turned(last));
    name
}

async fn a_watch_is_told_what_was_dropped_and_how_far(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    change(&platform, 6).await;
    let mut all = client::events(&platform).await;
    all.reverse();
    let mut running = {
        let request = WatchEventsRequest::default();
        let stream = platform.events.clone().watch_events(request).await;
        stream.expect("a stream").into_inner()
    };
    age(&database, 0..=6).await;
    until_dropped(&platform, 6).await;
    let oldest = &all[6].revision;
    for event in &all[..6] {
        let refused = watched(&platform, &event.revision).await;
        let status = refused.expect_err("it is gone");
        assert_status(&status, Code::FailedPrecondition, "REVISION_DROPPED", None);
        let info = status.get_error_details().error_info().cloned();
        let metadata = info.expect("details").metadata;
        assert_eq!(metadata["revision"], event.revision);
        assert_eq!(&metadata["oldest_revision"], oldest);
        let unknown = watched(&platform, &of_another_feed(&event.revision)).await;
        let status = unknown.expect_err("it never was");
        assert_status(&status, Code::FailedPrecondition, "REVISION_UNKNOWN", None);
    }
    // Who had come as far as the last that is old goes on, and so does who watches already.
    assert_eq!(
        watched(&platform, oldest).await.expect("it is kept"),
        [7, 8]
    );
    change(&platform, 1).await;
    let told = async {
        loop {
            let answer = running.message().await.expect("it goes on");
            if let Some(Item::Event(event)) = answer.expect("it goes on").item {
                return number(&event.revision);
            }
        }
    };
    assert_eq!(timeout(PATIENCE, told).await.expect("in time"), 9);
}

async fn a_watch_that_is_overtaken_by_what_is_dropped_is_ended(database: TestDatabase) {
    let (_server, platform) = acme(&database).await;
    let request = WatchEventsRequest::default();
    let stream = platform.events.clone().watch_events(request).await;
    let mut stream = stream.expect("a stream").into_inner();
    age(&database, 0..=2).await;
    let mut head = 2;
    let ended = async {
        loop {
            // Gone within milliseconds, most of them before the watch looks again. It may have been quicker.
            add_old_events(&database, head, 3).await;
            head += 3;
            let end = async {
                loop {
                    if let Err(status) = stream.message().await {
                        return status;
                    }
                }
            };
            if let Ok(status) = timeout(Duration::from_millis(600), end).await {
                return status;
            }
        }
    };
    let status = timeout(PATIENCE, ended).await.expect("it is overtaken");
    assert_status(&status, Code::FailedPrecondition, "REVISION_DROPPED", None);
}

async fn a_decision_may_ask_for_a_change_whose_event_is_gone(database: TestDatabase) {
    let (server, platform) = acme(&database).await;
    let issued = platform.issue("acme", "max", "laptop", None).await;
    change(&platform, 6).await;
    let mut all = client::events(&platform).await;
    all.reverse();
    age(&database, 0..=9).await;
    until_dropped(&platform, 9).await;
    assert_eq!(kept(&platform).await, [9]);
    server.stop().await.expect("it stops");
    // One that has seen none of them.
    let server = setup(None).start(&database).await;
    let platform = server.client(PLATFORM);
    for event in &all {
        let answer = allowed(&platform, &issued.secret, &event.revision).await;
        assert!(answer.expect("it is known"), "{}", event.revision);
        let other = of_another_feed(&event.revision);
        let refused = allowed(&platform, &issued.secret, &other).await;
        let status = refused.expect_err("it never was");
        assert_status(&status, Code::FailedPrecondition, "REVISION_UNKNOWN", None);
    }
}

on_both![
    a_watch_is_told_what_was_dropped_and_how_far,
    a_watch_that_is_overtaken_by_what_is_dropped_is_ended,
    a_decision_may_ask_for_a_change_whose_event_is_gone,
];
