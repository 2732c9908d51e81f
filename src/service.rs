//! What each RPC means, in terms of the domain and the store. Knows nothing of the wire.

mod authorize;
mod directory;
mod events;
mod tokens;
mod uses;

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

pub use crate::store::EventFilter;
pub use authorize::{BatchVerdict, Explained, Permissions, Presentation, Verdict};
pub use directory::{
    MemberChange, MemberCommand, WorkspaceChange, WorkspaceCommand, WorkspaceUpdate,
};
pub use events::{EventWatch, Watched};
use events::{Retention, Watchers};
use tokens::Reuses;
pub use tokens::{
    IssueRequest, Issued, LeakReport, ListRequest, RevokeAllRequest, RevokeRequest, Revoked,
    RotateRequest, Rotated, TokenTarget, cursor_after,
};
use uses::Uses;

use crate::{
    domain::{
        access::Authority,
        error::{Error, Problem},
        ids::{CallerName, MemberKey},
        page,
        pepper::PepperRing,
        policy::Policy,
        secret::TokenFormat,
        time::Clock,
        token::Origin,
    },
    store::{Abort, Connection, Done, Mutation, Session, Store, StoreError, within},
    view::{Era, View},
};

/// How long whatever one request reads may take: half of the time that it has.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// The service, shared by all that serve it.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

struct Parts {
    store: Store,
    rules: ArcSwap<Rules>,
    clock: Clock,
    watchers: Watchers,
    view: View,
    reuses: Reuses,
    uses: Arc<Uses>,
    /// Held while tokens are stored under another pepper, and while the peppers are changed.
    rekeying: Mutex<()>,
    /// When old requests were forgotten last, in milliseconds since the epoch.
    forgotten_at: AtomicI64,
    retention: Retention,
}

/// What a reload replaces. Each request is answered under the rules that it began with, never under a mix.
pub struct Rules {
    /// Who may do what.
    pub policy: Policy,
    /// How tokens are printed and parsed.
    pub format: TokenFormat,
    /// The keys under which secrets are hashed.
    pub ring: PepperRing,
}

/// One page of a list.
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Whether there are more after them.
    pub has_more: bool,
    /// What the page tokens of this list are bound to.
    pub filter: String,
}

/// Which page of a list is asked for.
pub struct PageRequest {
    /// At most this many.
    pub size: u64,
    /// The token of the page before; empty for the first page.
    pub token: String,
}

impl Service {
    /// A service over this store, under these rules, which decides from this view: of the changes that are made here the
    /// view is told.
    pub fn new(mut store: Store, rules: Rules, clock: Clock, view: View) -> Self {
        let told = view.clone();
        store.on_outcome(move |event, revision| told.invalidate(&event.subject(), revision));
        Self(Arc::new(Parts {
            store,
            rules: ArcSwap::from_pointee(rules),
            clock,
            watchers: Watchers::default(),
            view,
            reuses: Reuses::default(),
            uses: Arc::default(),
            rekeying: Mutex::default(),
            forgotten_at: AtomicI64::new(0),
            retention: Retention::default(),
        }))
    }

    /// Whether this caller may ask for one more change now: it is refused anyway where so many of its changes wait already
    /// that it would not be reached in time.
    pub fn admit_change(&self, caller: &CallerName) -> Result<(), Error> {
        self.0.store.admit_mutation(caller)
    }

    /// Goes on under other rules. Refused, and nothing changed, while live tokens hang on a pepper that would be gone, and
    /// where a pepper would keep its id and get another key: nothing could tell the tokens of the one from those of the other.
    pub async fn replace_rules(&self, rules: Rules) -> Result<(), StoreError> {
        // Nothing may come to hang on a pepper after it was found that nothing does.
        let _held = self.0.rekeying.lock().await;
        let running = self.rules();
        if let Some(id) = running.ring.changed_in(&rules.ring) {
            return Err(StoreError::PepperChanged(id.to_owned()));
        }
        // The database is asked only where a pepper goes: other reloads must not fail with it.
        if !rules.ring.includes(&running.ring) {
            self.0.store.check_peppers(&rules.ring).await?;
        }
        let has_same_ring = running.ring.includes(&rules.ring)
            && rules.ring.includes(&running.ring)
            && running.ring.active().id() == rules.ring.active().id();
        self.0.rules.store(Arc::new(rules));
        if !has_same_ring {
            // A secret that was unknown may be known now, and one that is known be found under a pepper that is not active.
            self.0.view.clear();
        }
        Ok(())
    }

    /// Runs a mutation. Whoever is told what there was to find, though it changed nothing, may rely on it here at once: so
    /// the view has come as far before.
    async fn mutate<M: Mutation>(&self, mutation: M) -> Result<Done<M::Output>, Error> {
        let done = self.0.store.mutate(mutation).await?;
        if !done.is_changed {
            self.0.view.catch_up().await?;
        }
        Ok(done)
    }

    /// Reads, and gives up while its caller can still be told so: a connection may have gone silent.
    async fn reading<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        within(READ_PATIENCE, read).await
    }

    /// The token that asks for the page after this cursor.
    pub fn page_token(&self, filter: &str, cursor: &str) -> String {
        page::seal(&self.rules().ring, filter, cursor)
    }

    /// The same, and the era of the view that they are of: one that has ended where they have.
    fn rules_of_era(&self) -> (Era, Arc<Rules>) {
        let era = self.0.view.era();
        (era, self.rules())
    }

    /// The same for an answer that is made at once. Nobody has to be told that they are in use.
    fn rules_of_era_for_now(&self) -> (Era, Guard<Arc<Rules>>) {
        let era = self.0.view.era();
        (era, self.0.rules.load())
    }

    /// The rules to answer a request under: taken once, when it begins.
    fn rules(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    /// The cursor of a page request, if it is not for the first page.
    fn cursor(&self, filter: &str, page: &PageRequest) -> Result<Option<String>, Error> {
        if page.token.is_empty() {
            return Ok(None);
        }
        page::open(&self.rules().ring, filter, &page.token)
            .map(Some)
            .map_err(|problem: Problem| Error::field("page_token", problem))
    }
}

impl Rules {
    /// On whose authority a request with this origin is carried out.
    async fn authority<C: Connection>(
        &self,
        session: &Session<C>,
        origin: &Origin,
    ) -> Result<Authority, Abort> {
        let Some(actor) = &origin.actor else {
            return Ok(Authority::Platform);
        };
        let record = session.find_member(actor).await?;
        Ok(Authority::of_actor(record.as_ref(), &self.policy))
    }
}

impl<T> Page<T> {
    /// A page out of the items that were found when one more than its size was asked for.
    fn cut(mut found: Vec<T>, size: u64, filter: String) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = found.len() > size;
        found.truncate(size);
        Self {
            items: found,
            has_more,
            filter,
        }
    }
}

/// Between half and one and a half of it: replicas that look at different times seldom find the same.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0];
    // Without it they look at the same times, and are as right.
    getrandom::fill(&mut byte).ok();
    interval / 2 + interval * u32::from(byte[0]) / 255
}

fn member_not_found(key: &MemberKey) -> Error {
    Error::MemberNotFound {
        workspace_id: key.workspace_id.to_string(),
        member_id: key.member_id.to_string(),
    }
}
