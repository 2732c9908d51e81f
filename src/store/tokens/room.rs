//! Whether a member has room for one more token: its name, and its place among those that may live.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, Func, Query},
};

use crate::{
    domain::{
        directory::{Member, Workspace},
        name::Name,
    },
    store::{Tx, entity::token, fault::Abort},
};

/// What a member has room for.
pub struct Room {
    /// How many live tokens it has.
    pub live_tokens: u64,
    /// Whether none of its tokens holds the name.
    pub is_name_free: bool,
}

impl Tx {
    /// What a locked member has room for, once an expired token has let go of the name. A statement of its own: taken with
    /// the lock it would count what was there before the wait.
    #[tracing::instrument(skip_all, name = "store.make_room")]
    pub async fn make_room(
        &self,
        workspace: &Workspace,
        member: &Member,
        name: &Name,
    ) -> Result<Room, Abort> {
        let unrevoked = Condition::all()
            .add(token::Column::WorkspaceId.eq(member.workspace_id.as_str()))
            .add(token::Column::MemberId.eq(member.member_id.as_str()))
            // No raised generation has ended them.
            .add(token::Column::WorkspaceGeneration.eq(workspace.generation))
            .add(token::Column::MemberGeneration.eq(member.generation))
            .add(token::Column::RevokedAt.is_null());
        let expired = token::Column::ExpiresAt.lte(self.now.0);
        let unexpired = Condition::any()
            .add(token::Column::ExpiresAt.is_null())
            .add(token::Column::ExpiresAt.gt(self.now.0));
        // One that was rotated has left its place to its successor.
        let lives = Condition::all()
            .add(unexpired)
            .add(token::Column::SuccessorId.is_null());
        let holds = Condition::all()
            .add(token::Column::NameKey.eq(name.key()))
            .add(token::Column::NameReleased.eq(false));
        let held_by_expired = holds.clone().add(expired);
        let count = |which: Condition| Func::count(CaseStatement::new().case(which, 1));
        let mut query = Query::select();
        query
            .from(token::Entity)
            .expr_as(count(lives), "live")
            .expr_as(count(holds), "holding")
            .expr_as(count(held_by_expired.clone()), "expired")
            .cond_where(unrevoked.clone());
        let row = self.db.query_one(&query).await?;
        let row = row.ok_or_else(|| Abort::corrupt("a count without a row".to_owned()))?;
        let counted = |column| -> Result<i64, sea_orm::DbErr> { row.try_get("", column) };
        let expired = counted("expired")?;
        if expired > 0 {
            token::Entity::update_many()
                .col_expr(token::Column::NameReleased, Expr::value(true))
                .filter(unrevoked)
                .filter(held_by_expired)
                .exec(&self.db)
                .await?;
        }
        Ok(Room {
            live_tokens: u64::try_from(counted("live")?).unwrap_or(0),
            is_name_free: counted("holding")? == expired,
        })
    }
}
