//! Reading the feed as a replica follows it, and the notices that there is something to read.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DbBackend, FromQueryResult, QueryResult, Statement, sqlx::postgres::PgListener,
};

use super::{Session, entity::event::revision, fault::Abort};
use crate::domain::{
    database_url::{Backend, DatabaseUrl},
    error::Error,
    event::Subject,
    ids::Revision,
    time::Timestamp,
};

/// How many changes are read at once.
const PAGE: i64 = 2000;
/// The channel of the notices.
const CHANNEL: &str = "countersign_feed";
/// How long to wait before a lost connection for notices is opened again.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// The head, the bound and the changes are of one instant, since they are of one statement.
const READ_POSTGRES: &str = "\
    SELECT h.revision AS h_revision, h.event_id AS h_event_id, b.millis AS bound, \
        pg_is_in_recovery() AS in_recovery, \
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, \
        e.revision, e.event_id, e.workspace_id, e.member_id, e.token_id \
    FROM feed_head h \
    JOIN staleness_bound b ON b.id = h.id \
    LEFT JOIN ( \
        SELECT revision, event_id, workspace_id, member_id, token_id FROM event \
        WHERE revision >= COALESCE($1, (SELECT revision FROM feed_head WHERE id = 1)) \
        ORDER BY revision LIMIT $2 \
    ) e ON true \
    WHERE h.id = 1 ORDER BY e.revision";
const READ_SQLITE: &str = "\
    SELECT h.revision AS h_revision, h.event_id AS h_event_id, b.millis AS bound, \
        false AS in_recovery, CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now, \
        e.revision, e.event_id, e.workspace_id, e.member_id, e.token_id \
    FROM feed_head h \
    JOIN staleness_bound b ON b.id = h.id \
    LEFT JOIN ( \
        SELECT revision, event_id, workspace_id, member_id, token_id FROM event \
        WHERE revision >= COALESCE($1, (SELECT revision FROM feed_head WHERE id = 1)) \
        ORDER BY revision LIMIT $2 \
    ) e ON true \
    WHERE h.id = 1 ORDER BY e.revision";

/// What one reading of the feed told.
pub struct FeedRead {
    /// The newest position there was.
    pub head: Revision,
    /// How old a view may be, for all replicas.
    pub bound: Duration,
    /// What time the database had.
    pub database_now: Timestamp,
    /// The changes from the cursor on, the cursor's own first. Not all where there are very many.
    pub events: Vec<FeedEvent>,
}

/// As much of a change as a replica needs.
pub struct FeedEvent {
    /// Its position.
    pub revision: Revision,
    /// What it is about.
    pub subject: Subject,
}

#[derive(FromQueryResult)]
struct Row {
    revision: i64,
    event_id: Vec<u8>,
    workspace_id: String,
    member_id: Option<String>,
    token_id: Option<String>,
}

impl<C: ConnectionTrait> Session<C> {
    /// Reads on from a position; from the head where there is none yet. Refuses the answer of a server that replays
    /// another's log, which may be old.
    #[tracing::instrument(skip_all, name = "store.read_feed_after")]
    pub async fn read_feed_after(&self, cursor: Option<&Revision>) -> Result<FeedRead, Abort> {
        let sql = match self.backend() {
            DbBackend::Postgres => READ_POSTGRES,
            _ => READ_SQLITE,
        };
        let from = cursor.map(|cursor| cursor.number);
        let values = [from.into(), PAGE.into()];
        let statement = Statement::from_sql_and_values(self.backend(), sql, values);
        let rows = self.db.query_all_raw(statement).await?;
        let first = rows
            .first()
            .ok_or_else(|| Abort::corrupt("the feed has no head".to_owned()))?;
        if first.try_get("", "in_recovery")? {
            tracing::error!("the database is a standby, whose feed may be old");
            return Err(Error::Unavailable.into());
        }
        let head_id: Vec<u8> = first.try_get("", "h_event_id")?;
        let head = revision(first.try_get("", "h_revision")?, &head_id)?;
        self.saw_head(&head);
        let bound: i64 = first.try_get("", "bound")?;
        Ok(FeedRead {
            head,
            bound: Duration::from_millis(u64::try_from(bound).unwrap_or(0)),
            database_now: Timestamp(first.try_get("", "now")?),
            events: events(&rows)?,
        })
    }
}

/// None where the one row stands for none.
fn events(rows: &[QueryResult]) -> Result<Vec<FeedEvent>, Abort> {
    let rows = rows.iter().filter_map(|row| {
        let row = Row::from_query_result_optional(row, "").transpose()?;
        Some(row.map_err(Abort::from))
    });
    let event = |row: Result<Row, Abort>| {
        let row = row?;
        Ok(FeedEvent {
            revision: revision(row.revision, &row.event_id)?,
            subject: Subject {
                workspace_id: row.workspace_id,
                member_id: row.member_id,
                token_id: row.token_id,
            },
        })
    };
    rows.map(event).collect()
}

/// Calls back whenever the database says that there is something to read, and when notices may have been lost. Goes on
/// until it is dropped; an embedded database never says anything.
pub async fn listen(url: DatabaseUrl, nudge: impl Fn()) {
    if url.backend() != Backend::Postgres {
        return std::future::pending().await;
    }
    let mut was_lost = false;
    loop {
        let error = hear(&url, &nudge).await;
        if !std::mem::replace(&mut was_lost, true) {
            tracing::warn!(error = %error, "notices of changes are lost: polling finds them, later");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}

async fn hear(url: &DatabaseUrl, nudge: &impl Fn()) -> sea_orm::SqlxError {
    let mut listener = match PgListener::connect(url.expose()).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    if let Err(error) = listener.listen(CHANNEL).await {
        return error;
    }
    loop {
        nudge();
        match listener.try_recv().await {
            Ok(Some(_)) => {}
            // The connection was lost, and with it what came meanwhile: it is opened again by the next call.
            Ok(None) => {}
            Err(error) => return error,
        }
    }
}
