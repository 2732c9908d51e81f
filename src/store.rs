//! Everything that is kept: entities, migrations, queries, the one way to change anything, and the feed of changes.
//!
//! Rows become domain types here and nowhere else, and no error of the database leaves this module: it is logged once, by
//! its `Display` alone, and becomes [`Error::Unavailable`].

mod background;
mod connect;
mod directory;
mod embedded;
mod entity;
mod events;
mod fault;
mod feed;
mod follow;
mod line;
mod lock;
mod migration;
mod mutate;
mod pool;
mod probe;
mod requests;
mod retention;
mod staleness;
mod tokens;
mod turns;
mod uses;
mod vitals;

pub use background::Background;
pub use connect::{
    StoreError, live_tokens_by_pepper, migrate, pending_migrations, set_staleness_bound,
};
pub use events::EventFilter;
pub use fault::{Abort, within};
pub use follow::{FeedEvent, FeedRead, listen};
pub use line::Line;
pub use mutate::{Change, Done, Mutation};
pub use requests::PastRequest;
pub use retention::{Dropped, Position};
pub use sea_orm::ConnectionTrait as Connection;
pub use tokens::{DueToken, NewToken, Presentation, Room, TokenFilter};
pub use vitals::{PoolVitals, Vitals};

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sea_orm::{DatabaseConnection, DatabaseTransaction};

use crate::domain::{
    database_url::Backend,
    error::Error,
    event::{Details, NewEvent},
    ids::Revision,
    time::{Clock, Timestamp},
};

/// The database, open.
#[derive(Clone)]
pub struct Store {
    read: DatabaseConnection,
    /// A pool of its own. On SQLite a pool of one: writers queue for it in order.
    write: DatabaseConnection,
    backend: Backend,
    clock: Clock,
    /// Of mutations, each of which has one until its end.
    turns: Arc<turns::Turns>,
    /// The newest revision that was read or written here.
    head: Arc<AtomicI64>,
    retained: Arc<retention::Retained>,
    background: Arc<Background>,
    /// Called with each change that was committed.
    observer: Option<Observer>,
    /// Called with each change that was or may have been made, before its caller is told.
    on_outcome: Option<OutcomeObserver>,
    on_statement: Option<StatementObserver>,
    /// Keeps a second server process away from an embedded database for as long as any clone of the store lives.
    _lock: Option<lock::FileLock>,
}

type Observer = Arc<dyn Fn(&Details) + Send + Sync>;
type OutcomeObserver = Arc<dyn Fn(&NewEvent, Option<Revision>) + Send + Sync>;
type StatementObserver = Arc<dyn Fn(&str) + Send + Sync>;

/// Queries, over a connection pool or inside a transaction.
pub struct Session<C> {
    db: C,
    head: Arc<AtomicI64>,
}

/// A mutation's transaction.
pub struct Tx {
    session: Session<DatabaseTransaction>,
    now: Timestamp,
}

impl Store {
    /// Queries outside any mutation.
    pub fn read(&self) -> Session<DatabaseConnection> {
        Session {
            db: self.read.clone(),
            head: Arc::clone(&self.head),
        }
    }

    /// Threads for whatever waits for the database.
    pub fn background(&self) -> &Arc<Background> {
        &self.background
    }

    /// Calls back with every change that is committed from now on, once and after the commit: never for one that was
    /// rolled back or changed nothing.
    pub fn on_commit(&mut self, observer: impl Fn(&Details) + Send + Sync + 'static) {
        self.observer = Some(Arc::new(observer));
    }

    /// Calls back with every change from now on, before its caller is told, with its position; without one where it may
    /// have been made or not. Never for one that is known to have been rolled back.
    pub fn on_outcome(
        &mut self,
        observer: impl Fn(&NewEvent, Option<Revision>) + Send + Sync + 'static,
    ) {
        self.on_outcome = Some(Arc::new(observer));
    }

    /// The newest position of the feed.
    pub async fn head(&self) -> Result<Revision, Error> {
        Ok(self.read().head().await?)
    }

    /// Closes the connections; an embedded database is left in one file. To be called when nothing uses it any more.
    pub async fn close(self) {
        for pool in [self.read, self.write] {
            if let Err(error) = pool.close().await {
                tracing::warn!(error = %error, "the database was not closed cleanly");
            }
        }
    }

    /// Calls back with every statement that is run from now on, for tests that count them.
    pub fn on_statement(&mut self, callback: impl Fn(&str) + Send + Sync + 'static) {
        let callback: StatementObserver = Arc::new(callback);
        for pool in [&mut self.read, &mut self.write] {
            let callback = Arc::clone(&callback);
            pool.set_metric_callback(move |info| callback(&info.statement.sql));
        }
        self.on_statement = Some(callback);
    }
}

impl Tx {
    /// The instant at which the mutation takes place.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

/// A transaction answers every query that a pool does.
impl std::ops::Deref for Tx {
    type Target = Session<DatabaseTransaction>;

    fn deref(&self) -> &Self::Target {
        &self.session
    }
}

impl<C> Session<C> {
    /// Remembers that the feed's head was seen here.
    fn saw_head(&self, head: &Revision) {
        self.head.store(head.number, Ordering::Relaxed);
    }
}

impl<C: Connection> Session<C> {
    fn backend(&self) -> sea_orm::DbBackend {
        self.db.get_database_backend()
    }
}
