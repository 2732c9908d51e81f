//! Whether what was prepared on a connection is still there at its next statement. A pooler in transaction mode that does not
//! keep track of prepared statements hands each transaction another session of the database's, and every statement of ours
//! is prepared: some would fail, and worse, some would run another one's.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait, Value,
};
use tokio::time::timeout;

use super::{StoreError, fault, pool::connect};
use crate::domain::database_url::DatabaseUrl;

/// With other numbers of values, so that one in the other's place is refused. The drivers of both connections call their
/// first statement the same.
const FIRST: &str = "SELECT CAST($1 AS bigint) AS told";
const SECOND: &str = "SELECT CAST($1 AS bigint) + CAST($2 AS bigint) AS told";
/// There is none of that name; there is one already; it takes another number of values.
const BROKEN: [&str; 3] = ["26000", "42P05", "08P01"];
/// Once for a pooler that hands out the session that was used last, and once more for one that takes turns.
const ROUNDS: usize = 2;
/// A pooler that has no session to spare keeps the probe waiting: nothing is shown then, and whoever uses it will see.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses a pooler that breaks prepared statements.
pub(super) async fn check(url: &DatabaseUrl) -> Result<(), StoreError> {
    let fault = |error| StoreError::Database(url.clone(), error);
    let [first, second] = [
        connect(url, 1).await.map_err(fault)?,
        connect(url, 1).await.map_err(fault)?,
    ];
    let Ok(outcome) = timeout(PATIENCE, interleave(&first, &second)).await else {
        return Ok(());
    };
    first.close().await.ok();
    second.close().await.ok();
    match outcome {
        Err(error) if is_broken(&error) => Err(StoreError::Pooler(url.clone())),
        outcome => outcome.map_err(fault),
    }
}

/// Has two clients run what each has prepared, at first one after the other, then while the other is in a transaction and
/// so keeps the session that it has.
async fn interleave(first: &DatabaseConnection, second: &DatabaseConnection) -> Result<(), DbErr> {
    run(first, FIRST, 1).await?;
    run(second, SECOND, 2).await?;
    for _ in 0..ROUNDS {
        let held = first.begin().await?;
        run(&held, FIRST, 1).await?;
        run(second, SECOND, 2).await?;
        held.commit().await?;
        let held = second.begin().await?;
        run(&held, SECOND, 2).await?;
        run(first, FIRST, 1).await?;
        held.commit().await?;
    }
    Ok(())
}

async fn run(db: &impl ConnectionTrait, sql: &str, values: i64) -> Result<(), DbErr> {
    let values = (0..values).map(Value::from);
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    db.query_one_raw(statement).await.map(drop)
}

fn is_broken(error: &DbErr) -> bool {
    fault::refusal(error).is_some_and(|code| BROKEN.contains(&code))
}
