//! Finding the tokens that have a notice of their expiry due, and keeping how many are behind them.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, Order, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use super::{record, revoke::is_one_of, select_records};
use crate::{
    domain::{
        ids::{MemberId, MemberKey, TokenId, WorkspaceId},
        time::{Timestamp, millis},
        token::{LIMITED_RULES, TokenRecord},
    },
    store::{
        Session, Tx,
        entity::{stored, token},
        fault::Abort,
    },
};

/// A token with a notice that is due.
pub struct DueToken {
    /// The token.
    pub token_id: TokenId,
    /// Whose it is.
    pub member: MemberKey,
    /// When it expires.
    pub expires_at: Timestamp,
}

#[derive(FromQueryResult)]
struct DueRow {
    token_id: String,
    workspace_id: String,
    member_id: String,
    expires_at: i64,
}

impl<C: ConnectionTrait> Session<C> {
    /// Up to `limit` of the tokens with so many notices behind them whose next is due, this long before their expiry: by
    /// expiry, after the one named. Some may be dead. Tokens of newer rules are left to newer versions.
    #[tracing::instrument(skip_all, name = "store.find_due_notices")]
    pub async fn find_due_notices(
        &self,
        (behind, lead): (i32, Duration),
        after: Option<&DueToken>,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<DueToken>, Abort> {
        let by = now.0.saturating_add(millis(lead));
        let mut query = token::Entity::find()
            .select_only()
            .columns([
                token::Column::TokenId,
                token::Column::WorkspaceId,
                token::Column::MemberId,
                token::Column::ExpiresAt,
            ])
            .filter(token::Column::RevokedAt.is_null())
            .filter(token::Column::ExpiresAt.is_not_null())
            .filter(token::Column::Notified.eq(behind))
            .filter(token::Column::ExpiresAt.lte(by))
            .filter(token::Column::RulesVersion.lte(LIMITED_RULES))
            .order_by_asc(token::Column::ExpiresAt)
            .order_by_asc(token::Column::TokenId)
            .limit(limit);
        if let Some(after) = after {
            let place = [token::Column::ExpiresAt, token::Column::TokenId];
            let last = [
                Expr::value(after.expires_at.0),
                Expr::value(after.token_id.as_str()),
            ];
            query = query.filter(Expr::tuple(place.map(Expr::col)).gt(Expr::tuple(last)));
        }
        let rows = query.into_model::<DueRow>().all(&self.db).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

impl TryFrom<DueRow> for DueToken {
    type Error = Abort;

    fn try_from(row: DueRow) -> Result<Self, Abort> {
        Ok(Self {
            token_id: stored("token id", TokenId::parse(&row.token_id))?,
            member: MemberKey {
                workspace_id: stored("workspace id", WorkspaceId::parse(&row.workspace_id))?,
                member_id: stored("member id", MemberId::parse(&row.member_id))?,
            },
            expires_at: Timestamp(row.expires_at),
        })
    }
}

impl Tx {
    /// The records of these tokens by their expiry, each with how many notices are behind it.
    #[tracing::instrument(skip_all, name = "store.find_notified")]
    pub async fn find_notified(
        &self,
        ids: &BTreeSet<TokenId>,
    ) -> Result<Vec<(TokenRecord, i32)>, Abort> {
        let mut query = select_records();
        let token_id = Expr::col(("t", token::Column::TokenId));
        query
            .and_where(token_id.is_in(ids.iter().map(TokenId::as_str)))
            .order_by(("t", token::Column::ExpiresAt), Order::Asc)
            .order_by(("t", token::Column::TokenId), Order::Asc);
        let rows = self.db.query_all(&query).await?;
        let found = rows
            .iter()
            .map(|row| Ok((record(row, self.now)?, row.try_get("t_", "notified")?)));
        found.collect()
    }

    /// Keeps how many notices are behind locked tokens.
    #[tracing::instrument(skip_all, name = "store.set_notified")]
    pub async fn set_notified(&self, ids: &BTreeSet<TokenId>, behind: i32) -> Result<(), Abort> {
        token::Entity::update_many()
            .col_expr(token::Column::Notified, Expr::value(behind))
            .filter(is_one_of(ids))
            .exec(&self.db)
            .await?;
        Ok(())
    }
}
