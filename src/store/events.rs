//! Reading the audit trail.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Session, entity::event, fault::Abort};
use crate::domain::{
    event::Event,
    ids::{Revision, WorkspaceId},
};

impl<C: ConnectionTrait> Session<C> {
    /// The change at this position of the feed.
    #[tracing::instrument(skip_all, name = "store.find_revision")]
    pub async fn find_revision(&self, number: i64) -> Result<Option<Revision>, Abort> {
        let row = event::Entity::find_by_id(number).one(&self.db).await?;
        row.map(|row| event::revision(row.revision, &row.event_id))
            .transpose()
    }

    /// Up to `limit` changes from this position on, with the position itself first: whoever reads on from there sees whether
    /// the feed is still the one that it knows.
    #[tracing::instrument(skip_all, name = "store.read_feed")]
    pub async fn read_feed(&self, from: i64, limit: u64) -> Result<Vec<Event>, Abort> {
        let query = event::Entity::find()
            .filter(event::Column::Revision.gte(from))
            .order_by_asc(event::Column::Revision)
            .limit(limit);
        let rows = query.all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Up to `limit` events, newest first, below the revision named.
    #[tracing::instrument(skip_all, name = "store.list_events")]
    pub async fn list_events(
        &self,
        workspace_id: Option<&WorkspaceId>,
        below: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Event>, Abort> {
        let mut query = event::Entity::find()
            .order_by_desc(event::Column::Revision)
            .limit(limit);
        if let Some(workspace_id) = workspace_id {
            query = query.filter(event::Column::WorkspaceId.eq(workspace_id.as_str()));
        }
        if let Some(below) = below {
            query = query.filter(event::Column::Revision.lt(below));
        }
        let rows = query.all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
