//! Looking up what is known of a presented secret: all that a decision takes, in one statement.

use std::sync::{Mutex, PoisonError};

use sea_orm::{
    ConnectionTrait, DbBackend, ExprTrait, FromQueryResult, QueryResult, Statement,
    StatementBuilder,
    sea_query::{Expr, JoinType, Query},
};

use super::select::{bearer, is_digest, select_columns, select_presented};
use crate::{
    domain::{decide::Presented, error::Error, ids::Revision, pepper::Digest, time::Timestamp},
    store::{
        Session,
        connect::READERS,
        entity::{feed_head, token},
        fault::Abort,
    },
};

/// What a presented secret came to, and the position at which it was looked up.
pub struct Presentation {
    /// Known or unknown.
    pub presented: Presented,
    /// The newest change that was seen.
    pub revision: Revision,
    /// The pepper that it is stored under, where it is known.
    pub pepper_id: Option<String>,
}

impl<C: ConnectionTrait> Session<C> {
    /// Looks up a secret by its digests, with its member, workspace and the feed's head: one statement, so that all four
    /// are of one instant.
    #[tracing::instrument(skip_all, name = "store.find_presented")]
    pub async fn find_presented(
        &self,
        digests: &[Digest],
        now: Timestamp,
    ) -> Result<Presentation, Abort> {
        let row = self.query_one_again(digests).await?;
        let row = row.ok_or_else(|| Abort::corrupt("the feed has no head".to_owned()))?;
        if row.try_get("", "in_recovery")? {
            tracing::error!("the database is a standby, whose answers may be old");
            return Err(Error::Unavailable.into());
        }
        let head = feed_head::Model::from_query_result(&row, "h_")?;
        let stored = token::Model::from_query_result_optional(&row, "t_")?;
        let pepper_id = stored.as_ref().map(|token| token.pepper_id.clone());
        let presented = match stored {
            Some(token) => Presented::Known(bearer(token, &row, now)?),
            None => Presented::Unknown,
        };
        let revision = head.try_into()?;
        self.saw_head(&revision);
        Ok(Presentation {
            presented,
            revision,
            pepper_id,
        })
    }

    /// Asks again where the connection turns out to be gone. After a restart of the database all that the pool holds may be.
    async fn query_one_again(&self, digests: &[Digest]) -> Result<Option<QueryResult>, Abort> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let statement = statement(self.backend(), digests);
            match self.db.query_one_raw(statement).await.map_err(Abort::from) {
                Err(abort) if abort.is_broken_connection() && attempts <= READERS => {}
                row => return row,
            }
        }
    }
}

/// Its text depends on nothing but how many digests there are, and takes longer to build than all else that is done here.
fn statement(backend: DbBackend, digests: &[Digest]) -> Statement {
    static TEXTS: Mutex<Vec<(DbBackend, usize, String)>> = Mutex::new(Vec::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it =
        |(of, count, _): &&(DbBackend, usize, String)| (*of, *count) == (backend, digests.len());
    let text = match texts.iter().find(is_it) {
        Some((_, _, text)) => text.clone(),
        None => {
            let text = build(backend, digests).sql;
            texts.push((backend, digests.len(), text.clone()));
            text
        }
    };
    let values = digests.iter().map(|digest| digest.0.to_vec().into());
    Statement::from_sql_and_values(backend, text, values)
}

/// The digests are its only values.
fn build(backend: DbBackend, digests: &[Digest]) -> Statement {
    let only = feed_head::ONLY.to_string();
    // Whether the server replays another's log and so may be behind it.
    let in_recovery = match backend {
        DbBackend::Postgres => "pg_is_in_recovery()",
        _ => "false",
    };
    let mut query = Query::select();
    query
        .from_as("feed_head", "h")
        .join_as(JoinType::LeftJoin, "token", "t", is_digest(digests))
        .and_where(Expr::col(("h", feed_head::Column::Id)).eq(Expr::cust(only)));
    select_columns::<feed_head::Column>(&mut query, "h");
    select_presented(&mut query);
    query.expr_as(Expr::cust(in_recovery), "in_recovery");
    StatementBuilder::build(&query, &backend)
}
