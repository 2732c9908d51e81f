//! Rotation: letting another token take the place of one.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use crate::{
    domain::{ids::TokenId, time::Timestamp, token::Token},
    store::{Tx, entity::token, fault::Abort},
};

impl Tx {
    /// Has a locked token leave its name and its place to its successor, and live until `expires_at`.
    #[tracing::instrument(skip_all, name = "store.rotate_token")]
    pub async fn rotate_token(
        &self,
        id: &TokenId,
        successor_id: &TokenId,
        expires_at: Timestamp,
    ) -> Result<(), Abort> {
        token::Entity::update_many()
            .col_expr(token::Column::NameReleased, Expr::value(true))
            .col_expr(
                token::Column::SuccessorId,
                Expr::value(successor_id.as_str()),
            )
            .col_expr(token::Column::ExpiresAt, Expr::value(expires_at.0))
            .filter(token::Column::TokenId.eq(id.as_str()))
            .exec(&self.db)
            .await?;
        Ok(())
    }

    /// A token with all that it descends from and that descends from it.
    #[tracing::instrument(skip_all, name = "store.find_family")]
    pub async fn find_family(&self, id: &TokenId) -> Result<Vec<Token>, Abort> {
        let mut family: Vec<Token> = Vec::new();
        let mut found = BTreeSet::from([id.clone()]);
        let mut wanted = vec![id.clone()];
        while let Some(id) = wanted.pop() {
            let row = token::Entity::find_by_id(id.as_str()).one(&self.db).await?;
            let Some(row) = row else { continue };
            let token: Token = row.try_into()?;
            let successor = token.rotated().map(|rotated| &rotated.successor_id);
            let relatives = [token.predecessor_id(), successor];
            for relative in relatives.into_iter().flatten() {
                if found.insert(relative.clone()) {
                    wanted.push(relative.clone());
                }
            }
            family.push(token);
        }
        Ok(family)
    }

    /// Notes that a rotated token was presented when its overlap was over. False: that is on record already.
    #[tracing::instrument(skip_all, name = "store.record_reuse")]
    pub async fn record_reuse(&self, id: &TokenId) -> Result<bool, Abort> {
        let recorded = token::Entity::update_many()
            .col_expr(token::Column::ReusedAt, Expr::value(self.now.0))
            .filter(token::Column::TokenId.eq(id.as_str()))
            .filter(token::Column::SuccessorId.is_not_null())
            .filter(token::Column::ExpiresAt.lte(self.now.0))
            .filter(token::Column::ReusedAt.is_null())
            .exec(&self.db)
            .await?;
        Ok(recorded.rows_affected > 0)
    }
}
