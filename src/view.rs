//! A replica's memory: what tokens, members and workspaces are, as far as it has been asked, and how fresh that is.
//!
//! It is filled by reading what is missing, and kept right by following the feed of changes. What it says was right at one
//! position of the feed, no longer ago than the staleness bound; where it cannot show that, it says nothing.

mod age;
mod counters;
mod fills;
mod follower;
mod guard;
mod key;
mod memory;
mod places;
mod rekeys;
mod revisions;
mod settings;
mod sync;
mod table;

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

use self::{
    age::BootTime,
    counters::Counters,
    fills::{Fills, Sought, Wanted},
    follower::{Followed, Follower},
    memory::{Gathered, Memory},
    places::Asker,
};
use crate::{
    domain::{
        database_url::Backend,
        decide::Presented,
        error::Error,
        event::Subject,
        ids::{CallerName, Revision, RevisionName},
        pepper::PepperRing,
        secret::Secret,
        time::{Clock, Timestamp},
    },
    store::{Store, listen},
};

pub use self::{counters::Vitals, memory::Era, rekeys::Rekeys, settings::Settings};

/// Connections for what is missing. Few: they are needed only until it is there.
const POSTGRES_FILLERS: usize = 7;
const SQLITE_FILLERS: usize = 4;
/// One for either lane. An embedded database has no other processor than those that decisions are made on: with more
/// readers than cores nothing else would be done.
const LEAST_FILLERS: usize = 2;
/// How often what was read is found out of date before the caller is told to try again.
const FILL_ATTEMPTS: usize = 8;
/// How long a change that changed nothing waits for the view.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The view. Clones are the same.
#[derive(Clone)]
pub struct View(Arc<Parts>);

struct Parts {
    memory: Arc<Memory>,
    followed: Arc<Followed>,
    fills: Arc<Fills>,
    rekeys: Arc<Rekeys>,
    counters: Arc<Counters>,
    known: std::sync::Mutex<HashSet<RevisionName>>,
    patience: Duration,
    clock: Clock,
}

/// What follows the feed for a view. To be stopped, so that its connections are closed.
pub struct Following {
    stop: watch::Sender<bool>,
    follower: JoinHandle<()>,
    /// Ended with this, whatever ends it.
    listener: JoinSet<()>,
    view: View,
}

/// Whose token, and how fresh what is known of it must be.
pub struct Lookup<'a> {
    /// What was presented.
    pub secret: &'a Secret,
    /// Under what it may be stored.
    pub ring: &'a PepperRing,
    /// Who asks.
    pub caller: &'a CallerName,
    /// A change that must have been seen.
    pub min_revision: Option<RevisionName>,
    /// When the call began: it waits no longer than it may from then on.
    pub began: Instant,
    /// As [`View::era`] told before the ring was taken.
    pub era: Era,
}

/// What is known of a token, all of one position of the feed.
pub struct Seen {
    /// The token, or that there is none.
    pub presented: Presented,
    /// The position.
    pub revision: Revision,
    as_of: BootTime,
}

impl View {
    /// A view of this store that knows nothing, until it is followed.
    pub fn new(store: &Store, settings: &Settings, clock: &Clock) -> Result<Self, Error> {
        let connections = match settings.url.backend() {
            Backend::Postgres => POSTGRES_FILLERS,
            Backend::Sqlite => {
                let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
                cores.clamp(LEAST_FILLERS, SQLITE_FILLERS)
            }
        };
        let counters = Arc::new(Counters::default());
        let line = store.line(&settings.url);
        let times = [settings.patience / 2, settings.patience];
        let memory = Memory::new(settings.capacity, 2 * settings.patience).map_err(|error| {
            tracing::error!(error = %error, "the system's random generator failed");
            Error::Unavailable
        })?;
        let memory = Arc::new(memory);
        let followed = Arc::new(Followed::new(settings.staleness_bound));
        let rekeys = Arc::new(Rekeys::default());
        let shared = fills::Shared {
            background: Arc::clone(store.background()),
            memory: Arc::clone(&memory),
            followed: Arc::clone(&followed),
            rekeys: Arc::clone(&rekeys),
            counters: Arc::clone(&counters),
        };
        let new_line = move || line.another();
        let fills = Fills::new(new_line, connections, times, clock.clone(), shared);
        Ok(Self(Arc::new(Parts {
            memory,
            followed,
            fills: Arc::new(fills),
            rekeys,
            counters,
            known: std::sync::Mutex::default(),
            patience: settings.patience,
            clock: clock.clone(),
        })))
    }

    /// Reads the feed once, and follows it from there on.
    pub async fn follow(
        &self,
        store: &Store,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Following, Error> {
        let mut follower = Follower {
            line: store.line(&settings.direct_url).unobserved(),
            memory: Arc::clone(&self.0.memory),
            followed: Arc::clone(&self.0.followed),
            counters: Arc::clone(&self.0.counters),
            clock: clock.clone(),
            cursor: None,
            is_failing: false,
        };
        self.0.fills.open().await?;
        follower.step().await?;
        let (stop, stopped) = watch::channel(false);
        let followed = Arc::clone(&self.0.followed);
        let mut listener = JoinSet::new();
        let url = settings.direct_url.clone();
        listener.spawn(listen(url, move || followed.nudge()));
        Ok(Following {
            stop,
            follower: tokio::spawn(follower.run(stopped)),
            listener,
            view: self.clone(),
        })
    }

    /// To be asked before the rules of a lookup are taken.
    pub fn era(&self) -> Era {
        self.0.memory.era()
    }

    /// What memory knows of a token by now, if it knows enough and is young enough.
    pub fn recall(&self, lookup: &Lookup<'_>) -> Option<Seen> {
        let key = self.0.memory.keys().secret(lookup.secret);
        let gathered = self.0.memory.gather(&key)?;
        let is_new_enough = match &lookup.min_revision {
            None => true,
            Some(name) => name.names(&gathered.revision),
        };
        let is_enough = is_new_enough && self.is_young(gathered.as_of);
        if !is_enough || self.must_be_read_again(&gathered.presented) {
            return None;
        }
        self.0.counters.hits.count();
        Some(gathered.into())
    }

    /// What is known of a token by now: from memory, or read where it is missing. Waits for the next reading of the feed
    /// where the view is too old, and gives up rather than answer from one that is.
    pub async fn look_up(&self, lookup: &Lookup<'_>) -> Result<Seen, Error> {
        let key = self.0.memory.keys().secret(lookup.secret);
        let deadline = lookup.began + self.0.patience;
        let began = BootTime::now();
        match timeout_at(deadline, self.look_further(key, lookup)).await {
            Ok(outcome) => outcome.map(Into::into),
            Err(_) if self.is_fresh() => Err(self.0.fills.too_late(began)),
            Err(_) => {
                self.0.counters.refused_old.count();
                Err(Error::Unavailable)
            }
        }
    }

    async fn look_further(&self, key: key::Key, lookup: &Lookup<'_>) -> Result<Gathered, Error> {
        let began = BootTime::now();
        let mut asker = lookup.asker();
        let mut attempts = 0;
        loop {
            if !self.is_young(self.0.memory.as_of()) {
                self.0.followed.read_after(BootTime::now()).await;
                // Whoever waited for the database to be back was not one too many.
                asker.began = Instant::now();
            }
            if let Some(name) = lookup.min_revision
                && !self.has_seen(name, asker, began).await?
            {
                return Err(Error::RevisionUnknown {
                    revision: name.to_string(),
                });
            }
            if let Some(gathered) = self.0.memory.gather(&key) {
                if !self.is_young(gathered.as_of) {
                    continue;
                }
                if !self.must_be_read_again(&gathered.presented) {
                    self.0.counters.hits.count();
                    return Ok(gathered);
                }
                if let Presented::Known(bearer) = &gathered.presented {
                    self.0.memory.forget_token(&bearer.token.token_id);
                }
            }
            attempts += 1;
            if attempts > FILL_ATTEMPTS {
                return Err(Error::Unavailable);
            }
            self.0.counters.misses.count();
            let wanted = Wanted {
                sought: Sought {
                    key,
                    era: lookup.era,
                },
                digests: lookup.ring.digests(lookup.secret),
                active_pepper: lookup.ring.active().id(),
                asker,
            };
            if let Some(gathered) = self.0.fills.fetch(wanted).await?
                && self.is_young(gathered.as_of)
                && !self.must_be_read_again(&gathered.presented)
            {
                return Ok(gathered);
            }
        }
    }

    /// How long from now an answer that was made from this, at this time, may be used. None: it may not be made from it any
    /// more. To be asked last, just before the answer.
    pub fn reusable_for(&self, seen: &Seen, at: Timestamp) -> Option<Duration> {
        let is_enough = !seen.presented.must_be_read_again(|| at);
        is_enough.then(|| self.young_for(seen.as_of)).flatten()
    }

    fn must_be_read_again(&self, presented: &Presented) -> bool {
        presented.must_be_read_again(|| self.0.clock.now())
    }

    /// Whether decisions can be made from memory now.
    pub fn is_fresh(&self) -> bool {
        self.is_young(self.0.memory.as_of())
    }

    fn is_young(&self, as_of: BootTime) -> bool {
        self.young_for(as_of).is_some()
    }

    /// How long what is as fresh as this still is young enough.
    fn young_for(&self, as_of: BootTime) -> Option<Duration> {
        if as_of == BootTime::NEVER {
            return None;
        }
        let age = BootTime::now().since(as_of);
        self.0.followed.bound().checked_sub(age)
    }

    /// Waits until all that has happened by now has been applied, where the feed is followed.
    pub async fn catch_up(&self) -> Result<(), Error> {
        if !self.0.followed.is_followed() {
            return Ok(());
        }
        let caught_up = self.0.followed.read_after(BootTime::now());
        timeout_at(Instant::now() + CATCH_UP, caught_up)
            .await
            .map_err(|_| Error::Unavailable)
    }

    /// Takes away what a change of this server's own is about.
    pub fn invalidate(&self, subject: &Subject, revision: Option<Revision>) {
        self.0.memory.invalidate(subject, revision);
        self.0.followed.nudge();
    }

    /// Forgets what was read under other rules, after these have been replaced.
    pub fn clear(&self) {
        self.0.memory.clear();
    }

    /// The tokens that were found under another pepper than the active one.
    pub fn rekeys(&self) -> &Rekeys {
        &self.0.rekeys
    }

    /// How it is.
    pub fn vitals(&self) -> Vitals {
        let as_of = self.0.memory.as_of();
        let age = (as_of > BootTime::NEVER).then(|| BootTime::now().since(as_of));
        self.0.counters.vitals(age, self.0.memory.len())
    }
}

impl Lookup<'_> {
    fn asker(&self) -> Asker<'_> {
        Asker {
            caller: self.caller,
            began: self.began,
        }
    }
}

impl From<Gathered> for Seen {
    fn from(gathered: Gathered) -> Self {
        Self {
            presented: gathered.presented,
            revision: gathered.revision,
            as_of: gathered.as_of,
        }
    }
}

impl Following {
    /// Stops, and closes the connections.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.listener.shutdown().await;
        self.follower.await.ok();
        self.view.0.fills.close().await;
    }
}
