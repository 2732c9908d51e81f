//! What ends a query or a mutation early: a refusal, or a fault of the database.

use std::time::Duration;

use sea_orm::{
    DbErr, RuntimeErr, SqlxError,
    sqlx::{
        error::DatabaseError,
        postgres::{PgDatabaseError, PgSeverity},
    },
};
use tokio::time::timeout;

use crate::domain::error::Error;

const SQLITE_BUSY: u32 = 5;
const SQLITE_CONSTRAINT: u32 = 19;

/// Why a query or a mutation did not come to its end.
pub enum Abort {
    /// The request cannot be carried out, for a reason its caller is told.
    Refused(Error),
    /// The database failed.
    Database(DbErr),
    /// Another transaction was first: run this one again.
    Raced,
    /// A stored value makes no sense.
    Corrupt(String),
    /// The database did not answer in time.
    Silent(Duration),
}

impl Abort {
    pub(super) fn corrupt(what: String) -> Self {
        Self::Corrupt(what)
    }

    /// Whether a read that ended so is worth one more try.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Database(error) if is_broken_connection(error))
    }

    /// Whether running the transaction again may succeed: Postgres reports a serialization failure or a deadlock, SQLite
    /// that it is busy.
    pub(super) fn is_worth_retrying(&self) -> bool {
        let error = match self {
            Self::Raced => return true,
            Self::Database(error) => error,
            Self::Refused(_) | Self::Corrupt(_) | Self::Silent(_) => return false,
        };
        answer(error).is_some_and(
            |answer| match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => matches!(answer.code(), "40001" | "40P01"),
                None => sqlite_code(answer) == Some(SQLITE_BUSY),
            },
        )
    }
}

/// Whether the connection broke: nothing came back, so a read may be tried on another one. After a restart of the database
/// the pool still holds connections that are gone.
fn is_broken_connection(error: &DbErr) -> bool {
    match cause(error) {
        Some(SqlxError::Io(_)) => true,
        // The server's last word to a session that it ended, which waited for whoever would use the connection next.
        Some(SqlxError::Database(answer)) => answer
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|answer| answer.severity() == PgSeverity::Fatal),
        _ => false,
    }
}

/// Whether it may be otherwise in a moment: the connection broke, or the database is ending or starting (the codes 57P..), or
/// has no session to spare (53300). A wrong password or name stays wrong.
pub(super) fn is_passing(error: &DbErr) -> bool {
    match cause(error) {
        // An end of the connection where the driver expects one word is told as a wrong word.
        Some(SqlxError::Io(_) | SqlxError::Protocol(_)) => true,
        Some(SqlxError::Database(answer)) => answer
            .code()
            .is_some_and(|code| code.starts_with("57P") || code == "53300"),
        _ => false,
    }
}

/// Whether a commit that ended so is known to have changed nothing. Only a plain refusal says so: whatever ends the session
/// or the server may come when the commit is on disk already, a pooler that lost the server says so in the server's
/// stead, and SQLite's log may hold a commit that it could not make sure of.
pub(super) fn is_rolled_back(error: &DbErr) -> bool {
    answer(error).is_some_and(
        |answer| match answer.try_downcast_ref::<PgDatabaseError>() {
            Some(answer) => {
                let is_unclear = answer.code().starts_with("08") || answer.code() == "40003";
                answer.severity() == PgSeverity::Error && !is_unclear
            }
            None => matches!(sqlite_code(answer), Some(SQLITE_BUSY | SQLITE_CONSTRAINT)),
        },
    )
}

/// What the database itself answered. None: the answer never came.
fn answer(error: &DbErr) -> Option<&dyn DatabaseError> {
    match cause(error) {
        Some(SqlxError::Database(answer)) => Some(&**answer),
        _ => None,
    }
}

/// What the driver says.
fn cause(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// The code with which Postgres refused a statement and went on. None: it was not refused, or the session was ended, which
/// a pooler does under codes of its own choice.
pub(super) fn refusal(error: &DbErr) -> Option<&str> {
    let answer = answer(error)?.try_downcast_ref::<PgDatabaseError>()?;
    (answer.severity() == PgSeverity::Error).then(|| answer.code())
}

/// SQLite's extended codes hold the primary one in their low byte.
fn sqlite_code(answer: &dyn DatabaseError) -> Option<u32> {
    let code = answer.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<DbErr> for Abort {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<getrandom::Error> for Abort {
    fn from(error: getrandom::Error) -> Self {
        Self::Corrupt(format!("the system's random generator failed: {error}"))
    }
}

/// Where a fault leaves the store: logged here, once, and by its `Display` alone, since the `Debug` of a database error
/// prints the values of keys.
impl From<Abort> for Error {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Refused(error) => error,
            Abort::Database(error) => {
                tracing::error!(error = %error, "the database failed");
                Self::Unavailable
            }
            Abort::Raced => {
                tracing::warn!("a mutation lost every race it ran");
                Self::Unavailable
            }
            Abort::Silent(patience) => {
                tracing::error!("the database did not answer within {patience:?}");
                Self::Unavailable
            }
            Abort::Corrupt(what) => {
                tracing::error!(error = %what, "a stored value makes no sense");
                Self::Unavailable
            }
        }
    }
}

/// What comes of asking the database, or that it was silent for too long.
pub async fn within<T, E: From<Abort>>(
    patience: Duration,
    ask: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(patience, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(Abort::Silent(patience).into()),
    }
}
