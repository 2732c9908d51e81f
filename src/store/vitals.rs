//! How the database is doing, told at any time without asking it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sea_orm::DatabaseConnection;

use super::{Store, retention::Retained};
use crate::domain::database_url::Backend;

/// Reads how the database is doing. Does not keep an embedded one locked, as a [`Store`] does.
pub struct Vitals {
    read: DatabaseConnection,
    write: DatabaseConnection,
    backend: Backend,
    head: Arc<AtomicI64>,
    retained: Arc<Retained>,
}

/// A pool of connections, at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolVitals {
    /// How many connections are open.
    pub open: usize,
    /// How many of these nobody uses.
    pub idle: usize,
}

impl Store {
    /// What tells how it is doing.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            read: self.read.clone(),
            write: self.write.clone(),
            backend: self.backend,
            head: Arc::clone(&self.head),
            retained: Arc::clone(&self.retained),
        }
    }
}

impl Vitals {
    /// The newest revision of the feed that was read or written here.
    pub fn head(&self) -> i64 {
        self.head.load(Ordering::Relaxed)
    }

    /// The oldest revision whose event is kept, as far as was seen here.
    pub fn tail(&self) -> i64 {
        self.retained.oldest()
    }

    /// How many events were dropped from here.
    pub fn dropped_events(&self) -> u64 {
        self.retained.dropped()
    }

    /// The pool of queries.
    pub fn read_pool(&self) -> PoolVitals {
        self.pool(&self.read)
    }

    /// The pool of mutations.
    pub fn write_pool(&self) -> PoolVitals {
        self.pool(&self.write)
    }

    fn pool(&self, connection: &DatabaseConnection) -> PoolVitals {
        // Both panic for the other kind, so the kind is asked first.
        let (open, idle) = match self.backend {
            Backend::Sqlite => {
                let pool = connection.get_sqlite_connection_pool();
                (pool.size(), pool.num_idle())
            }
            Backend::Postgres => {
                let pool = connection.get_postgres_connection_pool();
                (pool.size(), pool.num_idle())
            }
        };
        PoolVitals {
            open: usize::try_from(open).unwrap_or(usize::MAX),
            idle,
        }
    }
}
