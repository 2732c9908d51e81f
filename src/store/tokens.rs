//! Tokens: finding them with their member and workspace in one statement, listing, writing and revoking them.

mod notices;
mod presented;
mod revoke;
mod room;
mod rotate;
mod select;

use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, ExprTrait, IntoActiveModel, Order, QuerySelect,
    sea_query::{Cond, Expr, Func, JoinType, LockType, Query},
};

use self::select::{
    ends_before, is_digest, is_ended_by, is_in, is_unended, is_unused_since, join_bearer, record,
    select_records,
};
pub use self::{notices::DueToken, presented::Presentation, room::Room};
use super::{Session, Tx, entity::token, fault::Abort};
use crate::domain::{
    ids::{MemberId, TokenId, WorkspaceId},
    name::Name,
    notice::due_by,
    pepper::Digest,
    time::Timestamp,
    token::{LIMITED_RULES, PLAIN_RULES, Token, TokenRecord, TokenState},
    token_policy::TokenPolicy,
};

/// Which tokens a listing shows.
pub struct TokenFilter {
    /// Of this workspace.
    pub workspace_id: WorkspaceId,
    /// Of this member only.
    pub member_id: Option<MemberId>,
    /// In these states only; empty for all.
    pub states: Vec<TokenState>,
    /// Only those that end by themselves before this instant.
    pub expires_before: Option<Timestamp>,
    /// Only those that were not used at this instant or after, and if never, were issued before.
    pub unused_since: Option<Timestamp>,
    /// After this one in the order of the list: created at, and the id.
    pub after: Option<(Timestamp, String)>,
}

/// A new token's columns beside the record.
pub struct NewToken<'a> {
    /// The record.
    pub token: &'a Token,
    /// Its name.
    pub name: &'a Name,
    /// What is stored of its secret.
    pub digest: Digest,
    /// Under which pepper.
    pub pepper_id: &'a str,
}

impl<C: ConnectionTrait> Session<C> {
    /// The record of a token.
    #[tracing::instrument(skip_all, name = "store.find_token")]
    pub async fn find_token(
        &self,
        id: &TokenId,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, Abort> {
        let is_id = Expr::col(("t", token::Column::TokenId)).eq(id.as_str());
        self.find_record(is_id, now).await
    }

    /// The record of the token with one of these digests.
    #[tracing::instrument(skip_all, name = "store.find_token_by_digest")]
    pub async fn find_token_by_digest(
        &self,
        digests: &[Digest],
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, Abort> {
        self.find_record(is_digest(digests), now).await
    }

    async fn find_record(
        &self,
        filter: Expr,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, Abort> {
        let mut query = select_records();
        query.and_where(filter);
        let row = self.db.query_one(&query).await?;
        row.map(|row| record(&row, now)).transpose()
    }

    /// Up to `limit` records, newest first.
    #[tracing::instrument(skip_all, name = "store.list_tokens")]
    pub async fn list_tokens(
        &self,
        filter: &TokenFilter,
        limit: u64,
        now: Timestamp,
    ) -> Result<Vec<TokenRecord>, Abort> {
        let created_at = ("t", token::Column::CreatedAt);
        let token_id = ("t", token::Column::TokenId);
        let mut query = select_records();
        query
            .and_where(
                Expr::col(("t", token::Column::WorkspaceId)).eq(filter.workspace_id.as_str()),
            )
            .order_by(created_at, Order::Desc)
            .order_by(token_id, Order::Desc)
            .limit(limit);
        if let Some(member_id) = &filter.member_id {
            query.and_where(Expr::col(("t", token::Column::MemberId)).eq(member_id.as_str()));
        }
        if let Some((at, id)) = &filter.after {
            // As a pair, so that an index leads to it and no page costs more than the first.
            let place = Expr::tuple([Expr::col(created_at), Expr::col(token_id)]);
            query.and_where(place.lt(Expr::tuple([Expr::value(at.0), Expr::value(id.as_str())])));
        }
        if !filter.states.is_empty() {
            let states = filter.states.iter();
            query.cond_where(states.fold(Cond::any(), |any, state| any.add(is_in(*state, now))));
        }
        if let Some(at) = filter.expires_before {
            query.cond_where(ends_before(at));
        }
        if let Some(at) = filter.unused_since {
            query.and_where(is_unused_since(at));
        }
        let rows = self.db.query_all(&query).await?;
        rows.iter().map(|row| record(row, now)).collect()
    }

    /// How many live tokens a workspace has.
    pub async fn count_live_tokens_of(
        &self,
        workspace_id: &WorkspaceId,
        now: Timestamp,
    ) -> Result<u64, Abort> {
        self.count_tokens(workspace_id, is_in(TokenState::Active, now))
            .await
    }

    /// How many tokens of a workspace live now and would not under this policy.
    #[tracing::instrument(skip_all, name = "store.count_tokens_ended_by")]
    pub async fn count_tokens_ended_by(
        &self,
        workspace_id: &WorkspaceId,
        policy: &TokenPolicy,
        now: Timestamp,
    ) -> Result<u64, Abort> {
        let ended = is_in(TokenState::Active, now).add(is_ended_by(policy, now));
        self.count_tokens(workspace_id, ended).await
    }

    async fn count_tokens(&self, workspace_id: &WorkspaceId, which: Cond) -> Result<u64, Abort> {
        let token_id = Expr::col(("t", token::Column::TokenId));
        let mut query = Query::select();
        query
            .from_as("token", "t")
            .expr_as(Func::count(token_id), "tokens")
            .and_where(Expr::col(("t", token::Column::WorkspaceId)).eq(workspace_id.as_str()))
            .cond_where(which);
        join_bearer(&mut query, JoinType::InnerJoin);
        let row = self.db.query_one(&query).await?;
        let tokens: i64 = row.map_or(Ok(0), |row| row.try_get("", "tokens"))?;
        Ok(u64::try_from(tokens).unwrap_or(0))
    }

    /// How many live tokens hang on each pepper but these. With every pepper in use among them no row is looked at, so it
    /// takes no time however many tokens there are.
    pub(super) async fn count_live_by_pepper(
        &self,
        now: Timestamp,
        others: &[&str],
    ) -> Result<Vec<(String, i64)>, DbErr> {
        let pepper_id = ("t", token::Column::PepperId);
        let count = Func::count(Expr::col(("t", token::Column::TokenId)));
        let mut query = Query::select();
        query
            .from_as("token", "t")
            .column(pepper_id)
            .expr_as(count, "live")
            .cond_where(is_unended(now))
            .cond_where(is_none_of(pepper_id, others))
            .group_by_col(pepper_id)
            .order_by(pepper_id, Order::Asc);
        join_bearer(&mut query, JoinType::InnerJoin);
        let rows = self.db.query_all(&query).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "pepper_id")?, row.try_get("", "live")?)))
            .collect()
    }
}

impl Tx {
    /// The token, to change it. Its member and workspace are to be locked before.
    #[tracing::instrument(skip_all, name = "store.lock_token")]
    pub async fn lock_token(&self, id: &TokenId) -> Result<Option<Token>, Abort> {
        let row = token::Entity::find_by_id(id.as_str())
            .lock(LockType::Update)
            .one(&self.db)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Writes a new token.
    #[tracing::instrument(skip_all, name = "store.insert_token")]
    pub async fn insert_token(&self, new: NewToken<'_>) -> Result<(), Abort> {
        let token = new.token;
        let row = token::Model {
            token_id: token.token_id.to_string(),
            workspace_id: token.member.workspace_id.to_string(),
            member_id: token.member.member_id.to_string(),
            workspace_generation: token.workspace_generation,
            member_generation: token.member_generation,
            name: token.name.to_string(),
            name_key: new.name.key().to_owned(),
            name_released: false,
            hint: token.hint.as_str().to_owned(),
            digest: new.digest.0.to_vec(),
            pepper_id: new.pepper_id.to_owned(),
            rules_version: match token.limits() {
                None => PLAIN_RULES,
                Some(_) => LIMITED_RULES,
            },
            created_at: token.created_at.0,
            expires_at: token.expires_at.map(|at| at.0),
            revoked_at: None,
            revoked_by_caller: None,
            revoked_by_actor: None,
            revoke_reason: None,
            scopes: token::list_column(token.scopes()),
            allowed_cidrs: token::list_column(token.allowed_cidrs()),
            predecessor_id: token.predecessor_id().map(ToString::to_string),
            successor_id: None,
            reused_at: None,
            notified: token
                .expires_at
                .map_or(0, |at| due_by(at, token.created_at)),
        };
        token::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.db)
            .await?;
        Ok(())
    }
}

/// Whether a column has none of these values: as the ranges between them, which an index leads to.
fn is_none_of(column: (&'static str, token::Column), values: &[&str]) -> Cond {
    let mut values = Vec::from(values);
    values.sort_unstable();
    let column = || Expr::col(column);
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Cond::all();
    };
    let between = values
        .windows(2)
        .map(|pair| column().gt(pair[0]).and(column().lt(pair[1])));
    between.fold(
        Cond::any().add(column().lt(*first)).add(column().gt(*last)),
        Cond::add,
    )
}
