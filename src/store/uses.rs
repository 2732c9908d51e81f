//! What follows the use of tokens, written many at once and past the feed, as nobody decides by it: when they were last used,
//! and under which pepper they are stored.

use std::{fmt::Write, time::Duration};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, Statement, sea_query::Expr,
};

use super::{
    Store,
    entity::token,
    fault::{Abort, within},
};
use crate::domain::{error::Error, ids::TokenId, pepper::Rekey, time::Timestamp};

/// The ids and times come as an array of pairs: one statement however many, which is cheap to make.
const WRITE_POSTGRES: &str = "\
    INSERT INTO token_use (token_id, last_used_at) \
    SELECT pair ->> 0, (pair ->> 1)::bigint FROM jsonb_array_elements($1::jsonb) AS listed (pair) \
    ON CONFLICT (token_id) DO UPDATE SET last_used_at = excluded.last_used_at \
    WHERE excluded.last_used_at > token_use.last_used_at";
/// The same. Without its `WHERE true` SQLite takes `ON` for that of a join.
const WRITE_SQLITE: &str = "\
    INSERT INTO token_use (token_id, last_used_at) \
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true \
    ON CONFLICT (token_id) DO UPDATE SET last_used_at = excluded.last_used_at \
    WHERE excluded.last_used_at > token_use.last_used_at";
/// About what one of the pairs takes, in bytes.
const PAIR: usize = 48;
/// How long the database may take for one statement.
const PATIENCE: Duration = Duration::from_secs(5);

/// As an array of pairs. By hand, as there are very many: no id has a character that JSON writes in another way.
fn listed(uses: &[(&TokenId, Timestamp)]) -> String {
    let mut listed = String::with_capacity(2 + PAIR * uses.len());
    listed.push('[');
    for (id, at) in uses {
        if listed.len() > 1 {
            listed.push(',');
        }
        // Nothing written to memory fails.
        write!(listed, "[\"{}\",{}]", id.as_str(), at.0).ok();
    }
    listed.push(']');
    listed
}

impl Store {
    /// Writes when these tokens were last used, in one statement that is a transaction of its own. The ids must be in order,
    /// so that replicas which write the same ones wait for each other and never in a circle. No time moves back.
    #[tracing::instrument(skip_all, name = "store.write_uses")]
    pub async fn write_uses(&self, uses: &[(&TokenId, Timestamp)]) -> Result<(), Error> {
        let backend = self.write.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => WRITE_POSTGRES,
            _ => WRITE_SQLITE,
        };
        let statement = Statement::from_sql_and_values(backend, sql, [listed(uses).into()]);
        let writing = async { Ok(self.write.execute_raw(statement).await?) };
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
