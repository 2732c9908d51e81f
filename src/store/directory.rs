//! Workspaces and members: reading, locking and writing them.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Statement, TryInsertResult,
    sea_query::{Expr, LockType},
};

use super::{
    Session, Tx,
    entity::{actor_column, member, revocation, workspace},
    fault::Abort,
};
use crate::domain::{
    directory::{Member, MemberState, Workspace},
    ids::{MemberId, MemberKey, WorkspaceId},
    token::Origin,
};

/// The class of the advisory locks in which mutations of a workspace queue: `csnw` in ASCII.
const WORKSPACE_QUEUE: i32 = 0x6373_6e77;

impl<C: ConnectionTrait> Session<C> {
    /// The workspace, in whatever state.
    #[tracing::instrument(skip_all, name = "store.find_workspace")]
    pub async fn find_workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, Abort> {
        let row = workspace::Entity::find_by_id(id.as_str())
            .one(&self.db)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// The member, in whatever state.
    #[tracing::instrument(skip_all, name = "store.find_member")]
    pub async fn find_member(&self, key: &MemberKey) -> Result<Option<Member>, Abort> {
        let row = member::Entity::find_by_id(primary_key(key))
            .one(&self.db)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Up to `limit` workspaces by id, after the one named.
    #[tracing::instrument(skip_all, name = "store.list_workspaces")]
    pub async fn list_workspaces(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Workspace>, Abort> {
        let mut query = workspace::Entity::find()
            .order_by_asc(workspace::Column::WorkspaceId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(workspace::Column::WorkspaceId.gt(after));
        }
        let rows = query.all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Up to `limit` members of a workspace by id, after the one named.
    #[tracing::instrument(skip_all, name = "store.list_members")]
    pub async fn list_members(
        &self,
        workspace_id: &WorkspaceId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Member>, Abort> {
        let mut query = member::Entity::find()
            .filter(member::Column::WorkspaceId.eq(workspace_id.as_str()))
            .order_by_asc(member::Column::MemberId)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(member::Column::MemberId.gt(after));
        }
        let rows = query.all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

/// Locks are Postgres row locks; on SQLite the whole transaction is the lock.
impl Tx {
    /// The workspace, kept from changing until the end of the transaction.
    #[tracing::instrument(skip_all, name = "store.share_workspace")]
    pub async fn share_workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, Abort> {
        self.workspace_with(id, LockType::Share).await
    }

    /// The workspace, to change it.
    #[tracing::instrument(skip_all, name = "store.lock_workspace")]
    pub async fn lock_workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, Abort> {
        self.workspace_with(id, LockType::Update).await
    }

    async fn workspace_with(
        &self,
        id: &WorkspaceId,
        lock: LockType,
    ) -> Result<Option<Workspace>, Abort> {
        self.queue_for_workspace(id, lock).await?;
        let row = workspace::Entity::find_by_id(id.as_str())
            .lock(lock)
            .one(&self.db)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Waits for its turn. Row locks alone would let those who share a row keep away whoever wants to change it, for as long
    /// as there always is one of them: a deletion would not get through a crowd that issues. Advisory locks queue in order.
    async fn queue_for_workspace(&self, id: &WorkspaceId, lock: LockType) -> Result<(), Abort> {
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let sql = match lock {
            LockType::Share => "SELECT pg_advisory_xact_lock_shared($1, hashtext($2))",
            _ => "SELECT pg_advisory_xact_lock($1, hashtext($2))",
        };
        let values = [WORKSPACE_QUEUE.into(), id.as_str().into()];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        self.db.query_one_raw(statement).await?;
        Ok(())
    }

    /// The member, to change it or its tokens.
    #[tracing::instrument(skip_all, name = "store.lock_member")]
    pub async fn lock_member(&self, key: &MemberKey) -> Result<Option<Member>, Abort> {
        let row = member::Entity::find_by_id(primary_key(key))
            .lock(LockType::Update)
            .one(&self.db)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Writes a workspace that was not there. If by now it is, the mutation is run again.
    #[tracing::instrument(skip_all, name = "store.insert_workspace")]
    pub async fn insert_workspace(&self, workspace: &Workspace) -> Result<(), Abort> {
        let row = workspace::Model::from(workspace).into_active_model();
        let inserted = workspace::Entity::insert(row)
            .on_conflict_do_nothing_on([workspace::Column::WorkspaceId])
            .exec_without_returning(&self.db)
            .await?;
        unless_raced(&inserted)
    }

    /// Overwrites a locked workspace.
    #[tracing::instrument(skip_all, name = "store.update_workspace")]
    pub async fn update_workspace(&self, workspace: &Workspace) -> Result<(), Abort> {
        let row = workspace::Model::from(workspace).into_active_model();
        row.reset_all().update(&self.db).await?;
        Ok(())
    }

    /// Writes a member that was not there. If by now it is, the mutation is run again.
    #[tracing::instrument(skip_all, name = "store.insert_member")]
    pub async fn insert_member(&self, member: &Member) -> Result<(), Abort> {
        let row = member::Model::from(member).into_active_model();
        let inserted = member::Entity::insert(row)
            .on_conflict_do_nothing_on([member::Column::WorkspaceId, member::Column::MemberId])
            .exec_without_returning(&self.db)
            .await?;
        unless_raced(&inserted)
    }

    /// Overwrites a locked member.
    #[tracing::instrument(skip_all, name = "store.update_member")]
    pub async fn update_member(&self, member: &Member) -> Result<(), Abort> {
        let row = member::Model::from(member).into_active_model();
        row.reset_all().update(&self.db).await?;
        Ok(())
    }

    /// Removes every member of a locked workspace.
    #[tracing::instrument(skip_all, name = "store.remove_members")]
    pub async fn remove_members(&self, workspace_id: &WorkspaceId) -> Result<(), Abort> {
        let removed = MemberState::Removed.as_str();
        member::Entity::update_many()
            .col_expr(member::Column::State, Expr::value(removed))
            .col_expr(
                member::Column::Version,
                Expr::col(member::Column::Version).add(1),
            )
            .col_expr(member::Column::UpdatedAt, Expr::value(self.now.0))
            .filter(member::Column::WorkspaceId.eq(workspace_id.as_str()))
            .filter(member::Column::State.ne(removed))
            .exec(&self.db)
            .await?;
        Ok(())
    }

    /// Records why all tokens of a member, or (None) of the workspace, ended when their generation was raised to this.
    #[tracing::instrument(skip_all, name = "store.insert_revocation")]
    pub async fn insert_revocation(
        &self,
        workspace_id: &WorkspaceId,
        member_id: Option<&MemberId>,
        generation: i64,
        by: &Origin,
        reason: &str,
    ) -> Result<(), Abort> {
        let row = revocation::Model {
            workspace_id: workspace_id.to_string(),
            member_id: member_id.map_or_else(String::new, ToString::to_string),
            generation,
            revoked_at: self.now.0,
            revoked_by_caller: by.caller.to_string(),
            revoked_by_actor: actor_column(by.actor.as_ref()),
            reason: reason.to_owned(),
        };
        revocation::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.db)
            .await?;
        Ok(())
    }
}

/// A conflict is told by the number of rows alone: without `RETURNING`, nothing inserted is `Inserted(0)`.
fn unless_raced(inserted: &TryInsertResult<u64>) -> Result<(), Abort> {
    match inserted {
        TryInsertResult::Inserted(1..) => Ok(()),
        TryInsertResult::Inserted(0) | TryInsertResult::Conflicted | TryInsertResult::Empty => {
            Err(Abort::Raced)
        }
    }
}

fn primary_key(key: &MemberKey) -> (String, String) {
    (key.workspace_id.to_string(), key.member_id.to_string())
}
