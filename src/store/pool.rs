//! Connections to the database, one or a pool of them.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{
        Connection, Executor, PgConnection,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::time::timeout;

use super::embedded;
use crate::domain::database_url::{Backend, DatabaseUrl};

/// How long a request waits for a connection before it is answered that it cannot be carried out now.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection of the pool that is older is not used again: after a failover it may lead to what is now a standby.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A connection idle for longer is asked whether it still works before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);
/// How long that may take it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many pages are in the log of an embedded database before it is copied into the file by whoever commits. A thousand,
/// as SQLite itself has it, take milliseconds, for which a decision may wait: no system takes a processor away at once.
const CHECKPOINT_PAGES: &str = "200";

/// A connection for whoever sees to it that its other end answers.
pub(super) async fn connect(
    url: &DatabaseUrl,
    connections: u32,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = options(url, connections);
    options.test_before_acquire_if_idle_for(TRUSTED_IDLE);
    Database::connect(options).await.map_err(without_address)
}

/// The same for one that only ever reads a few rows by their keys.
///
/// PostgreSQL keeps the plans of statements. One that was made while a table was known to be empty reads all of the table,
/// and is kept until somebody analyzes that anew: by then it may hold as many rows as there are tokens. So here it is not
/// read that way where there is an index, whatever is known of it.
pub(super) async fn connect_for_keys(url: &DatabaseUrl) -> Result<DatabaseConnection, DbErr> {
    let mut options = options(url, 1);
    options
        .test_before_acquire_if_idle_for(TRUSTED_IDLE)
        .map_sqlx_postgres_pool_opts(|pool| {
            pool.after_connect(|connection, _| {
                Box::pin(async move {
                    let done = connection.execute("SET enable_seqscan = off").await;
                    done.map(|_| ())
                })
            })
        });
    Database::connect(options).await.map_err(without_address)
}

/// A pool from which connections go whose other end has gone silent. The driver's own question whether one still works,
/// which it asks whenever somebody gives one back, waits for the answer for ever.
pub(super) async fn pool(url: &DatabaseUrl, connections: u32) -> Result<DatabaseConnection, DbErr> {
    if url.backend() == Backend::Sqlite {
        return connect(url, connections).await;
    }
    let mut options = options(url, connections);
    options
        .test_before_acquire(false)
        .map_sqlx_postgres_before_acquire(|connection, used| {
            Box::pin(async move {
                let is_trusted = used.idle_for < TRUSTED_IDLE;
                Ok(used.age < LIFETIME && (is_trusted || answers(connection).await))
            })
        })
        .map_sqlx_postgres_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move { Ok(answers(connection).await) })
            })
        });
    Database::connect(options).await.map_err(without_address)
}

/// Whether a connection has ended what it was used for and still works.
async fn answers(connection: &mut PgConnection) -> bool {
    let answer = timeout(ANSWER_TIMEOUT, connection.ping()).await;
    answer.is_ok_and(|answer| answer.is_ok())
}

fn options(url: &DatabaseUrl, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.expose());
    options
        .max_connections(connections)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // With either the driver's pool looks for old connections by itself, as often as it has counted idle ones. The first
        // look is at its start, and where another thread takes a connection before it is counted, the count is for a moment
        // one less than none: then the look never ends, and a thread of the server's with it.
        .idle_timeout(None)
        .max_lifetime(None)
        // Statements are never logged: their values are names, and their errors are logged once elsewhere.
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // With WAL, anything less may lose acknowledged commits when the power fails.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(ACQUIRE_TIMEOUT)
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                .thread_name(embedded::thread_name)
        })
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_connect(|_, _| {
                Box::pin(async {
                    embedded::yield_processors();
                    Ok(())
                })
            })
        });
    options
}

/// What sea-orm itself says of an address it cannot use quotes it, password and all.
fn without_address(error: DbErr) -> DbErr {
    match error {
        DbErr::Conn(RuntimeErr::Internal(_)) => {
            let told = "the address is malformed".to_owned();
            DbErr::Conn(RuntimeErr::Internal(told))
        }
        error => error,
    }
}
