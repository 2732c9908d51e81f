//! Dropping old events: only the oldest ones of the feed, a few at once, and how far is written down with it.
//!
//! An event is old when the one after it is: so nobody who had read all of the feed, at any time that is not too long ago,
//! finds the place gone at which to read on, and the newest event always stays. What is left of those that are dropped is their
//! names, eight bytes each: whoever names one is told from who names a change of another feed.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Statement, sea_query::Expr,
};

use super::{
    Session, Store,
    entity::{dropped_event, event, feed_tail},
    fault::{Abort, within},
    staleness,
};
use crate::domain::{
    error::Error,
    event::TrailStart,
    ids::{CallerName, Revision, RevisionName},
    time::{Timestamp, millis},
};

/// How many are dropped at once.
const BATCH: usize = 500;
/// How long the database may take for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// One statement: two would let an event go between them.
const FIND_START: &str = "\
    SELECT e.revision, e.event_id, e.at FROM feed_tail t JOIN event e ON e.revision = t.revision WHERE t.id = 1";

/// What was seen here of events that were dropped.
#[derive(Default)]
pub(super) struct Retained {
    /// The number of the oldest event that is kept.
    oldest: AtomicI64,
    /// How many were dropped from here.
    dropped: AtomicU64,
}

impl Retained {
    pub(super) fn oldest(&self) -> i64 {
        self.oldest.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What became of a position that somebody names.
pub enum Position {
    /// It is the feed's, and its event is there.
    Kept(Revision),
    /// It is the feed's. Its event was dropped.
    Dropped,
    /// It is not the feed's.
    Unknown,
}

/// What one go came to.
pub struct Dropped {
    /// How many events are gone.
    pub count: usize,
    /// Whether there may be more that are old.
    pub has_more: bool,
}

#[derive(FromQueryResult)]
struct Row {
    revision: i64,
    event_id: Vec<u8>,
    at: i64,
}

impl<C: ConnectionTrait> Session<C> {
    /// What became of the position with this name.
    #[tracing::instrument(skip_all, name = "store.find_position")]
    pub async fn find_position(&self, name: &RevisionName) -> Result<Position, Abort> {
        // In this order: an event that goes in between is found among the dropped ones.
        let kept = event::Entity::find_by_id(name.number).one(&self.db).await?;
        if let Some(row) = kept {
            let revision = event::revision(row.revision, &row.event_id)?;
            return Ok(match name.names(&revision) {
                true => Position::Kept(revision),
                false => Position::Unknown,
            });
        }
        let dropped = dropped_event::Entity::find()
            .filter(dropped_event::Column::FirstRevision.lte(name.number))
            .order_by_desc(dropped_event::Column::FirstRevision)
            .one(&self.db)
            .await?;
        Ok(match dropped.is_some_and(|dropped| dropped.has(name)) {
            true => Position::Dropped,
            false => Position::Unknown,
        })
    }
}

impl Store {
    /// Where the events begin that are kept.
    #[tracing::instrument(skip_all, name = "store.find_trail_start")]
    pub async fn find_trail_start(&self) -> Result<TrailStart, Abort> {
        let backend = self.read.get_database_backend();
        let statement = Statement::from_string(backend, FIND_START);
        let row = self.read.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Abort::corrupt("the feed has no beginning".to_owned()))?;
        let row = Row::from_query_result(&row, "")?;
        self.saw_oldest(row.revision);
        Ok(TrailStart {
            revision: event::revision(row.revision, &row.event_id)?,
            at: Timestamp(row.at),
        })
    }

    /// Drops the oldest events, as far as they and those after them are older than this, up to a few hundred of them. Safe
    /// from several places at once: where another one is at it, nothing is done.
    #[tracing::instrument(skip_all, name = "store.drop_events")]
    pub async fn drop_events(&self, retention: Duration) -> Result<Dropped, Error> {
        // As changes do, so that it keeps none of them from a connection.
        let _turn = self.turns.take(&CallerName::service_itself()).await?;
        let dropping = async {
            let tx = self.begin().await?;
            let now = self.clock.now();
            let Some((tail, cutoff)) = lock_tail(&tx, now, retention).await? else {
                return Ok((None, 0));
            };
            let old = find_old(&tx, tail, cutoff).await?;
            // The last one's successor is not old, or is not known to be.
            let Some((oldest, dropped)) = old.split_last().filter(|(_, old)| !old.is_empty())
            else {
                return Ok((Some(tail), 0));
            };
            drop_until(&tx, tail, oldest.number, dropped).await?;
            tx.commit().await?;
            Ok((Some(oldest.number), dropped.len()))
        };
        let (oldest, count) = within::<_, Abort>(PATIENCE, dropping).await?;
        if let Some(oldest) = oldest {
            self.saw_oldest(oldest);
        }
        self.retained
            .dropped
            .fetch_add(count as u64, Ordering::Relaxed);
        Ok(Dropped {
            count,
            has_more: count == BATCH,
        })
    }

    fn saw_oldest(&self, number: i64) {
        self.retained.oldest.store(number, Ordering::Relaxed);
    }
}

/// Where the feed begins, held until the transaction ends, and the instant before which events are old. None: another one
/// holds it.
///
/// By the clock of the server or the database, whichever is behind: one that is ahead must not drop what is young.
async fn lock_tail(
    tx: &DatabaseTransaction,
    now: Timestamp,
    retention: Duration,
) -> Result<Option<(i64, Timestamp)>, Abort> {
    let backend = tx.get_database_backend();
    let others = match backend {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    };
    let database_now = staleness::now(backend);
    let sql = format!("SELECT revision, {database_now} AS now FROM feed_tail WHERE id = 1{others}");
    let row = tx
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let now = now.min(Timestamp(row.try_get("", "now")?));
    let cutoff = Timestamp(now.0.saturating_sub(millis(retention)));
    Ok(Some((row.try_get("", "revision")?, cutoff)))
}

/// From the tail on, those that are old, up to the first that is not: one more than are dropped at once.
async fn find_old(
    tx: &DatabaseTransaction,
    tail: i64,
    cutoff: Timestamp,
) -> Result<Vec<Revision>, Abort> {
    let rows = event::Entity::find()
        .select_only()
        .columns([
            event::Column::Revision,
            event::Column::EventId,
            event::Column::At,
        ])
        .filter(event::Column::Revision.gte(tail))
        .order_by_asc(event::Column::Revision)
        .limit(BATCH as u64 + 1)
        .into_model::<Row>()
        .all(tx)
        .await?;
    let old = rows.iter().take_while(|row| row.at < cutoff.0);
    old.zip(tail..)
        .map(|(row, number)| match row.revision == number {
            true => event::revision(number, &row.event_id),
            false => Err(Abort::corrupt(format!("there is no event {number}"))),
        })
        .collect()
}

/// Drops all events before this one, which are these, from the tail on.
async fn drop_until(
    tx: &DatabaseTransaction,
    tail: i64,
    oldest: i64,
    dropped: &[Revision],
) -> Result<(), Abort> {
    let names = dropped.iter().map(RevisionName::of);
    let row = dropped_event::Model {
        first_revision: tail,
        names: names.flat_map(|name| name.start().to_vec()).collect(),
    };
    dropped_event::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    let deleted = event::Entity::delete_many()
        .filter(event::Column::Revision.gte(tail))
        .filter(event::Column::Revision.lt(oldest))
        .exec(tx)
        .await?;
    if deleted.rows_affected != dropped.len() as u64 {
        return Err(Abort::corrupt(format!("events from {tail} to {oldest}")));
    }
    feed_tail::Entity::update_many()
        .col_expr(feed_tail::Column::Revision, Expr::value(oldest))
        .filter(feed_tail::Column::Id.eq(feed_tail::ONLY))
        .exec(tx)
        .await?;
    Ok(())
}
