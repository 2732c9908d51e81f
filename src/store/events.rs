//! Reading the audit trail.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    Session,
    entity::{actor_column, event},
    fault::Abort,
};
use crate::domain::{
    event::{Event, EventKind},
    ids::{CallerName, MemberId, MemberKey, TokenId, WorkspaceId},
    time::Timestamp,
};

/// Which events a listing shows: those that pass all of it.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// Of this workspace only.
    pub workspace_id: Option<WorkspaceId>,
    /// About this member only, or its tokens.
    pub member_id: Option<MemberId>,
    /// About this token only.
    pub token_id: Option<TokenId>,
    /// Of these kinds only; empty for all.
    pub kinds: Vec<EventKind>,
    /// Brought about by this caller only.
    pub caller: Option<CallerName>,
    /// On behalf of this member only.
    pub actor: Option<MemberKey>,
    /// At this instant or after.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub before: Option<Timestamp>,
}

impl EventFilter {
    fn condition(&self) -> Condition {
        let text = |column: event::Column, text: Option<&str>| text.map(|text| column.eq(text));
        let kinds = self.kinds.iter().map(|kind| kind.as_str());
        let kinds = (!self.kinds.is_empty()).then(|| event::Column::Kind.is_in(kinds));
        let actor = actor_column(self.actor.as_ref());
        let workspace_id = self.workspace_id.as_ref().map(WorkspaceId::as_str);
        let member_id = self.member_id.as_ref().map(MemberId::as_str);
        Condition::all()
            .add_option(text(event::Column::WorkspaceId, workspace_id))
            .add_option(text(event::Column::MemberId, member_id))
            .add_option(text(
                event::Column::TokenId,
                self.token_id.as_ref().map(TokenId::as_str),
            ))
            .add_option(kinds)
            .add_option(text(
                event::Column::Caller,
                self.caller.as_ref().map(CallerName::as_str),
            ))
            .add_option(text(event::Column::Actor, actor.as_deref()))
            .add_option(self.since.map(|at| event::Column::At.gte(at.0)))
            .add_option(self.before.map(|at| event::Column::At.lt(at.0)))
    }
}

impl<C: ConnectionTrait> Session<C> {
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
        filter: &EventFilter,
        below: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Event>, Abort> {
        let mut query = event::Entity::find()
            .filter(filter.condition())
            .order_by_desc(event::Column::Revision)
            .limit(limit);
        if let Some(below) = below {
            query = query.filter(event::Column::Revision.lt(below));
        }
        let rows = query.all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
