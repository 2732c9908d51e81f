//! What follows the use of tokens, written many at once and past the feed, as nobody decides by it: when they were last used,
//! and under which pepper they are stored.

use std::time::Duration;

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityName, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict, Query},
};

use super::{
    Store,
    entity::{token, token_use},
    fault::{Abort, within},
};
use crate::domain::{error::Error, ids::TokenId, pepper::Rekey, time::Timestamp};

/// How long the database may take for one statement.
const PATIENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Writes when these tokens were last used, in one statement that is a transaction of its own. The ids must be in order,
    /// so that replicas which write the same ones wait for each other and never in a circle. No time moves back.
    #[tracing::instrument(skip_all, name = "store.write_uses")]
    pub async fn write_uses(&self, uses: &[(TokenId, Timestamp)]) -> Result<(), Error> {
        let last_used_at = |table| Expr::col((table, token_use::Column::LastUsedAt));
        let forward = last_used_at("excluded").gt(last_used_at("token_use"));
        let mut insert = Query::insert();
        insert
            .into_table(token_use::Entity.table_ref())
            .columns([token_use::Column::TokenId, token_use::Column::LastUsedAt])
            .on_conflict(
                OnConflict::column(token_use::Column::TokenId)
                    .update_column(token_use::Column::LastUsedAt)
                    .action_and_where(forward)
                    .to_owned(),
            );
        for (token_id, at) in uses {
            insert.values_panic([token_id.as_str().into(), at.0.into()]);
        }
        let writing = async { Ok(self.write.execute(&insert).await?) };
        within::<_, Abort>(PATIENCE, writing).await?;
        Ok(())
    }

    /// Stores these tokens under other peppers, in one transaction, each unless another replica was first. In the order of
    /// their ids, in which all lock them.
    #[tracing::instrument(skip_all, name = "store.rekey_tokens")]
    pub async fn rekey_tokens(&self, rekeys: &[Rekey]) -> Result<(), Error> {
        let rekeying = async {
            let tx = self.begin().await?;
            for rekey in rekeys {
                token::Entity::update_many()
                    .col_expr(token::Column::Digest, Expr::value(rekey.digest.0.to_vec()))
                    .col_expr(token::Column::PepperId, Expr::value(rekey.to.as_str()))
                    .filter(token::Column::TokenId.eq(rekey.token_id.as_str()))
                    .filter(token::Column::PepperId.eq(rekey.from.as_str()))
                    .exec(&tx)
                    .await?;
            }
            Ok(tx.commit().await?)
        };
        Ok(within::<_, Abort>(PATIENCE, rekeying).await?)
    }
}
