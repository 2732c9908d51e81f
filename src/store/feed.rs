//! The feed: one counter, one event per change, committed with the change.
//!
//! The counter is a row that each mutation updates last. Whoever updates it holds it until commit, so the order of commits
//! is the order of revisions, and a rollback leaves no gap. A change of several things has an event for each, one after the
//! other.

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement, Value};
use serde_json::json;

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

/// The same for several events, which come as an array of objects: one statement however many.
const APPEND_ALL_POSTGRES: &str = "\
    WITH head AS (\
        UPDATE feed_head SET revision = revision + $1, event_id = $2 WHERE id = 1 RETURNING revision\
    ), added AS (\
        INSERT INTO event \
            (event_id, at, kind, caller, actor, workspace_id, member_id, token_id, details, revision) \
        SELECT decode(one ->> 'event_id', 'hex'), $3, one ->> 'kind', $4, $5, one ->> 'workspace_id', \
            one ->> 'member_id', one ->> 'token_id', one ->> 'details', head.revision - $1 + place \
        FROM head, jsonb_array_elements($6::jsonb) WITH ORDINALITY AS listed (one, place)\
    ) \
    SELECT head.revision, pg_notify('countersign_feed', '') FROM head";

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

/// An event, with what its row holds beside what is the same for all of its mutation.
struct Row<'a> {
    event_id: EventId,
    kind: String,
    details: String,
    event: &'a NewEvent,
}

impl<'a> Row<'a> {
    fn of(event: &'a NewEvent) -> Result<Self, Abort> {
        let details = serde_json::to_value(&event.details)
            .map_err(|error| Abort::corrupt(error.to_string()))?;
        Ok(Self {
            event_id: EventId::random()?,
            kind: details["kind"].as_str().unwrap_or_default().to_owned(),
            details: details.to_string(),
            event,
        })
    }
}

impl Tx {
    /// Appends the events of this mutation, and answers the position of the last. Must be the last statement before the
    /// commit.
    #[tracing::instrument(skip_all, name = "store.append_event")]
    pub(super) async fn append(
        &self,
        origin: &Origin,
        events: &[NewEvent],
    ) -> Result<Revision, Abort> {
        let rows: Vec<Row<'_>> = events.iter().map(Row::of).collect::<Result<_, _>>()?;
        let last = rows.last();
        let last = last.ok_or_else(|| Abort::corrupt("a change without an event".to_owned()))?;
        let number = match (self.backend(), rows.len()) {
            (DbBackend::Postgres, 1) => {
                let values = self.values(origin, last);
                self.returned_revision(APPEND_POSTGRES, values).await?
            }
            (DbBackend::Postgres, _) => self.append_all(origin, &rows, last).await?,
            _ => {
                let mut number = 0;
                for row in &rows {
                    let advanced = vec![row.event_id.0.to_vec().into()];
                    number = self.returned_revision(ADVANCE_SQLITE, advanced).await?;
                    let mut values = self.values(origin, row);
                    values.push(number.into());
                    self.returned_revision(INSERT_SQLITE, values).await?;
                }
                number
            }
        };
        Ok(Revision {
            number,
            event_id: last.event_id,
        })
    }

    async fn append_all(
        &self,
        origin: &Origin,
        rows: &[Row<'_>],
        last: &Row<'_>,
    ) -> Result<i64, Abort> {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let object = |row: &Row<'_>| {
            json!({
                "event_id": row.event_id.to_string(),
                "kind": row.kind,
                "workspace_id": row.event.workspace_id,
                "member_id": row.event.member_id,
                "token_id": row.event.token_id,
                "details": row.details,
            })
        };
        let rows = serde_json::Value::Array(rows.iter().map(object).collect());
        let values = vec![
            count.into(),
            last.event_id.0.to_vec().into(),
            self.now.0.into(),
            origin.caller.to_string().into(),
            actor_column(origin.actor.as_ref()).into(),
            rows.to_string().into(),
        ];
        self.returned_revision(APPEND_ALL_POSTGRES, values).await
    }

    fn values(&self, origin: &Origin, row: &Row<'_>) -> Vec<Value> {
        vec![
            row.event_id.0.to_vec().into(),
            self.now.0.into(),
            row.kind.clone().into(),
            origin.caller.to_string().into(),
            actor_column(origin.actor.as_ref()).into(),
            row.event.workspace_id.clone().into(),
            row.event.member_id.clone().into(),
            row.event.token_id.clone().into(),
            row.details.clone().into(),
        ]
    }

    async fn returned_revision(&self, sql: &str, values: Vec<Value>) -> Result<i64, Abort> {
        let statement = Statement::from_sql_and_values(self.backend(), sql, values);
        let row = self.db.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Abort::corrupt("the feed has no head".to_owned()))?;
        Ok(row.try_get("", "revision")?)
    }
}
