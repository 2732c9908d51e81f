//! Watching events on the wire: what the service finds is sent as fast as the watcher reads, and no faster.

use std::time::Duration;

use tokio::{
    sync::mpsc::{self, OwnedPermit, Sender},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    domain::error::Error,
    grpc::{gate::Admission, render},
    pb::{Heartbeat, WatchEventsResponse, watch_events_response::Item},
    service::{EventWatch, Watched},
};

/// How many items wait for a watcher.
const BUFFER: usize = 64;
/// How long a watcher may let all of them wait.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Result<WatchEventsResponse, Status>;

/// The stream of a watch, until either end has enough or the watcher is no longer admitted.
pub(super) fn stream(watch: EventWatch, admission: Admission) -> ReceiverStream<Answer> {
    let (send, items) = mpsc::channel(BUFFER + 1);
    // A place is kept for the status, so that even a watcher that reads nothing can find out why it was ended.
    if let Ok(last) = send.clone().try_reserve_owned() {
        tokio::spawn(run(watch, admission, send, last));
    }
    ReceiverStream::new(items)
}

async fn run(
    mut watch: EventWatch,
    mut admission: Admission,
    send: Sender<Answer>,
    last: OwnedPermit<Answer>,
) {
    loop {
        let watched = tokio::select! {
            watched = watch.next() => watched,
            error = admission.end() => Err(error),
            () = send.closed() => return,
        };
        let item = match watched {
            Ok(Watched::Event(event)) => Item::Event(render::event(&event)),
            Ok(Watched::UpTo(revision)) => Item::Heartbeat(Heartbeat {
                revision: revision.to_string(),
            }),
            Err(error) => {
                last.send(Err(error.into()));
                return;
            }
        };
        let response = WatchEventsResponse { item: Some(item) };
        match timeout(PATIENCE, send.send(Ok(response))).await {
            Ok(Ok(())) => watch.was_sent(),
            Ok(Err(_)) => return,
            Err(_) => {
                let revision = watch.resume_after().to_string();
                last.send(Err(Error::WatcherTooSlow { revision }.into()));
                return;
            }
        }
    }
}
