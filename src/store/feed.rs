//! The feed: one counter, one event per change, committed with the change.
//!
//! The counter is a row that each mutation updates last. Whoever updates it holds it until commit, so the order of commits
//! is the order of revisions, and a rollback leaves no gap.

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement, Value};

use super::{
    Session, Tx,
    entity::{actor_column, feed_head},
    fault::Abort,
};
use crate::domain::{
    event::NewEvent,
    ids::{EventId, Revision},
    token::Origin,
};

const EVENT_VALUES: usize = 9;

/// One statement, so that the counter is held for no round trip but the commit's. The notice says only that there is
/// something to read; it is sent with the commit.
const APPEND_POSTGRES: &str = "\
    WITH head AS (\
        UPDATE feed_head SET revision = revision + 1, event_id = $1 WHERE id = 1 RETURNING revision\
    ), added AS (\
        INSERT INTO event \
            (event_id, at, kind, caller, actor, workspace_id, member_id, token_id, details, revision) \
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, head.revision FROM head \
        RETURNING revision\
    ) \
    SELECT revision, pg_notify('countersign_feed', '') FROM added";

/// SQLite has no data-changing expressions; inside `BEGIN IMMEDIATE` two statements are as good as one.
const ADVANCE_SQLITE: &str =
    "UPDATE feed_head SET revision = revision + 1, event_id = $1 WHERE id = 1 RETURNING revision";
const INSERT_SQLITE: &str = "\
    INSERT INTO event \
        (event_id, at, kind, caller, actor, workspace_id, member_id, token_id, details, revision) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    RETURNING revision";

impl<C: ConnectionTrait> Session<C> {
    /// The newest position.
    #[tracing::instrument(skip_all, name = "store.head")]
    pub async fn head(&self) -> Result<Revision, Abort> {
        let head = feed_head::Entity::find_by_id(feed_head::ONLY)
            .one(&self.db)
            .await?
            .ok_or_else(|| Abort::corrupt("the feed has no head".to_owned()))?;
        let head = head.try_into()?;
        self.saw_head(&head);
        Ok(head)
    }
}

impl Tx {
    /// Appends the event of this mutation. Must be the last statement before the commit.
    #[tracing::instrument(skip_all, name = "store.append_event")]
    pub(super) async fn append(
        &self,
        origin: &Origin,
        event: &NewEvent,
    ) -> Result<Revision, Abort> {
        let event_id = EventId::random()?;
        let details = serde_json::to_value(&event.details)
            .map_err(|error| Abort::corrupt(error.to_string()))?;
        let kind = details["kind"].as_str().unwrap_or_default().to_owned();
        let values: [Value; EVENT_VALUES] = [
            event_id.0.to_vec().into(),
            self.now.0.into(),
            kind.into(),
            origin.caller.to_string().into(),
            actor_column(origin.actor.as_ref()).into(),
            event.workspace_id.clone().into(),
            event.member_id.clone().into(),
            event.token_id.clone().into(),
            details.to_string().into(),
        ];
        let number = match self.backend() {
            DbBackend::Postgres => {
                self.returned_revision(APPEND_POSTGRES, values.into())
                    .await?
            }
            _ => {
                let advanced = vec![values[0].clone()];
                let number = self.returned_revision(ADVANCE_SQLITE, advanced).await?;
                let mut values = Vec::from(values);
                values.push(number.into());
                self.returned_revision(INSERT_SQLITE, values).await?
            }
        };
        Ok(Revision { number, event_id })
    }

    async fn returned_revision(&self, sql: &str, values: Vec<Value>) -> Result<i64, Abort> {
        let statement = Statement::from_sql_and_values(self.backend(), sql, values);
        let row = self.db.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Abort::corrupt("the feed has no head".to_owned()))?;
        Ok(row.try_get("", "revision")?)
    }
}
