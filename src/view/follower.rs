//! Following the feed: one reader, which asks four times a second and whenever somebody says that there is something new.
//!
//! The poll is what the promise rests on. Notices only make it sooner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{age::BootTime, counters::Counters, memory::Memory};
use crate::{
    domain::{error::Error, ids::Revision, time::Clock},
    store::{FeedRead, Line},
};

const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait after a reading that failed, for whoever asks in between.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// How long one reading may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What others know of the follower.
pub(super) struct Followed {
    nudge: Notify,
    /// When the last reading that brought the view up to date was sent.
    published: watch::Sender<BootTime>,
    /// How old the view may be, in nanoseconds: the least of what is configured here and what is in the database.
    bound: AtomicU64,
    configured_bound: Duration,
}

impl Followed {
    pub(super) fn new(configured_bound: Duration) -> Self {
        Self {
            nudge: Notify::new(),
            published: watch::Sender::new(BootTime::NEVER),
            bound: AtomicU64::new(0),
            configured_bound,
        }
    }

    pub(super) fn bound(&self) -> Duration {
        Duration::from_nanos(self.bound.load(Ordering::Relaxed))
    }

    /// Whether the feed has ever been read.
    pub(super) fn is_followed(&self) -> bool {
        *self.published.borrow() > BootTime::NEVER
    }

    /// Has the feed read soon.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits until a reading that was sent at this time or later has been applied. However many wait, one is made.
    pub(super) async fn read_after(&self, time: BootTime) {
        let mut published = self.published.subscribe();
        if *published.borrow_and_update() >= time {
            return;
        }
        self.nudge();
        // It ends with the process.
        published.wait_for(|sent| *sent >= time).await.ok();
    }
}

pub(super) struct Follower {
    pub(super) line: Line,
    pub(super) memory: Arc<Memory>,
    pub(super) followed: Arc<Followed>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    pub(super) cursor: Option<Revision>,
    /// Whether the last reading failed, which is logged once.
    pub(super) is_failing: bool,
}

impl Follower {
    /// Follows until it is told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let started = Instant::now();
            let is_behind = tokio::select! {
                step = self.step() => step,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let pause = match is_behind {
                Ok(true) => continue,
                Ok(false) => None,
                Err(_) => Some(FAILURE_PAUSE),
            };
            let next = async {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                tokio::select! {
                    () = sleep_until(started + POLL_INTERVAL) => {}
                    () = self.followed.nudge.notified() => {}
                }
            };
            tokio::select! {
                () = next => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.line.close().await;
    }

    /// Reads on once. True: there is more to read at once.
    pub(super) async fn step(&mut self) -> Result<bool, Error> {
        // Before the statement is sent: all that had happened by now is in its answer.
        let sent = BootTime::now();
        let read = self.line.read_feed_after(self.cursor.as_ref(), PATIENCE);
        let read = match read.await {
            Ok(read) => read,
            Err(abort) => {
                self.counters.reads_failed.count();
                return Err(self.failed(abort));
            }
        };
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the feed is read again");
        }
        self.counters.reads.count();
        Ok(self.apply(&read, sent))
    }

    fn failed(&mut self, abort: crate::store::Abort) -> Error {
        match std::mem::replace(&mut self.is_failing, true) {
            true => Error::Unavailable,
            false => abort.into(),
        }
    }

    fn apply(&mut self, read: &FeedRead, sent: BootTime) -> bool {
        // Before anything is published under it.
        self.set_bound(read.bound);
        let skew = read.database_now.0 - self.clock.now().0;
        self.counters.clock_skew.store(skew, Ordering::Relaxed);
        let before = self.cursor;
        if self.memory.apply(read, before, sent).is_err() {
            self.counters.resyncs.count();
            tracing::warn!(
                "the feed does not go on where it was read last: all that was remembered is forgotten"
            );
            self.memory.reset();
            self.cursor = None;
            return true;
        }
        self.cursor = self.memory.position();
        let behind = |from: Option<Revision>| {
            from.map_or(0, |from| read.head.number.saturating_sub(from.number))
        };
        self.counters.lag.store(behind(before), Ordering::Relaxed);
        let is_behind = self.cursor != Some(read.head);
        if !is_behind {
            self.followed.published.send_replace(sent);
        }
        is_behind
    }

    fn set_bound(&self, shared: Duration) {
        let bound = shared.min(self.followed.configured_bound);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(0);
        self.followed.bound.store(nanos, Ordering::Relaxed);
    }
}
