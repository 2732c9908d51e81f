//! Requests that were made under an id of their caller's: remembered with the change that they made, in its transaction,
//! and forgotten after a day.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, Statement,
    sea_query::OnConflict,
};

use super::{Store, Tx, entity::request, fault::Abort};
use crate::domain::{
    error::Error,
    ids::{CallerName, RequestId, TokenId},
    request::{ContentDigest, MEMORY},
    time::{Timestamp, millis},
};

/// How many are forgotten at once.
const BATCH: u64 = 500;

/// A request as it is remembered.
pub struct PastRequest {
    /// What was asked for.
    pub content: ContentDigest,
    /// The token that it came to, if to any.
    pub token_id: Option<TokenId>,
}

impl Tx {
    /// The request that the caller made under this id, unless that is a day ago.
    #[tracing::instrument(skip_all, name = "store.find_request")]
    pub async fn find_request(
        &self,
        caller: &CallerName,
        id: &RequestId,
    ) -> Result<Option<PastRequest>, Abort> {
        let key = (caller.to_string(), id.to_string());
        let row = request::Entity::find_by_id(key).one(&self.db).await?;
        let row = row.filter(|row| row.created_at > forgotten(self.now));
        row.map(TryInto::try_into).transpose()
    }

    /// Remembers a request. If by now the caller has made one under this id, the mutation is run again. The last statement
    /// but for the feed's: whoever makes the same request meanwhile waits here.
    #[tracing::instrument(skip_all, name = "store.insert_request")]
    pub async fn insert_request(
        &self,
        caller: &CallerName,
        id: &RequestId,
        past: PastRequest,
    ) -> Result<(), Abort> {
        let row = request::Model {
            caller: caller.to_string(),
            request_id: id.to_string(),
            content: past.content.0.to_vec(),
            token_id: past.token_id.map(|id| id.to_string()),
            created_at: self.now.0,
        };
        let unless_remembered =
            OnConflict::columns([request::Column::Caller, request::Column::RequestId])
                .update_columns([
                    request::Column::Content,
                    request::Column::TokenId,
                    request::Column::CreatedAt,
                ])
                .action_and_where(request::Column::CreatedAt.lte(forgotten(self.now)))
                .to_owned();
        let inserted = request::Entity::insert(row.into_active_model())
            .on_conflict(unless_remembered)
            .exec_without_returning(&self.db)
            .await?;
        match inserted {
            0 => Err(Abort::Raced),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Forgets every request of more than a day ago, a few at once, so that nobody waits for long.
    #[tracing::instrument(skip_all, name = "store.forget_requests")]
    pub async fn forget_requests(&self, now: Timestamp) -> Result<(), Error> {
        let backend = self.write.get_database_backend();
        // Two who forget at once do not wait for each other.
        let others = match backend {
            DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let sql = format!(
            "DELETE FROM request WHERE (caller, request_id) IN \
             (SELECT caller, request_id FROM request WHERE created_at <= $1 LIMIT {BATCH}{others})"
        );
        loop {
            let values = [forgotten(now).into()];
            let statement = Statement::from_sql_and_values(backend, &sql, values);
            let deleted = self.write.execute_raw(statement).await;
            if deleted.map_err(Abort::from)?.rows_affected() < BATCH {
                return Ok(());
            }
        }
    }
}

/// What was made then, or before, is remembered no longer.
fn forgotten(now: Timestamp) -> i64 {
    now.0.saturating_sub(millis(MEMORY))
}
