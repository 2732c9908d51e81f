//! Reading what the view lacks: each thing once at a time however many ask, over a few connections of their own.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{
    age::BootTime,
    counters::Counters,
    follower::Followed,
    guard::ReadAt,
    key::{BuildKeyHasher, Key},
    memory::{Admission, Era, Gathered, Memory},
    places::{Asker, Full, Place, Places},
    rekeys::Rekeys,
};
use crate::{
    domain::{
        decide::Presented,
        error::Error,
        ids::RevisionName,
        pepper::{Digest, Rekey},
        time::Clock,
    },
    store::{Background, Line, Presentation},
};

/// Rows as they were read.
pub(super) struct Fill {
    pub(super) read: ReadAt,
    pub(super) presentation: Presentation,
}

type Outcome = Result<Arc<Fill>, Error>;
type Flight = watch::Receiver<Option<Outcome>>;

/// Who began a flight: it has that one's time and places.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Anothers,
}

/// Whose lookup it is, and of what.
pub(super) struct Wanted<'a> {
    pub(super) sought: Sought,
    /// Under each pepper, the active one first.
    pub(super) digests: Vec<Digest>,
    pub(super) active_pepper: &'a str,
    pub(super) asker: Asker<'a>,
}

/// What the view has for all of its parts.
pub(super) struct Shared {
    pub(super) background: Arc<Background>,
    pub(super) memory: Arc<Memory>,
    pub(super) followed: Arc<Followed>,
    pub(super) rekeys: Arc<Rekeys>,
    pub(super) counters: Arc<Counters>,
}

/// A secret's key, and the rules under which it is looked up: others make other digests of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) key: Key,
    pub(super) era: Era,
}

impl Hash for Sought {
    /// There is hardly ever more than one era at a time.
    fn hash<H: Hasher>(&self, state: &mut H) {
        Hash::hash(&self.key, state);
    }
}

pub(super) struct Fills {
    background: Arc<Background>,
    memory: Arc<Memory>,
    followed: Arc<Followed>,
    rekeys: Arc<Rekeys>,
    flights: Mutex<HashMap<Sought, Flight, BuildKeyHasher>>,
    /// Idle ones; a new one is made where there is none.
    lines: Mutex<Vec<Line>>,
    new_line: Box<dyn Fn() -> Line + Send + Sync>,
    is_closed: AtomicBool,
    connections: usize,
    clock: Clock,
    places: Places,
    /// How long the database may take.
    patience: Duration,
    /// The [`BootTime`] when it answered last.
    answered: AtomicU64,
    counters: Arc<Counters>,
}

impl Fills {
    pub(super) fn new(
        new_line: impl Fn() -> Line + Send + Sync + 'static,
        connections: usize,
        times: [Duration; 2],
        clock: Clock,
        shared: Shared,
    ) -> Self {
        let [turn, patience] = times;
        let Shared {
            background,
            memory,
            followed,
            rekeys,
            counters,
        } = shared;
        Self {
            background,
            memory,
            followed,
            rekeys,
            flights: Mutex::default(),
            lines: Mutex::default(),
            new_line: Box::new(new_line),
            is_closed: AtomicBool::new(false),
            connections,
            places: Places::new(connections, turn, clock.clone(), Arc::clone(&counters)),
            clock,
            patience,
            answered: AtomicU64::new(BootTime::NEVER.0),
            counters,
        }
    }

    /// Opens the connections that there may be, as far as they are not open yet.
    pub(super) async fn open(&self) -> Result<(), Error> {
        let missing = lock(&self.lines).len()..self.connections;
        let open = |_| self.background.spawn((self.new_line)().open());
        for line in missing.map(open).collect::<Vec<_>>() {
            let line = line.await.map_err(|_| Error::Unavailable)?;
            self.put_back(line.map_err(Error::from)?).await;
        }
        Ok(())
    }

    /// Reads what is wanted, or joins whoever does already, and tells what is right then. None: it was out of date before
    /// it could be used, or is in memory meanwhile.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
    ) -> Result<Option<Gathered>, Error> {
        let sought = wanted.sought;
        let Some((flight, whose)) = self.places.soon(|| self.flight(&wanted)).await? else {
            return Ok(None);
        };
        let mut outcome = landed(flight).await;
        // It set off before, and may have been short of time, or of places, that this one has.
        if outcome.is_err() && whose == Whose::Anothers && self.places.has_time(wanted.asker) {
            let Some((flight, _)) = self.places.soon(|| self.flight(&wanted)).await? else {
                return Ok(None);
            };
            outcome = landed(flight).await;
        }
        let fill = outcome?;
        // Judged by each who has it: who joined late may have come after a change.
        let admitted = self.admit(sought, &fill).await;
        if admitted.is_none() {
            self.counters.fills_stale.count();
        }
        Ok(admitted)
    }

    /// None: it is in memory meanwhile.
    fn flight(self: &Arc<Self>, wanted: &Wanted<'_>) -> Result<Option<(Flight, Whose)>, Full> {
        let Wanted {
            sought,
            ref digests,
            active_pepper,
            asker,
        } = *wanted;
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&sought) {
            return Ok(Some((flight.clone(), Whose::Anothers)));
        }
        // One may have landed since memory was asked.
        if self.memory.gather(&sought.key).is_some() {
            return Ok(None);
        }
        let place = self.places.place(asker)?;
        let (land, flight) = watch::channel(None);
        flights.insert(sought, flight.clone());
        drop(flights);
        let fills = Arc::clone(self);
        let digests = digests.clone();
        let active_pepper = active_pepper.to_owned();
        // A task of its own: who asked first may give up, and the others still wait.
        let fly = async move {
            let outcome = fills.read(&digests, &place).await;
            if let Ok(fill) = &outcome {
                fills.notice_pepper(&fill.presentation, &digests, active_pepper);
                // While it can still be joined: who comes later finds it in memory.
                let admitted = timeout(fills.patience, fills.admit(sought, fill)).await;
                drop(admitted);
            }
            lock(&fills.flights).remove(&sought);
            drop(place);
            land.send_replace(Some(outcome));
        };
        self.background.spawn(fly);
        Ok(Some((flight, Whose::Own)))
    }

    /// Remembers what a token should be stored as that is stored under another pepper than the active one.
    fn notice_pepper(&self, found: &Presentation, digests: &[Digest], active: String) {
        if let (Presented::Known(bearer), Some(from), Some(digest)) =
            (&found.presented, &found.pepper_id, digests.first())
            && *from != active
        {
            self.rekeys.add(Rekey {
                token_id: bearer.token.token_id.clone(),
                from: from.clone(),
                to: active,
                digest: *digest,
            });
        }
    }

    /// Takes in what was read, once the view has come as far. None: it is out of date.
    async fn admit(&self, sought: Sought, fill: &Fill) -> Option<Gathered> {
        let Sought { key, era } = sought;
        loop {
            match self.memory.admit(key, era, &fill.read, &fill.presentation) {
                Admission::Gathered(gathered) => return Some(gathered),
                Admission::Ahead => self.followed.read_after(BootTime::now()).await,
                Admission::Stale => return None,
            }
        }
    }

    async fn read(&self, digests: &[Digest], place: &Place) -> Outcome {
        let _turn = self.places.turn(place).await?;
        // Large, and for those that wait in vain never needed.
        Box::pin(self.read_now(digests, place)).await
    }

    async fn read_now(&self, digests: &[Digest], place: &Place) -> Outcome {
        let epoch = self.memory.epoch();
        let mut line = self.line();
        // Before the statement: nothing that happens later can be in its answer unseen.
        let (sent, now) = (BootTime::now(), self.clock.now());
        let answer = line.find_presented(digests, now, self.patience).await;
        self.put_back(line).await;
        let mut presentation = answer.map_err(|abort| {
            self.counters.fills_failed.count();
            Error::from(abort)
        })?;
        let answered = BootTime::now();
        self.answered.fetch_max(answered.0, Ordering::Relaxed);
        match &mut presentation.presented {
            Presented::Known(bearer) => {
                self.memory.share(bearer);
                self.counters.fills_known.count();
            }
            Presented::Unknown | Presented::Malformed => {
                self.counters.fills_unknown.count();
                self.places.charge(place);
            }
        }
        let head = presentation.revision;
        Ok(Arc::new(Fill {
            read: ReadAt { epoch, sent, head },
            presentation,
        }))
    }

    /// What a lookup is told that began then and was not done in time: a database that answers others meanwhile is there, and
    /// has too much to do.
    pub(super) fn too_late(&self, began: BootTime) -> Error {
        match self.answered.load(Ordering::Relaxed) > began.0 {
            true => self.places.overloaded(),
            false => {
                self.counters.refused_old.count();
                Error::Unavailable
            }
        }
    }

    /// Whether a change with this name is in the database. One that is not counts as an unknown secret does.
    pub(super) async fn knows(&self, name: RevisionName, asker: Asker<'_>) -> Result<bool, Error> {
        let place = self.places.soon(|| self.places.place(asker)).await?;
        let _turn = self.places.turn(&place).await?;
        let mut line = self.line();
        let answer = line.knows(name, self.patience).await;
        self.put_back(line).await;
        let is_known = answer.map_err(Error::from)?;
        if !is_known {
            self.places.charge(&place);
        }
        Ok(is_known)
    }

    fn line(&self) -> Line {
        lock(&self.lines).pop().unwrap_or_else(|| (self.new_line)())
    }

    async fn put_back(&self, line: Line) {
        if self.is_closed.load(Ordering::Acquire) {
            return line.close().await;
        }
        lock(&self.lines).push(line);
    }

    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let lines = std::mem::take(&mut *lock(&self.lines));
        for line in lines {
            line.close().await;
        }
    }
}

async fn landed(mut flight: Flight) -> Outcome {
    let landed = flight.wait_for(Option::is_some).await;
    let outcome = landed.ok().and_then(|outcome| outcome.clone());
    outcome.unwrap_or(Err(Error::Unavailable))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
