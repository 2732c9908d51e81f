//! Watching the feed: every change once and in order, from a position on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

use crate::{
    domain::{
        error::Error,
        event::Event,
        ids::{Revision, RevisionName, WorkspaceId},
    },
    service::Service,
    store::{Abort, Position},
};

/// How many may watch one server.
const MAX_WATCHERS: usize = 64;
/// How often the feed is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a watcher hears nothing at most.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How many changes are read at once.
const PAGE: u64 = 500;

/// Who watches, and whether they may go on.
pub(in crate::service) struct Watchers {
    places: Arc<Semaphore>,
    is_stopped: watch::Sender<bool>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WATCHERS)),
            is_stopped: watch::Sender::new(false),
        }
    }
}

/// One watcher's way through the feed.
pub struct EventWatch {
    service: Service,
    workspace_id: Option<WorkspaceId>,
    /// Everything up to here has been read.
    cursor: Revision,
    /// Everything up to here has been sent, or was not asked for.
    sent: Revision,
    waiting: VecDeque<Event>,
    /// What [`Self::next`] gave last.
    given: Option<Revision>,
    next_poll: Instant,
    next_heartbeat: Instant,
    is_stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

/// What a watcher is told.
pub enum Watched {
    /// Something happened.
    Event(Box<Event>),
    /// Everything up to here has been told.
    UpTo(Revision),
}

impl Service {
    /// Watches what happens after a revision, or (None) from now on.
    pub async fn watch_events(
        &self,
        workspace_id: Option<WorkspaceId>,
        after: Option<RevisionName>,
    ) -> Result<EventWatch, Error> {
        let watchers = &self.0.watchers;
        let place = Arc::clone(&watchers.places)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyWatchers {
                limit: MAX_WATCHERS,
            })?;
        let session = self.0.store.read();
        let cursor = match after {
            None => session.head().await?,
            Some(name) => match session.find_position(&name).await? {
                Position::Kept(revision) => revision,
                position => return Err(self.cannot_go_on(name, &position).await?),
            },
        };
        let now = Instant::now();
        Ok(EventWatch {
            service: self.clone(),
            workspace_id,
            cursor,
            sent: cursor,
            waiting: VecDeque::new(),
            given: None,
            next_poll: now,
            next_heartbeat: now,
            is_stopped: watchers.is_stopped.subscribe(),
            _place: place,
        })
    }

    /// Why nobody can watch after this.
    async fn cannot_go_on(&self, name: RevisionName, position: &Position) -> Result<Error, Abort> {
        let revision = name.to_string();
        if !matches!(position, Position::Dropped) {
            return Ok(Error::RevisionUnknown { revision });
        }
        let start = self.0.store.find_trail_start().await?;
        Ok(Error::RevisionDropped {
            revision,
            oldest_revision: start.revision.to_string(),
        })
    }

    /// Ends every watch, so that its client goes on at another server.
    pub fn stop_watches(&self) {
        self.0.watchers.is_stopped.send_replace(true);
    }
}

impl EventWatch {
    /// The next event, when there is one, or that there has been none for a while.
    pub async fn next(&mut self) -> Result<Watched, Error> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.given = Some(event.revision);
                return Ok(Watched::Event(Box::new(event)));
            }
            // Events of other workspaces count as told.
            self.sent = self.cursor;
            tokio::select! {
                () = sleep_until(self.next_poll) => {}
                _ = self.is_stopped.wait_for(|is_stopped| *is_stopped) => {
                    return Err(Error::Unavailable);
                }
            }
            let has_more = self.read().await?;
            let now = Instant::now();
            // One that is behind reads on at once.
            self.next_poll = if has_more { now } else { now + POLL_INTERVAL };
            if self.waiting.is_empty() && !has_more && now >= self.next_heartbeat {
                self.next_heartbeat = now + HEARTBEAT_INTERVAL;
                self.given = Some(self.cursor);
                return Ok(Watched::UpTo(self.cursor));
            }
        }
    }

    /// Notes that what [`Self::next`] gave has been taken.
    pub fn was_sent(&mut self) {
        if let Some(given) = self.given.take() {
            self.sent = given;
        }
    }

    /// After which revision to watch again.
    pub fn resume_after(&self) -> Revision {
        self.sent
    }

    /// Reads on from the cursor. True: there may be more.
    async fn read(&mut self) -> Result<bool, Error> {
        let session = self.service.0.store.read();
        let events = session.read_feed(self.cursor.number, PAGE + 1).await?;
        let is_full = events.len() as u64 > PAGE;
        let mut events = events.into_iter();
        // The first must be what was read last, and no number may be left out: else this is another feed, or one that was
        // set back; or the watcher read so slowly that what it read last is dropped by now.
        let name = RevisionName::of(&self.cursor);
        if events.next().map(|event| event.revision) != Some(self.cursor) {
            let position = session.find_position(&name).await?;
            return Err(self.service.cannot_go_on(name, &position).await?);
        }
        for event in events {
            if event.revision.number != self.cursor.number + 1 {
                let gap = Position::Unknown;
                return Err(self.service.cannot_go_on(name, &gap).await?);
            }
            self.cursor = event.revision;
            let is_asked_for = self
                .workspace_id
                .as_ref()
                .is_none_or(|id| id.as_str() == event.workspace_id);
            if is_asked_for {
                self.waiting.push_back(event);
            }
        }
        Ok(is_full)
    }
}
