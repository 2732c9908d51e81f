//! Who asks for keys, and how often they are fetched for that: whoever makes up names of keys must neither flood the issuer
//! nor hold up anyone else.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};

/// How often keys are fetched because somebody asks, at once and in the long run.
const BURST: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(10);
/// How many calls wait for the keys of an issuer.
const MOST_WAITING: usize = 1024;

/// What is asked for and what has been done. Attempts are numbered from 1.
pub(super) struct Demand {
    asked: Mutex<Asked>,
    wake: Notify,
    ended: watch::Sender<Ended>,
    places: Arc<Semaphore>,
}

struct Asked {
    /// The last attempt that has begun.
    begun: u64,
    /// The last one that is wanted before its time.
    wanted: u64,
    left: u32,
    /// When one more was added to those.
    refilled: Instant,
}

/// The last attempt that has ended.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) attempt: u64,
    pub(super) has_failed: bool,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self {
            asked: Mutex::new(Asked {
                begun: 0,
                wanted: 1,
                left: BURST,
                refilled: Instant::now(),
            }),
            wake: Notify::new(),
            ended: watch::Sender::new(Ended {
                attempt: 0,
                has_failed: false,
            }),
            places: Arc::new(Semaphore::new(MOST_WAITING)),
        }
    }

    /// Asks for keys. Those of an attempt that goes on may do; if not, one is wanted that begins from now on, unless `any`
    /// would be enough.
    pub(super) fn ask(&self, any: bool) -> Result<Waiting, Denied> {
        let ended = self.ended.subscribe();
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Denied::Crowded)?;
        let (attempt, next) = self.attempt().ok_or(Denied::Spent)?;
        Ok(Waiting {
            ended,
            attempt,
            enough: if any { attempt } else { next },
            _place: place,
        })
    }

    /// Asks for more than came of the attempt that was waited for. False: there have been too many.
    pub(super) fn ask_again(&self, waiting: &mut Waiting) -> bool {
        let attempt = self.attempt();
        if let Some((attempt, _)) = attempt {
            waiting.attempt = attempt;
        }
        attempt.is_some()
    }

    /// The attempt that goes on, or else the next one, which is wanted from now on; and the first that begins from now on.
    fn attempt(&self) -> Option<(u64, u64)> {
        let last = self.last().attempt;
        let mut asked = self.lock();
        let next = asked.begun + 1;
        if asked.begun > last {
            return Some((asked.begun, next));
        }
        if asked.wanted < next {
            if !asked.admits() {
                return None;
            }
            asked.wanted = next;
            self.wake.notify_one();
        }
        Some((next, next))
    }

    /// Wants an attempt that begins from now on, however many there have been.
    pub(super) fn insist(&self) {
        let mut asked = self.lock();
        asked.wanted = asked.wanted.max(asked.begun + 1);
        self.wake.notify_one();
    }

    /// Begins an attempt, and tells its number.
    pub(super) fn begin(&self) -> u64 {
        let mut asked = self.lock();
        asked.begun += 1;
        asked.begun
    }

    /// Ends it.
    pub(super) fn end(&self, attempt: u64, has_failed: bool) {
        let ended = Ended {
            attempt,
            has_failed,
        };
        self.ended.send_replace(ended);
    }

    /// Waits until another attempt is wanted, or for so long.
    pub(super) async fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        let is_wanted = || {
            let asked = self.lock();
            asked.wanted > asked.begun
        };
        // What wakes may have been for an attempt that has been made since.
        while !is_wanted() && timeout_at(end, self.wake.notified()).await.is_ok() {}
    }

    pub(super) fn last(&self) -> Ended {
        *self.ended.borrow()
    }

    /// Waits until the first attempt has ended.
    pub(super) async fn first(&self, deadline: Instant) {
        let mut ended = self.ended.subscribe();
        let first = ended.wait_for(|ended| ended.attempt > 0);
        // Whoever holds this holds the sender.
        drop(timeout_at(deadline, first).await);
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn admits(&mut self) -> bool {
        let elapsed = self.refilled.elapsed();
        let more = elapsed.as_secs() / INTERVAL.as_secs();
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(BURST);
            self.left = self.left.saturating_add(more).min(BURST);
            self.refilled = Instant::now();
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// Why keys cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Too many wait already.
    Crowded,
    /// They have just been fetched, too often.
    Spent,
}

/// An attempt that is waited for.
pub struct Waiting {
    ended: watch::Receiver<Ended>,
    attempt: u64,
    /// The first attempt after which there is nothing more to ask for.
    enough: u64,
    _place: OwnedSemaphorePermit,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has ended, but had begun before anyone asked.
    Early,
    /// It has ended.
    Done,
    /// It has not ended in time.
    TooLate,
}

impl Waiting {
    /// Waits until it has ended.
    pub async fn next(&mut self, deadline: Instant) -> Progress {
        let attempt = self.attempt;
        let ended = self.ended.wait_for(|ended| ended.attempt >= attempt);
        match timeout_at(deadline, ended).await {
            Err(_) => Progress::TooLate,
            Ok(Ok(ended)) if ended.attempt < self.enough => Progress::Early,
            // Whoever fetches is gone where this fails, and with it the issuer.
            Ok(_) => Progress::Done,
        }
    }
}
