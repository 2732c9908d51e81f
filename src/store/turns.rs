//! Who changes something next: each caller's mutations in their order, and of each caller only so many at once, so that
//! nobody's flood keeps the others waiting. Who would wait too long is told at once to come again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::{error::Error, ids::CallerName};

/// How many of a caller's run or wait for their turn. A database does hundreds in a second, so whoever is behind more than
/// these would not be reached in time.
const MAX_WAITING: usize = 512;
/// How long one waits: half of the time that a call has, of which its change needs some too.
const MAX_WAIT: Duration = Duration::from_secs(5);

const OVERLOADED: Error = Error::Overloaded { limit: MAX_WAITING };

/// All there are.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    at_once: usize,
    /// As many as callers are configured.
    shares: Mutex<HashMap<CallerName, Share>>,
}

/// What one caller may take of them.
#[derive(Clone)]
struct Share {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// Something may be changed for as long as this is held.
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once: as many as there are connections.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once)),
            at_once,
            shares: Mutex::default(),
        }
    }

    /// Whether one more could wait for its turn now. [`Self::take`] asks again: this is for who would do much in vain before.
    pub(super) fn admit(&self, caller: &CallerName) -> Result<(), Error> {
        match self.share(caller).places.available_permits() {
            0 => Err(OVERLOADED),
            _ => Ok(()),
        }
    }

    /// Waits for a turn. Whoever gives up meanwhile has no part in it any more.
    pub(super) async fn take(&self, caller: &CallerName) -> Result<Turn, Error> {
        let share = self.share(caller);
        let Ok(place) = share.places.try_acquire_owned() else {
            return Err(OVERLOADED);
        };
        let taking = async {
            Some(Turn {
                _place: place,
                _own: share.turns.acquire_owned().await.ok()?,
                _of_all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            })
        };
        let taken = timeout(MAX_WAIT, taking).await;
        taken.ok().flatten().ok_or(OVERLOADED)
    }

    fn share(&self, caller: &CallerName) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(caller) {
            return share.clone();
        }
        // Where there is only one at once, the others wait for no more than that one.
        let own = self.at_once.saturating_sub(1).max(1);
        let share = Share {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            turns: Arc::new(Semaphore::new(own)),
        };
        shares.insert(caller.clone(), share.clone());
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Problem;

    async fn is_free(turns: &Turns, caller: &CallerName) -> bool {
        let taken = timeout(Duration::ZERO, turns.take(caller)).await;
        taken.is_ok_and(|turn| turn.is_ok())
    }

    #[tokio::test]
    async fn one_caller_leaves_the_others_a_turn() -> Result<(), Problem> {
        let [one, other] = [CallerName::parse("one")?, CallerName::parse("other")?];
        for at_once in [2, 5] {
            let turns = Turns::new(at_once);
            let mut held = Vec::new();
            for _ in 1..at_once {
                held.push(turns.take(&one).await);
            }
            assert!(!is_free(&turns, &one).await, "{at_once}");
            assert!(is_free(&turns, &other).await, "{at_once}");
            held.pop();
            assert!(is_free(&turns, &one).await, "{at_once}");
        }
        let turns = Turns::new(1);
        let held = turns.take(&one).await;
        assert!(held.is_ok());
        assert!(!is_free(&turns, &other).await);
        Ok(())
    }

    #[tokio::test]
    async fn who_waits_too_long_or_behind_too_many_is_refused() -> Result<(), Problem> {
        let caller = CallerName::parse("one")?;
        let turns = Arc::new(Turns::new(1));
        let held = turns.take(&caller).await;
        assert!(held.is_ok());
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 1..MAX_WAITING {
            let (turns, caller) = (Arc::clone(&turns), caller.clone());
            waiting.spawn(async move { turns.take(&caller).await.err() });
        }
        while turns.admit(&caller).is_ok() {
            tokio::task::yield_now().await;
        }
        let one_more = timeout(Duration::ZERO, turns.take(&caller)).await;
        let refused = one_more.map(|taken| taken.err());
        assert_eq!(refused.ok().flatten(), Some(OVERLOADED));
        while let Some(refused) = waiting.join_next().await {
            assert_eq!(refused.ok().flatten(), Some(OVERLOADED));
        }
        drop(held);
        assert!(is_free(&turns, &caller).await, "nothing is left behind");
        assert_eq!(turns.admit(&caller), Ok(()));
        Ok(())
    }
}
