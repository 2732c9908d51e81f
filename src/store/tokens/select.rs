//! Selecting tokens together with their member, their workspace and whatever ended them, and reading such rows.
//!
//! Aliases: `t` the token, `u` its last use, `m` its member, `w` its workspace, `rm` and `rw` the raised generations of either that ended it.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ColumnTrait, ExprTrait, FromQueryResult, Iterable, QueryResult,
    sea_query::{Cond, Expr, Func, JoinType, Query, SelectStatement, SubQueryStatement},
};

use crate::{
    domain::{
        decide::Bearer,
        pepper::Digest,
        time::{Timestamp, millis},
        token::{LastUse, Revocation, Token, TokenRecord, TokenState},
        token_policy::TokenPolicy,
    },
    store::{
        entity::{member, revocation, token, token_use, workspace},
        fault::Abort,
    },
};

const LAST_USED_AT: &str = "u_last_used_at";

/// Whether the token `t` has one of these digests.
pub(super) fn is_digest(digests: &[Digest]) -> Expr {
    let digests = digests.iter().map(|digest| digest.0.to_vec());
    Expr::col(("t", token::Column::Digest)).is_in(digests)
}

/// [`crate::domain::token::Token::state`] in SQL.
pub(super) fn is_in(state: TokenState, now: Timestamp) -> Cond {
    match state {
        TokenState::Revoked => is_unrevoked().not(),
        TokenState::Expired => is_unrevoked().add(ends_before(after(now))),
        TokenState::Active => is_unrevoked().add(ends_before(after(now)).not()),
    }
}

/// Whether the token `t` has ended neither by itself nor by being revoked. A workspace's policy, which may be loosened, is
/// left out.
pub(super) fn is_unended(now: Timestamp) -> Cond {
    let expires_at = || Expr::col(("t", token::Column::ExpiresAt));
    is_unrevoked().add(expires_at().is_null().or(expires_at().gt(now.0)))
}

/// Whether the token `t` would be ended by this policy.
pub(super) fn is_ended_by(policy: &TokenPolicy, now: Timestamp) -> Cond {
    let lifetimes = [policy.max_lifetime, policy.idle_limit];
    let [max_lifetime, idle_limit] = lifetimes.map(|span| Expr::value(span.map(millis)));
    let policy = [Expr::value(policy.require_expiry), max_lifetime, idle_limit];
    ends_before_under(policy, after(now))
}

/// Whether the token `t` ends by itself before this instant: [`crate::domain::token::Token::ends_at`] in SQL.
pub(super) fn ends_before(at: Timestamp) -> Cond {
    let column = |column| Expr::col(("w", column));
    let policy = [
        workspace::Column::RequireExpiry,
        workspace::Column::MaxLifetime,
        workspace::Column::IdleLimit,
    ];
    ends_before_under(policy.map(column), at)
}

/// The same under a policy: whether it requires an expiry, the longest lifetime, and how long the token may go unused, both
/// in milliseconds. Always true or false, as it may be negated.
fn ends_before_under([require_expiry, max_lifetime, idle_limit]: [Expr; 3], at: Timestamp) -> Cond {
    let created_at = || Expr::col(("t", token::Column::CreatedAt));
    let expires_at = || Expr::col(("t", token::Column::ExpiresAt));
    let past = |since: Expr, span: Expr| span.clone().is_not_null().and(since.add(span).lt(at.0));
    Cond::any()
        .add(expires_at().is_not_null().and(expires_at().lt(at.0)))
        .add(past(created_at(), max_lifetime))
        .add(past(last_use(), idle_limit))
        .add(
            require_expiry
                .and(expires_at().is_null())
                .and(created_at().lt(at.0)),
        )
}

/// When the token `t` was last used, or, if it never was, issued.
fn last_use() -> Expr {
    let last_used_at = Expr::col(("u", token_use::Column::LastUsedAt));
    let created_at = Expr::col(("t", token::Column::CreatedAt));
    Func::coalesce([last_used_at, created_at]).into()
}

/// The next instant there is.
fn after(now: Timestamp) -> Timestamp {
    now.plus(Duration::from_millis(1))
}

/// Whether the last use of the token `t` is before this instant, or it was issued before and never used.
pub(super) fn is_unused_since(at: Timestamp) -> Expr {
    last_use().lt(at.0)
}

fn is_unrevoked() -> Cond {
    Cond::all()
        .add(Expr::col(("t", token::Column::RevokedAt)).is_null())
        .add(
            Expr::col(("t", token::Column::WorkspaceGeneration))
                .equals(("w", workspace::Column::Generation)),
        )
        .add(
            Expr::col(("t", token::Column::MemberGeneration))
                .equals(("m", member::Column::Generation)),
        )
}

/// Selects every column of a table as `<alias>_<column>`.
pub(super) fn select_columns<T: Iterable + ColumnTrait>(
    query: &mut SelectStatement,
    alias: &'static str,
) {
    for column in T::iter() {
        let name = format!("{alias}_{}", column.to_string());
        query.expr_as(Expr::col((alias, column)), name);
    }
}

/// Joins the member `m`, the workspace `w` and the last use `u` of the token `t`.
pub(super) fn join_bearer(query: &mut SelectStatement, join: JoinType) {
    join_owners(query, join);
    query.join_as(JoinType::LeftJoin, "token_use", "u", is_use_of_token());
}

fn is_use_of_token() -> Expr {
    Expr::col(("u", token_use::Column::TokenId)).equals(("t", token::Column::TokenId))
}

/// Joins the member `m` and the workspace `w` of the token `t`.
fn join_owners(query: &mut SelectStatement, join: JoinType) {
    let same = |one: (&'static str, token::Column), other: Expr| Expr::col(one).eq(other);
    let of_workspace = ("t", token::Column::WorkspaceId);
    query
        .join_as(
            join,
            "member",
            "m",
            Cond::all()
                .add(same(
                    of_workspace,
                    Expr::col(("m", member::Column::WorkspaceId)),
                ))
                .add(same(
                    ("t", token::Column::MemberId),
                    Expr::col(("m", member::Column::MemberId)),
                )),
        )
        .join_as(
            join,
            "workspace",
            "w",
            same(
                of_workspace,
                Expr::col(("w", workspace::Column::WorkspaceId)),
            ),
        );
}

fn select_bearer(query: &mut SelectStatement) {
    select_owned(query);
    let last_used_at = Expr::col(("u", token_use::Column::LastUsedAt));
    query.expr_as(last_used_at, LAST_USED_AT);
}

/// Selects and joins all that a decision takes of the one token `t`, if there is one. Its last use is not joined: PostgreSQL
/// would read all of them for it, and go on so, if it has planned this when it knew of none.
pub(super) fn select_presented(query: &mut SelectStatement) {
    join_owners(query, JoinType::LeftJoin);
    select_owned(query);
    let last_used_at = Query::select()
        .column(("u", token_use::Column::LastUsedAt))
        .from_as("token_use", "u")
        .and_where(is_use_of_token())
        .take();
    let last_used_at = SubQueryStatement::SelectStatement(last_used_at);
    query.expr_as(Expr::from(last_used_at), LAST_USED_AT);
}

fn select_owned(query: &mut SelectStatement) {
    select_columns::<token::Column>(query, "t");
    select_columns::<member::Column>(query, "m");
    select_columns::<workspace::Column>(query, "w");
}

/// Tokens with member, workspace, their last use, and whatever raised generation ended them: `rw` of the workspace, `rm` of
/// the member.
pub(super) fn select_records() -> SelectStatement {
    let mut query = Query::select();
    query.from_as("token", "t");
    join_bearer(&mut query, JoinType::InnerJoin);
    select_bearer(&mut query);
    let ended = |alias: &'static str, member_id: Expr, generation: token::Column| {
        Cond::all()
            .add(
                Expr::col((alias, revocation::Column::WorkspaceId))
                    .equals(("t", token::Column::WorkspaceId)),
            )
            .add(Expr::col((alias, revocation::Column::MemberId)).eq(member_id))
            .add(
                Expr::col((alias, revocation::Column::Generation))
                    .eq(Expr::col(("t", generation)).add(1)),
            )
    };
    let of_workspace = ended("rw", Expr::value(""), token::Column::WorkspaceGeneration);
    let of_member = ended(
        "rm",
        Expr::col(("t", token::Column::MemberId)),
        token::Column::MemberGeneration,
    );
    query
        .join_as(JoinType::LeftJoin, "revocation", "rw", of_workspace)
        .join_as(JoinType::LeftJoin, "revocation", "rm", of_member);
    select_columns::<revocation::Column>(&mut query, "rw");
    select_columns::<revocation::Column>(&mut query, "rm");
    query
}

/// A token with what else is in its row.
pub(super) fn bearer(
    token: token::Model,
    row: &QueryResult,
    now: Timestamp,
) -> Result<Bearer, Abort> {
    let mut token: Token = token.try_into()?;
    let last_used_at = last_used_at(row)?;
    token.last_use = LastUse::new(last_used_at.unwrap_or(token.created_at), now);
    Ok(Bearer {
        token: Arc::new(token),
        member: Arc::new(member::Model::from_query_result(row, "m_")?.try_into()?),
        workspace: Arc::new(workspace::Model::from_query_result(row, "w_")?.try_into()?),
    })
}

pub(super) fn record(row: &QueryResult, now: Timestamp) -> Result<TokenRecord, Abort> {
    let Bearer {
        token,
        member,
        workspace,
    } = bearer(token::Model::from_query_result(row, "t_")?, row, now)?;
    let state = token.state(&workspace, &member, now);
    let mut revocations: Vec<Revocation> = token.revoked.as_deref().cloned().into_iter().collect();
    for prefix in ["rw_", "rm_"] {
        if let Some(ended) = revocation::Model::from_query_result_optional(row, prefix)? {
            revocations.push(ended.try_into()?);
        }
    }
    Ok(TokenRecord {
        token: Arc::unwrap_or_clone(token),
        state,
        revocation: revocations
            .into_iter()
            .min_by_key(|revocation| revocation.at),
        last_used_at: last_used_at(row)?,
    })
}

fn last_used_at(row: &QueryResult) -> Result<Option<Timestamp>, Abort> {
    let at: Option<i64> = row.try_get("", LAST_USED_AT)?;
    Ok(at.map(Timestamp))
}
