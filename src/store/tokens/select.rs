//! Selecting tokens together with their member, their workspace and whatever ended them, and reading such rows.
//!
//! Aliases: `t` the token, `m` its member, `w` its workspace, `rm` and `rw` the raised generations of either that ended it.

use std::sync::Arc;

use sea_orm::{
    ColumnTrait, ExprTrait, FromQueryResult, Iterable, QueryResult,
    sea_query::{Cond, Expr, JoinType, Query, SelectStatement},
};

use crate::{
    domain::{
        decide::Bearer,
        pepper::Digest,
        time::Timestamp,
        token::{Revocation, TokenRecord, TokenState},
    },
    store::{
        entity::{member, revocation, token, workspace},
        fault::Abort,
    },
};

/// Whether the token `t` has one of these digests.
pub(super) fn is_digest(digests: &[Digest]) -> Expr {
    let digests = digests.iter().map(|digest| digest.0.to_vec());
    Expr::col(("t", token::Column::Digest)).is_in(digests)
}

/// [`crate::domain::token::Token::state`] in SQL.
pub(super) fn is_in(state: TokenState, now: Timestamp) -> Cond {
    let expires_at = ("t", token::Column::ExpiresAt);
    let unrevoked = Cond::all()
        .add(Expr::col(("t", token::Column::RevokedAt)).is_null())
        .add(
            Expr::col(("t", token::Column::WorkspaceGeneration))
                .equals(("w", workspace::Column::Generation)),
        )
        .add(
            Expr::col(("t", token::Column::MemberGeneration))
                .equals(("m", member::Column::Generation)),
        );
    match state {
        TokenState::Revoked => unrevoked.not(),
        TokenState::Expired => unrevoked.add(Expr::col(expires_at).lte(now.0)),
        TokenState::Active => unrevoked.add(
            Cond::any()
                .add(Expr::col(expires_at).is_null())
                .add(Expr::col(expires_at).gt(now.0)),
        ),
    }
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

/// Joins the member `m` and the workspace `w` of the token `t`.
pub(super) fn join_bearer(query: &mut SelectStatement, join: JoinType) {
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

pub(super) fn select_bearer(query: &mut SelectStatement) {
    select_columns::<token::Column>(query, "t");
    select_columns::<member::Column>(query, "m");
    select_columns::<workspace::Column>(query, "w");
}

/// Tokens with member, workspace, and whatever raised generation ended them: `rw` of the workspace, `rm` of the member.
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

pub(super) fn bearer(row: &QueryResult) -> Result<Bearer, Abort> {
    Ok(Bearer {
        token: Arc::new(token::Model::from_query_result(row, "t_")?.try_into()?),
        member: Arc::new(member::Model::from_query_result(row, "m_")?.try_into()?),
        workspace: Arc::new(workspace::Model::from_query_result(row, "w_")?.try_into()?),
    })
}

pub(super) fn record(row: &QueryResult, now: Timestamp) -> Result<TokenRecord, Abort> {
    let Bearer {
        token,
        member,
        workspace,
    } = bearer(row)?;
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
    })
}
