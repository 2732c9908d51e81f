//! Revoking tokens: one, or many at once by their secrets, in as many statements however many there are.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, UpdateMany,
    sea_query::{Expr, LockType},
};

use super::{is_digest, record, select_records};
use crate::{
    domain::{
        ids::{MemberKey, TokenId},
        pepper::Digest,
        token::{Revocation, TokenRecord},
    },
    store::{
        Tx,
        entity::{actor_column, member, token},
        fault::Abort,
    },
};

/// How many values a statement has at most: SQLite takes 32,766.
const MAX_VALUES: usize = 10_000;

impl Tx {
    /// Marks a locked token revoked.
    #[tracing::instrument(skip_all, name = "store.revoke_token")]
    pub async fn revoke_token(&self, id: &TokenId, revocation: &Revocation) -> Result<(), Abort> {
        revoked(revocation)
            .filter(token::Column::TokenId.eq(id.as_str()))
            .exec(&self.db)
            .await?;
        Ok(())
    }

    /// The records of the tokens with one of these digests.
    #[tracing::instrument(skip_all, name = "store.find_tokens_by_digest")]
    pub async fn find_tokens_by_digest(
        &self,
        digests: &[Digest],
    ) -> Result<Vec<TokenRecord>, Abort> {
        let mut records = Vec::new();
        for digests in digests.chunks(MAX_VALUES) {
            let mut query = select_records();
            query.and_where(is_digest(digests));
            for row in self.db.query_all(&query).await? {
                records.push(record(&row, self.now)?);
            }
        }
        Ok(records)
    }

    /// Keeps these members, whose workspaces are locked, and then these tokens of theirs from changing. In order, as must
    /// whoever locks more than one.
    #[tracing::instrument(skip_all, name = "store.lock_tokens")]
    pub async fn lock_tokens(
        &self,
        members: &BTreeSet<MemberKey>,
        ids: &BTreeSet<TokenId>,
    ) -> Result<(), Abort> {
        // On SQLite the whole transaction is the lock.
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let place = [member::Column::WorkspaceId, member::Column::MemberId];
        let keys = members
            .iter()
            .map(|key| (key.workspace_id.to_string(), key.member_id.to_string()));
        member::Entity::find()
            .filter(Expr::tuple(place.map(Expr::col)).in_tuples(keys))
            .order_by_asc(member::Column::WorkspaceId)
            .order_by_asc(member::Column::MemberId)
            .lock(LockType::Update)
            .all(&self.db)
            .await?;
        token::Entity::find()
            .filter(is_one_of(ids))
            .order_by_asc(token::Column::TokenId)
            .lock(LockType::Update)
            .all(&self.db)
            .await?;
        Ok(())
    }

    /// Marks locked tokens revoked.
    #[tracing::instrument(skip_all, name = "store.revoke_tokens")]
    pub async fn revoke_tokens(
        &self,
        ids: &BTreeSet<TokenId>,
        revocation: &Revocation,
    ) -> Result<(), Abort> {
        revoked(revocation)
            .filter(is_one_of(ids))
            .exec(&self.db)
            .await?;
        Ok(())
    }
}

pub(super) fn is_one_of(ids: &BTreeSet<TokenId>) -> Expr {
    token::Column::TokenId.is_in(ids.iter().map(TokenId::as_str))
}

/// Marks the tokens revoked that are chosen by a filter, which has to be added.
fn revoked(revocation: &Revocation) -> UpdateMany<token::Entity> {
    let by = &revocation.by;
    let values = [
        (token::Column::RevokedAt, Expr::value(revocation.at.0)),
        (
            token::Column::RevokedByCaller,
            Expr::value(by.caller.as_str()),
        ),
        (
            token::Column::RevokedByActor,
            Expr::value(actor_column(by.actor.as_ref())),
        ),
        (
            token::Column::RevokeReason,
            Expr::value(revocation.reason.as_str()),
        ),
    ];
    let update = token::Entity::update_many();
    values.into_iter().fold(update, |update, (column, value)| {
        update.col_expr(column, value)
    })
}
