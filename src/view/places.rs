//! What each caller may take of the lookups that all share, so that nobody's flood keeps the others waiting.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::counters::Counters;
use crate::domain::{error::Error, ids::CallerName, limiter::Limiter, time::Clock};

/// How many secrets may be looked up or wait for it, of one caller's. Past it the database is further behind than anyone
/// would wait.
const MAX_FLIGHTS: usize = 1024;
/// How many may so at the least, however slow the database is.
const LEAST_FLIGHTS: usize = 16;
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
    /// Its lookups that run or wait.
    flights: AtomicUsize,
    /// To queue for a connection. As many as could all run at once, so that nobody else's turn is far behind them.
    turns: Semaphore,
    /// How many lookups there may be, by what became of the last ones.
    limit: AtomicUsize,
}

/// One of a caller's lookups, which runs or waits.
pub(super) struct Place {
    share: Arc<Share>,
    /// How many were there before it.
    ahead: usize,
    asked: Instant,
}

/// A connection may be used for as long as this is held.
pub(super) struct Turn<'a> {
    _own: SemaphorePermit<'a>,
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
    shares: Mutex<HashMap<CallerName, Arc<Share>>>,
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

    /// One of those that a caller may have look up things or wait for it. There is none for who would wait in vain.
    pub(super) fn place(&self, caller: &CallerName) -> Result<Place, Error> {
        let share = self.share(caller);
        let ahead = share.flights.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            share,
            ahead,
            asked: Instant::now(),
        };
        match ahead >= place.share.limit.load(Ordering::Relaxed) {
            true => Err(self.overloaded()),
            false => Ok(place),
        }
    }

    /// Waits for a connection.
    pub(super) async fn turn<'a>(
        &'a self,
        place: &'a Place,
        asker: Asker<'_>,
    ) -> Result<Turn<'a>, Error> {
        let Asker { caller, began } = asker;
        let turn = async {
            let own = place.share.turns.acquire().await.ok()?;
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
        let turn = timeout_at(began + self.patience, turn).await;
        // Who came late says nothing of how long the wait is.
        let has_waited_long = place.asked.elapsed() >= self.patience / 2;
        match (&turn, has_waited_long) {
            (Ok(_), false) => place.share.admit_more(),
            (Err(_), true) => place.share.admit_no_more_than(place.ahead),
            _ => {}
        }
        match turn {
            Ok(turn) => turn.ok_or(Error::Unavailable),
            Err(_) => Err(self.overloaded()),
        }
    }

    fn share(&self, caller: &CallerName) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(caller) {
            return Arc::clone(share);
        }
        let share = shares.entry(caller.clone()).or_insert_with(|| {
            Arc::new(Share {
                flights: AtomicUsize::new(0),
                turns: Semaphore::new(self.connections - 1),
                limit: AtomicUsize::new(MAX_FLIGHTS),
            })
        });
        Arc::clone(share)
    }

    pub(super) fn overloaded(&self) -> Error {
        self.counters.refused_overloaded.count();
        Error::Overloaded { limit: MAX_FLIGHTS }
    }
}

impl Share {
    /// One had its turn early: there may be more.
    fn admit_more(&self) {
        if self.limit.load(Ordering::Relaxed) < MAX_FLIGHTS {
            self.limit.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One waited in vain before which there were so many.
    fn admit_no_more_than(&self, ahead: usize) {
        self.limit
            .fetch_min(ahead.max(LEAST_FLIGHTS), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.flights.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Problem;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_would_wait_in_vain_is_refused_at_once() -> Result<(), Problem> {
        let [one, other] = [CallerName::parse("one")?, CallerName::parse("other")?];
        let places = Places::new(3, PATIENCE, Clock::system(), Arc::default());
        let ask = || places.place(&one).ok();
        let asker = |caller| Asker {
            caller,
            began: Instant::now(),
        };
        let running = [ask(), ask()];
        let mut turns = Vec::new();
        for place in running.iter().flatten() {
            turns.push(places.turn(place, asker(&one)).await.ok());
        }
        assert!(turns.len() == 2 && turns.iter().all(Option::is_some));
        let waiting: Vec<_> = (0..LEAST_FLIGHTS).map(|_| ask()).collect();
        for place in waiting.iter().chain([&ask()]).flatten() {
            assert!(places.turn(place, asker(&one)).await.is_err());
        }
        assert!(ask().is_none(), "as many wait as did in vain");
        assert!(places.place(&other).is_ok(), "it is not its queue");
        drop(turns);
        drop((running, waiting));
        let few: Vec<_> = (0..=LEAST_FLIGHTS).map(|_| ask()).collect();
        assert_eq!(few.iter().flatten().count(), LEAST_FLIGHTS);
        drop(few);
        for _ in 0..100 {
            let is_done = match ask() {
                Some(place) => places.turn(&place, asker(&one)).await.is_ok(),
                None => false,
            };
            assert!(is_done);
        }
        let many: Vec<_> = (0..LEAST_FLIGHTS + 50).map(|_| ask()).collect();
        assert!(many.iter().all(Option::is_some), "others had theirs early");
        Ok(())
    }

    #[tokio::test]
    async fn a_caller_has_so_many_lookups_and_no_more() -> Result<(), Problem> {
        let caller = CallerName::parse("one")?;
        let places = Places::new(3, PATIENCE, Clock::system(), Arc::default());
        let ask = || places.place(&caller).ok();
        let mut held: Vec<Option<Place>> = (0..=MAX_FLIGHTS).map(|_| ask()).collect();
        assert_eq!(held.iter().flatten().count(), MAX_FLIGHTS);
        held.truncate(1);
        assert!(ask().is_some());
        Ok(())
    }
}
