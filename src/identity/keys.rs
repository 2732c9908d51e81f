//! The keys of one issuer: fetched by a task of their own, held while its server is away, replaced when it rotates them.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{task::AbortHandle, time::Instant};

use super::{
    KeyMissing, Unidentified,
    demand::{Demand, Denied, Waiting},
    fetch::Source,
};
use crate::domain::{
    identity_token::Refused,
    issuer::{FetchOutcome, Issuer},
    jwks::KeySet,
    time::{Clock, Timestamp, millis},
};

/// How often keys are fetched, less up to a tenth, so that the replicas do not do so at once.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// How long after one that failed the next attempt is made, at first and at most.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long keys are good that could not be fetched again.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// Told what becomes of each attempt.
pub type Observer = Arc<dyn Fn(FetchOutcome) + Send + Sync>;

/// The keys of an issuer, fetched until this is dropped.
pub(super) struct Keys {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    issuer: Issuer,
    held: ArcSwapOption<Held>,
    demand: Demand,
    clock: Clock,
    observer: Observer,
}

/// Keys that were fetched.
pub(super) struct Held {
    pub(super) set: Arc<KeySet>,
    /// Another one whenever the keys are others.
    pub(super) generation: u64,
    fetched_at: Timestamp,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keys {
    /// Has them fetched from now on.
    pub(super) fn keep(issuer: Issuer, clock: Clock, observer: Observer) -> Arc<Self> {
        let shared = Arc::new(Shared {
            issuer,
            held: ArcSwapOption::empty(),
            demand: Demand::new(),
            clock,
            observer,
        });
        let task = tokio::spawn(Arc::clone(&shared).run()).abort_handle();
        Arc::new(Self { shared, task })
    }

    pub(super) fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// What is held of them, unless it is too old to go by.
    pub(super) fn held(&self, now: Timestamp) -> Option<Arc<Held>> {
        let held = self.shared.held.load_full();
        held.filter(|held| held.is_good(now))
    }

    /// Which keys are held, likewise.
    pub(super) fn generation(&self, now: Timestamp) -> Option<u64> {
        let held = self.shared.held.load();
        let held = held.as_deref().filter(|held| held.is_good(now));
        held.map(|held| held.generation)
    }

    /// How long ago they were fetched. None: never.
    pub(super) fn age(&self, now: Timestamp) -> Option<Duration> {
        let held = self.shared.held.load();
        let millis = now.0.saturating_sub(held.as_ref()?.fetched_at.0);
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }

    /// Whether the last attempt to fetch them failed.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.shared.demand.last().has_failed
    }

    pub(super) fn missing(self: &Arc<Self>, refused: Refused) -> Unidentified {
        Unidentified::KeyMissing(KeyMissing {
            keys: Arc::clone(self),
            refused,
        })
    }

    pub(super) fn ask(&self, any: bool) -> Result<Waiting, Denied> {
        self.shared.demand.ask(any)
    }

    pub(super) fn ask_again(&self, waiting: &mut Waiting) -> bool {
        self.shared.demand.ask_again(waiting)
    }

    pub(super) fn refresh(&self) {
        self.shared.demand.insist();
    }

    pub(super) async fn first_attempt(&self, deadline: Instant) {
        self.shared.demand.first(deadline).await;
    }
}

impl Held {
    fn is_good(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.fetched_at.0) < millis(KEEP)
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let source = Source::new(&self.issuer);
        let mut failures = 0;
        loop {
            let attempt = self.demand.begin();
            let fetched = match &source {
                Ok(source) => source.fetch().await,
                Err(message) => Err(message.clone()),
            };
            let outcome = match fetched {
                Ok(set) => self.take(set),
                Err(error) => {
                    self.tell(&error, failures);
                    FetchOutcome::Failed
                }
            };
            (self.observer)(outcome);
            let has_failed = outcome == FetchOutcome::Failed;
            failures = if has_failed { failures + 1 } else { 0 };
            self.demand.end(attempt, has_failed);
            self.demand.rest(pause(failures)).await;
        }
    }

    fn take(&self, set: KeySet) -> FetchOutcome {
        let before = self.held.load_full();
        let same = before.as_ref().filter(|held| *held.set == set);
        let (set, generation) = match (same, &before) {
            (Some(same), _) => (Arc::clone(&same.set), same.generation),
            (None, Some(other)) => (Arc::new(set), other.generation + 1),
            (None, None) => (Arc::new(set), 0),
        };
        let outcome = match same {
            Some(_) => FetchOutcome::Unchanged,
            None => {
                let (issuer, keys) = (&self.issuer.name, set.count());
                tracing::info!(issuer = %issuer, keys, "the keys of an issuer were fetched");
                FetchOutcome::Changed
            }
        };
        self.held.store(Some(Arc::new(Held {
            set,
            generation,
            fetched_at: self.clock.now(),
        })));
        outcome
    }

    /// Each first failure, and then fewer and fewer.
    fn tell(&self, error: &str, failures_before: u32) {
        if failures_before.count_ones() <= 1 {
            let now = self.clock.now();
            let held = self.held.load();
            let held = held.as_deref().is_some_and(|held| held.is_good(now));
            tracing::warn!(
                issuer = %self.issuer.name,
                error = %error,
                held,
                failures = failures_before + 1,
                "the keys of an issuer could not be fetched"
            );
        }
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let [least, most] = RETRY;
    match failures.checked_sub(1) {
        Some(earlier) => most.min(least * 2_u32.saturating_pow(earlier.min(16))),
        None => {
            let mut byte = [0];
            // Without random bytes all replicas do so at once, which an issuer can bear.
            getrandom::fill(&mut byte).ok();
            REFRESH - REFRESH / 10 * u32::from(byte[0]) / 255
        }
    }
}
