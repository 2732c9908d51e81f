//! A replica: the real memory, and what the view's calls, its follower and its own changes do with it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shuttle::thread::yield_now;

use super::{
    super::{
        super::{age::BootTime, guard::ReadAt, key::Key},
        Admission, Gathered, Memory,
    },
    database::{Change, Committed, Database, is_revoked, number},
};
use crate::{
    domain::{decide::Presented, ids::Revision, secret::Secret},
    store::Presentation,
};

/// How old the view may be, in looks at the clock.
const BOUND: Duration = Duration::from_nanos(30);
/// How long the guard remembers, likewise: less than that, as it may be, and as much as some fills here take.
const RETENTION: Duration = Duration::from_nanos(10);

/// A way in which a replica is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A fill is taken in whatever was changed since its rows were read.
    NoGuard,
    /// A change of the replica's own takes away what is there, and is not remembered.
    NoMark,
    /// Entries are gathered whatever changes meanwhile.
    NoSequence,
    /// The view is said to be as fresh as when the feed had been read, not as when that began.
    LateClock,
}

pub(super) struct Replica {
    pub(super) database: Database,
    memory: Memory,
    secrets: [Key; 2],
    fault: Option<Fault>,
    /// How many are still at changing something.
    changing: AtomicUsize,
    /// When the change that revoked each token had returned, if it was made here.
    returned: Mutex<[Option<BootTime>; 2]>,
}

/// Somebody presents one of the secrets.
pub(super) struct Call {
    which: usize,
    began: BootTime,
    /// Where the view was when it began.
    position: Option<Revision>,
}

/// Rows on their way.
pub(super) struct Fill {
    pub(super) which: usize,
    read: ReadAt,
    presentation: Presentation,
}

impl Replica {
    /// One that knows nothing, beside so many that change something.
    pub(super) fn new(capacity: usize, changing: usize, fault: Option<Fault>) -> Self {
        let memory = Memory::new(capacity, RETENTION).expect("random bytes");
        let secret = || {
            let secret = Secret::random().expect("random bytes");
            memory.keys().secret(&secret)
        };
        Self {
            database: Database::new(),
            secrets: [secret(), secret()],
            memory,
            fault,
            changing: AtomicUsize::new(changing),
            returned: Mutex::default(),
        }
    }

    /// Follows the feed from the cursor on until nobody changes anything any more.
    pub(super) fn follow(&self, mut cursor: Option<Revision>) {
        loop {
            let is_last = self.changing.load(Ordering::Relaxed) == 0;
            let head;
            (cursor, head) = self.step(cursor);
            if is_last && cursor == Some(head) {
                return;
            }
            yield_now();
        }
    }

    /// Reads the feed on once. Gives back how far the view is then, and the feed was.
    pub(super) fn step(&self, cursor: Option<Revision>) -> (Option<Revision>, Revision) {
        let mut sent = BootTime::now();
        let read = self.database.read_feed_after(cursor);
        if self.fault == Some(Fault::LateClock) {
            yield_now();
            sent = BootTime::now();
        }
        match self.memory.apply(&read, cursor, sent) {
            Ok(()) => (self.memory.position(), read.head),
            Err(_) => {
                self.memory.reset();
                (None, read.head)
            }
        }
    }

    /// Another replica's changes.
    pub(super) fn change_elsewhere(&self, changes: &[Change]) {
        for change in changes {
            self.database.commit(*change);
        }
        self.changing.fetch_sub(1, Ordering::Relaxed);
    }

    /// This replica's own, each of which returns. Whether the outcome was known makes no difference to that.
    pub(super) fn change(&self, changes: &[Change], is_outcome_known: bool) {
        for change in changes {
            let committed = self.database.commit(*change);
            self.invalidate(&committed, is_outcome_known);
            let mut returned = self.returned();
            for which in 0..returned.len() {
                if committed.is_revoked(which) && returned[which].is_none() {
                    returned[which] = Some(BootTime::now());
                }
            }
        }
        self.changing.fetch_sub(1, Ordering::Relaxed);
    }

    fn invalidate(&self, committed: &Committed, is_outcome_known: bool) {
        if self.fault != Some(Fault::NoMark) {
            let revision = Some(committed.revision).filter(|_| is_outcome_known);
            return self.memory.invalidate(&committed.subject, revision);
        }
        if let Some(Some(key)) = self.memory.key_of(&committed.subject) {
            self.memory.remove(&mut self.memory.write(), &key);
        }
    }

    /// Forgets everything that was read under other rules.
    pub(super) fn clear(&self) {
        self.memory.clear();
    }

    /// Forgets everything, as if the feed were not the one that was followed.
    pub(super) fn reset(&self) {
        self.memory.reset();
    }

    pub(super) fn call(&self, which: usize) -> Call {
        Call {
            which,
            position: self.memory.position(),
            began: BootTime::now(),
        }
    }

    /// What memory knows, if it knows anything.
    pub(super) fn recall(&self, call: &Call) {
        let key = &self.secrets[call.which];
        let gathered = match self.fault {
            Some(Fault::NoSequence) => self.gather_apart(key),
            _ => self.memory.gather(key),
        };
        if let Some(gathered) = gathered {
            self.check(call, &gathered);
        }
    }

    fn gather_apart(&self, key: &Key) -> Option<Gathered> {
        let as_of = self.memory.as_of();
        let revision = self.memory.position()?;
        Some(Gathered {
            presented: self.memory.find(key, as_of)?,
            revision,
            as_of,
        })
    }

    /// Reads what is missing.
    pub(super) fn fetch(&self, which: usize) -> Fill {
        let epoch = self.memory.epoch();
        let sent = BootTime::now();
        let presentation = self.database.find_presented(which);
        let head = presentation.revision;
        Fill {
            which,
            read: ReadAt { epoch, sent, head },
            presentation,
        }
    }

    /// Uses what was read, for this call or one that joined it. Gives back whether a revocation came between.
    pub(super) fn use_fill(&self, call: &Call, fill: &Fill) -> bool {
        let is_racing = {
            let history = self.database.history();
            let last = &history[history.len() - 1];
            last.is_revoked(fill.which) && !is_revoked(&fill.presentation.presented)
        };
        loop {
            match self.admit(fill) {
                Admission::Gathered(gathered) => self.check(call, &gathered),
                Admission::Ahead => {
                    yield_now();
                    continue;
                }
                Admission::Stale => {}
            }
            return is_racing;
        }
    }

    /// Has one of the tokens remembered.
    pub(super) fn fill_at_once(&self, which: usize) {
        self.use_fill(&self.call(which), &self.fetch(which));
    }

    fn admit(&self, fill: &Fill) -> Admission {
        let key = self.secrets[fill.which];
        let Presented::Known(bearer) = &fill.presentation.presented else {
            return Admission::Stale;
        };
        if self.fault != Some(Fault::NoGuard) {
            let era = self.memory.era();
            return self.memory.admit(key, era, &fill.read, &fill.presentation);
        }
        let mut writing = self.memory.write();
        let Some(revision) = writing.guard.position() else {
            return Admission::Stale;
        };
        let keys = self.memory.keys_of(bearer);
        self.memory.put(&mut writing, key, keys, bearer);
        Admission::Gathered(Gathered {
            presented: fill.presentation.presented.clone(),
            revision,
            as_of: self.memory.as_of(),
        })
    }

    /// Holds what a call was told against all that the service promises.
    fn check(&self, call: &Call, gathered: &Gathered) {
        let now = BootTime::now();
        let history = self.database.history();
        let Gathered {
            revision, as_of, ..
        } = *gathered;
        let revoked = history.iter().find(|one| one.is_revoked(call.which));
        if let Some(revoked) = revoked.filter(|_| !is_revoked(&gathered.presented)) {
            let is_passed = |position: Revision| position.number >= revoked.revision.number;
            assert!(
                !is_passed(revision) && !call.position.is_some_and(is_passed),
                "a revoked token was resurrected after its revocation was applied"
            );
            let is_young = as_of > BootTime::NEVER && now.since(as_of) <= BOUND;
            let is_in_time = call.began.since(revoked.at) <= BOUND;
            assert!(
                !is_young || is_in_time,
                "a revoked token was resurrected after the staleness bound"
            );
            let has_returned = self.returned()[call.which].is_some_and(|at| call.began > at);
            assert!(
                !is_young || !has_returned,
                "a revoked token was resurrected where its revocation had returned"
            );
        }
        assert!(
            gathered.presented == history[number(revision)].presented(call.which),
            "what was gathered is not what there was at its revision"
        );
        let is_told = |one: &Committed| one.at >= as_of || one.revision.number <= revision.number;
        assert!(
            history.iter().all(is_told),
            "the view is said to be fresher than it is"
        );
    }

    fn returned(&self) -> std::sync::MutexGuard<'_, [Option<BootTime>; 2]> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
