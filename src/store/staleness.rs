//! How old a replica's view may be: one row, so that all replicas agree and whoever waits for them knows how long.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::{Session, Store, StoreError, fault::Abort};
use crate::domain::time::millis;

/// The database's clock, in milliseconds.
const NOW_POSTGRES: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const NOW_SQLITE: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
/// For how long a lowered bound may still be unknown to somebody: whoever has not read the feed since then decides
/// nothing, so the longest bound there is.
const SETTLING_MILLIS: i64 = 30_000;

pub(super) async fn write(db: &DatabaseConnection, bound: Duration) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let now = now(backend);
    let sql = format!(
        "UPDATE staleness_bound SET previous_millis = millis, millis = $1, changed_at = {now} \
         WHERE id = 1 AND millis <> $1"
    );
    let statement = Statement::from_sql_and_values(backend, sql, [millis(bound).into()]);
    db.execute_raw(statement).await.map(drop)
}

impl Store {
    /// Has whoever uses this database keep to this bound: for an embedded one, which its only server migrates.
    pub async fn set_staleness_bound(&self, bound: Duration) -> Result<(), StoreError> {
        write(&self.write, bound)
            .await
            .map_err(StoreError::Unreadable)
    }
}

impl<C: ConnectionTrait> Session<C> {
    /// How old a view may be that anybody still decides from.
    #[tracing::instrument(skip_all, name = "store.longest_staleness")]
    pub async fn longest_staleness(&self) -> Result<Duration, Abort> {
        let now = now(self.backend());
        let sql = format!(
            "SELECT CASE WHEN changed_at > {now} - {SETTLING_MILLIS} AND previous_millis > millis \
             THEN previous_millis ELSE millis END AS millis FROM staleness_bound WHERE id = 1"
        );
        let statement = Statement::from_string(self.backend(), sql);
        let row = self.db.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Abort::corrupt("there is no staleness bound".to_owned()))?;
        let millis: i64 = row.try_get("", "millis")?;
        Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }
}

pub(super) fn now(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => NOW_POSTGRES,
        _ => NOW_SQLITE,
    }
}
