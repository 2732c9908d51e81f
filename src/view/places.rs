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
    time::{Instant, sleep, timeout_at},
};

use super::counters::Counters;
use crate::domain::{error::Error, ids::CallerName, limiter::Limiter, time::Clock};

/// How many secrets may be looked up or wait for it, of one caller's. Past it the database is further behind than anyone
/// would wait.
const MAX_FLIGHTS: usize = 1024;
/// How many may so at the least, however slow the database is.
const LEAST_FLIGHTS: usize = 16;
/// How long who finds no place waits before it looks once more, and is refused. A caller that comes again as soon as it was
/// refused would otherwise take the processors from the lookups that it waits for, and they would never be done with.
const MOMENT: Duration = Duration::from_millis(20);
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
    caller: CallerName,
    /// Its lookups that run or wait.
    flights: AtomicUsize,
    /// To queue for a connection. As many as could all run at once, so that nobody else's turn is far behind them.
    turns: Semaphore,
    /// How many lookups there may be, by what became of the last ones.
    limit: AtomicUsize,
}

/// There is no place.
pub(super) struct Full;

/// One of a caller's lookups, which runs or waits.
pub(super) struct Place {
    share: Arc<Share>,
    /// How many were there before it.
    ahead: usize,
    /// Since when it waits: later than its call began, where the call did other things before.
    asked: Instant,
    /// How long it waits for its turn.
    deadline: Instant,
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
        Instant::now() < self.deadline(asker)
    }

    fn deadline(&self, asker: Asker<'_>) -> Instant {
        asker.began + self.patience
    }

    /// Counts what a lookup found nobody to know, to its caller.
    pub(super) fn charge(&self, place: &Place) {
        let caller = place.share.caller.clone();
        self.unknown.admit(caller, self.clock.now()).ok();
    }

    /// What needs a place, by now or in a moment.
    pub(super) async fn soon<T>(&self, attempt: impl Fn() -> Result<T, Full>) -> Result<T, Error> {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        sleep(MOMENT).await;
        attempt().map_err(|Full| self.overloaded())
    }

    /// One of those that a caller may have look up things or wait for it. There is none for who would wait in vain.
    pub(super) fn place(&self, asker: Asker<'_>) -> Result<Place, Full> {
        let share = self.share(asker.caller);
        let ahead = share.flights.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            share,
            ahead,
            asked: Instant::now(),
            deadline: self.deadline(asker),
        };
        match ahead < place.share.limit.load(Ordering::Relaxed) {
            true => Ok(place),
            false => Err(Full),
        }
    }

    /// Waits for a connection.
    pub(super) async fn turn<'a>(&'a self, place: &'a Place) -> Result<Turn<'a>, Error> {
        let share = &place.share;
        let turn = async {
            let own = share.turns.acquire().await.ok()?;
            // Now, that the outcomes of its turns before are known.
            let lane = match self.unknown.is_spent(&share.caller, self.clock.now()) {
                true => &self.slow_lane,
                false => &self.lane,
            };
            Some(Turn {
                _own: own,
                _lane: lane.acquire().await.ok()?,
            })
        };
        let turn = timeout_at(place.deadline, turn).await;
        let has_waited_long = place.asked.elapsed() >= self.patience / 2;
        match turn {
            Ok(turn) => {
                if !has_waited_long {
                    share.admit_more();
                }
                turn.ok_or(Error::Unavailable)
            }
            Err(_) => {
                // Who had little time left says nothing of how long the wait is.
                if has_waited_long {
                    share.admit_no_more_than(place.ahead);
                }
                Err(self.overloaded())
            }
        }
    }

    fn share(&self, caller: &CallerName) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(caller) {
            return Arc::clone(share);
        }
        let share = shares.entry(caller.clone()).or_insert_with(|| {
            Arc::new(Share {
                caller: caller.clone(),
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

    fn asker(caller: &CallerName) -> Asker<'_> {
        Asker {
            caller,
            began: Instant::now(),
        }
    }

    #[tokio::test]
    async fn who_would_wait_in_vain_has_no_place() -> Result<(), Problem> {
        let [one, other] = [CallerName::parse("one")?, CallerName::parse("other")?];
        let places = Places::new(3, PATIENCE, Clock::system(), Arc::default());
        let ask = || places.place(asker(&one)).ok();
        let running = [ask(), ask()];
        let mut turns = Vec::new();
        for place in running.iter().flatten() {
            turns.push(places.turn(place).await.ok());
        }
        assert!(turns.len() == 2 && turns.iter().all(Option::is_some));
        let waiting: Vec<_> = (0..LEAST_FLIGHTS).map(|_| ask()).collect();
        for place in waiting.iter().chain([&ask()]).flatten() {
            assert!(places.turn(place).await.is_err());
        }
        assert!(ask().is_none(), "as many wait as did in vain");
        assert!(places.place(asker(&other)).is_ok(), "it is not its queue");
        drop(turns);
        drop((running, waiting));
        let few: Vec<_> = (0..=LEAST_FLIGHTS).map(|_| ask()).collect();
        assert_eq!(few.iter().flatten().count(), LEAST_FLIGHTS);
        drop(few);
        for _ in 0..100 {
            let is_done = match ask() {
                Some(place) => places.turn(&place).await.is_ok(),
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
        let ask = || places.place(asker(&caller)).ok();
        let ask_soon = || places.soon(|| places.place(asker(&caller)));
        let mut held: Vec<Option<Place>> = (0..=MAX_FLIGHTS).map(|_| ask()).collect();
        assert_eq!(held.iter().flatten().count(), MAX_FLIGHTS);
        assert!(ask_soon().await.is_err(), "nor in a moment");
        let (waiting, ()) = tokio::join!(ask_soon(), async {
            held.truncate(1);
        });
        assert!(waiting.is_ok(), "one was free in a moment");
        Ok(())
    }
}
