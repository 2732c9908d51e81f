//! What each caller may take of the lookups that all share, so that nobody's flood keeps the others waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::counters::Counters;
use crate::domain::{error::Error, ids::CallerName, limiter::Limiter, time::Clock};

/// How many secrets may be looked up or wait for it, of one caller's. Past it the database is further behind than anyone
/// would wait.
const MAX_FLIGHTS: usize = 1024;
/// How many unknown secrets, or revisions, a caller may present in a second before its lookups queue in a lane of their
/// own.
const UNKNOWN_PER_SECOND: u32 = 50;

/// Who asks, and since when it waits.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) caller: &'a CallerName,
    /// When its call began, or when the view was young enough for it.
    pub(super) began: Instant,
}

/// What one caller may take of what all have.
struct Share {
    flights: Arc<Semaphore>,
    /// To queue for a connection. As many as could all run at once, so that nobody else's turn is far behind them.
    turns: Arc<Semaphore>,
}

/// A connection may be used for as long as this is held.
pub(super) struct Turn<'a> {
    _own: OwnedSemaphorePermit,
    _lane: SemaphorePermit<'a>,
}

/// Who may look up things, and whose turn it is to use a connection.
pub(super) struct Places {
    connections: usize,
    /// As many as there are connections, less one for the slow lane.
    lane: Semaphore,
    /// For callers that present many unknown secrets.
    slow_lane: Semaphore,
    /// As many as callers are configured.
    shares: Mutex<HashMap<CallerName, Share>>,
    unknown: Limiter<CallerName>,
    clock: Clock,
    /// How long after a call began its lookup still waits for its turn.
    patience: Duration,
    counters: Arc<Counters>,
}

impl Places {
    pub(super) fn new(
        connections: usize,
        patience: Duration,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            connections,
            lane: Semaphore::new(connections - 1),
            slow_lane: Semaphore::new(1),
            shares: Mutex::default(),
            unknown: Limiter::new(UNKNOWN_PER_SECOND),
            clock,
            patience,
            counters,
        }
    }

    /// Whether there is time left to wait for a turn.
    pub(super) fn has_time(&self, asker: Asker<'_>) -> bool {
        Instant::now() < asker.began + self.patience
    }

    /// Counts what a caller asked for and nobody knows.
    pub(super) fn charge(&self, caller: &CallerName) {
        self.unknown.admit(caller.clone(), self.clock.now()).ok();
    }

    /// One of those that a caller may have look up things or wait for it.
    pub(super) fn place(&self, caller: &CallerName) -> Result<OwnedSemaphorePermit, Error> {
        let places = self.with_share(caller, |share| Arc::clone(&share.flights));
        places.try_acquire_owned().map_err(|_| self.overloaded())
    }

    /// Waits for a connection.
    pub(super) async fn turn(&self, asker: Asker<'_>) -> Result<Turn<'_>, Error> {
        let Asker { caller, began } = asker;
        let turns = self.with_share(caller, |share| Arc::clone(&share.turns));
        let turn = async {
            let own = turns.acquire_owned().await.ok()?;
            // Now, that the outcomes of its turns before are known.
            let lane = match self.unknown.is_spent(caller, self.clock.now()) {
                true => &self.slow_lane,
                false => &self.lane,
            };
            Some(Turn {
                _own: own,
                _lane: lane.acquire().await.ok()?,
            })
        };
        match timeout_at(began + self.patience, turn).await {
            Ok(turn) => turn.ok_or(Error::Unavailable),
            Err(_) => Err(self.overloaded()),
        }
    }

    fn with_share<T>(&self, caller: &CallerName, take: impl FnOnce(&Share) -> T) -> T {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(caller) {
            return take(share);
        }
        let share = shares.entry(caller.clone()).or_insert(Share {
            flights: Arc::new(Semaphore::new(MAX_FLIGHTS)),
            turns: Arc::new(Semaphore::new(self.connections - 1)),
        });
        take(share)
    }

    pub(super) fn overloaded(&self) -> Error {
        self.counters.refused_overloaded.count();
        Error::Overloaded { limit: MAX_FLIGHTS }
    }
}
