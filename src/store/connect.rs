//! Opening the database: connections, the embedded one's lock, pending migrations.

use std::{io, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use sea_orm_migration::MigratorTrait;

use super::{
    Abort, Session, Store,
    background::Background,
    fault::is_passing,
    lock::FileLock,
    migration::Migrator,
    pool::{connect, pool},
    probe, staleness,
    turns::Turns,
};
use crate::domain::{
    database_url::{Backend, DatabaseUrl},
    pepper::PepperRing,
    time::Clock,
};

/// Of queries. Together with those of the view, README tells operators how many a server has.
pub(super) const READERS: u32 = 5;
/// Of mutations: a pool of their own, so that nobody who reads waits behind those that wait for locks. An embedded database
/// has one writer at a time.
const POSTGRES_WRITERS: u32 = 10;
const SQLITE_WRITERS: u32 = 1;
/// The key of the advisory lock under which migrations run: `csn_migr` in ASCII.
const MIGRATION_LOCK: i64 = 0x6373_6e5f_6d69_6772;

/// Why the database could not be opened. Displays as a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server process has the embedded database.
    #[error("the database `{0}` is in use by another process: an embedded database serves one")]
    InUse(DatabaseUrl),
    /// Its lock file cannot be made.
    #[error("the database `{0}` cannot be locked: {1}")]
    Lock(DatabaseUrl, io::Error),
    /// Migrations are pending.
    #[error("the database `{0}` lacks migrations: run `countersign migrate` first ({missing})", missing = .1.join(", "))]
    Pending(DatabaseUrl, Vec<String>),
    /// A pooler breaks prepared statements.
    #[error(
        "the database `{0}` is reached through a pooler that loses prepared statements: run the pooler in session mode, or \
         use one that keeps them in transaction mode too (PgBouncer does from 1.21 on, with `max_prepared_statements`); \
         `database_direct_url` does not help, it is for migrations and for following changes only"
    )]
    Pooler(DatabaseUrl),
    /// Live tokens hang on a pepper that is not in the ring.
    #[error(
        "{live} live tokens hang on the pepper `{pepper_id}`, which is not in the ring: add it back"
    )]
    PepperMissing {
        /// The pepper.
        pepper_id: String,
        /// How many.
        live: i64,
    },
    /// A pepper in use would get another key under its id.
    #[error("the pepper `{0}` has another key than the running one: give a new pepper a new id")]
    PepperChanged(String),
    /// The system has no threads for what is done with it.
    #[error("threads for work with the database cannot be started: {0}")]
    Threads(io::Error),
    /// The database failed while it was open.
    #[error("the database failed: {0}")]
    Unreadable(DbErr),
    /// The database failed.
    #[error("the database `{0}` failed: {1}")]
    Database(DatabaseUrl, DbErr),
}

impl StoreError {
    /// Whether it may be otherwise in a moment, as it is when the database is restarted.
    pub fn passes(&self) -> bool {
        match self {
            Self::Database(_, error) | Self::Unreadable(error) => is_passing(error),
            _ => false,
        }
    }
}

impl Store {
    /// Opens the database to serve from it. An embedded one is locked, created when missing, and migrated; Postgres must
    /// have been migrated. Migrations that only a newer version knows are accepted, so that a rollback can start.
    pub async fn open(
        url: &DatabaseUrl,
        ring: &PepperRing,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let fault = |error| StoreError::Database(url.clone(), error);
        let writers = match url.backend() {
            Backend::Sqlite => SQLITE_WRITERS,
            Backend::Postgres => POSTGRES_WRITERS,
        };
        let (read, write, lock) = match url.backend() {
            Backend::Sqlite => {
                let lock = lock(url)?;
                let write = pool(url, writers).await.map_err(fault)?;
                Migrator::up(&write, None).await.map_err(fault)?;
                let read = pool(url, READERS).await.map_err(fault)?;
                (read, write, lock)
            }
            Backend::Postgres => {
                // First of all: whatever else fails through such a pooler says nothing of it.
                probe::check(url).await?;
                let read = pool(url, READERS).await.map_err(fault)?;
                let pending = Migrator::pending(&read).await.map_err(fault)?;
                if !pending.is_empty() {
                    return Err(StoreError::Pending(url.clone(), pending));
                }
                let write = pool(url, writers).await.map_err(fault)?;
                (read, write, None)
            }
        };
        let store = Self {
            read,
            write,
            backend: url.backend(),
            clock,
            turns: Arc::new(Turns::new(usize::try_from(writers).unwrap_or(1))),
            head: Arc::default(),
            retained: Arc::default(),
            background: Arc::new(Background::start().map_err(StoreError::Threads)?),
            observer: None,
            on_outcome: None,
            on_statement: None,
            _lock: lock,
        };
        store.check_peppers(ring).await?;
        // So that the newest and the oldest revision are known from the start.
        let ends = async {
            store.read().head().await?;
            store.find_trail_start().await
        };
        match ends.await {
            Err(Abort::Database(error)) => Err(fault(error)),
            Ok(_) | Err(_) => Ok(store),
        }
    }

    /// Refuses a ring without a pepper on which live tokens hang: they could not be verified any more.
    pub async fn check_peppers(&self, ring: &PepperRing) -> Result<(), StoreError> {
        let ids: Vec<&str> = ring.ids().collect();
        let session = self.read();
        let counts = session.count_live_by_pepper(self.clock.now(), &ids);
        let counts = counts.await.map_err(StoreError::Unreadable)?;
        match counts.into_iter().next() {
            Some((pepper_id, live)) => Err(StoreError::PepperMissing { pepper_id, live }),
            None => Ok(()),
        }
    }
}

/// Applies the pending migrations and names them. Safe to run from several places at once: on Postgres under an advisory
/// lock, on an embedded database under its file lock.
pub async fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, StoreError> {
    let fault = |error| StoreError::Database(url.clone(), error);
    let _lock = match url.backend() {
        Backend::Sqlite => lock(url)?,
        Backend::Postgres => None,
    };
    // One connection: the advisory lock belongs to the session that took it.
    let db = connect(url, 1).await.map_err(fault)?;
    if url.backend() == Backend::Postgres {
        advisory(&db, "SELECT pg_advisory_lock($1)")
            .await
            .map_err(fault)?;
    }
    let pending = Migrator::pending(&db).await.map_err(fault)?;
    Migrator::up(&db, None).await.map_err(fault)?;
    if url.backend() == Backend::Postgres {
        advisory(&db, "SELECT pg_advisory_unlock($1)")
            .await
            .map_err(fault)?;
    }
    db.close().await.map_err(fault)?;
    Ok(pending)
}

/// Has all replicas keep to this bound.
pub async fn set_staleness_bound(url: &DatabaseUrl, bound: Duration) -> Result<(), StoreError> {
    let fault = |error| StoreError::Database(url.clone(), error);
    let _lock = match url.backend() {
        Backend::Sqlite => lock(url)?,
        Backend::Postgres => None,
    };
    let db = connect(url, 1).await.map_err(fault)?;
    staleness::write(&db, bound).await.map_err(fault)?;
    db.close().await.map_err(fault)
}

/// Names the pending migrations and changes nothing.
pub async fn pending_migrations(url: &DatabaseUrl) -> Result<Vec<String>, StoreError> {
    let fault = |error| StoreError::Database(url.clone(), error);
    let is_missing = url.sqlite_path().is_some_and(|path| !path.exists());
    if is_missing {
        return Ok(Migrator::migrations()
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect());
    }
    let db = connect(url, 1).await.map_err(fault)?;
    Migrator::pending(&db).await.map_err(fault)
}

/// How many live tokens hang on each pepper. Reads only, so it needs no lock.
pub async fn live_tokens_by_pepper(
    url: &DatabaseUrl,
    clock: &Clock,
) -> Result<Vec<(String, i64)>, StoreError> {
    let fault = |error| StoreError::Database(url.clone(), error);
    let pending = pending_migrations(url).await?;
    if !pending.is_empty() {
        return Err(StoreError::Pending(url.clone(), pending));
    }
    let db = connect(url, 1).await.map_err(fault)?;
    let session = Session {
        db,
        head: Arc::default(),
    };
    session
        .count_live_by_pepper(clock.now(), &[])
        .await
        .map_err(fault)
}

fn lock(url: &DatabaseUrl) -> Result<Option<FileLock>, StoreError> {
    let Some(path) = url.sqlite_path() else {
        return Ok(None);
    };
    match FileLock::acquire(&path) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(StoreError::InUse(url.clone())),
        Err(error) => Err(StoreError::Lock(url.clone(), error)),
    }
}

async fn advisory(db: &DatabaseConnection, sql: &str) -> Result<(), DbErr> {
    let statement =
        Statement::from_sql_and_values(DbBackend::Postgres, sql, [MIGRATION_LOCK.into()]);
    db.query_one_raw(statement).await.map(|_| ())
}
