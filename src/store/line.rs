//! A connection of one's own: opened when it is first needed, and given up when it breaks or does not answer in time.
//!
//! A pool would go on waiting for a connection whose other end has gone silent. Who has a line waits as long as it says,
//! and then has a new one.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use super::{
    FeedRead, Position, Presentation, Session, StatementObserver, Store,
    fault::{Abort, within},
    pool::connect_for_keys,
};
use crate::domain::{
    database_url::DatabaseUrl,
    ids::{Revision, RevisionName},
    pepper::Digest,
    time::Timestamp,
};
use sea_orm::DatabaseConnection;

/// One connection at a time.
pub struct Line {
    url: DatabaseUrl,
    head: Arc<AtomicI64>,
    on_statement: Option<StatementObserver>,
    session: Option<Session<DatabaseConnection>>,
}

impl Store {
    /// A line to the database at this address, which must be the store's own.
    pub fn line(&self, url: &DatabaseUrl) -> Line {
        Line {
            url: url.clone(),
            head: Arc::clone(&self.head),
            on_statement: self.on_statement.clone(),
            session: None,
        }
    }
}

impl Line {
    /// Another one to the same database.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            url: self.url.clone(),
            head: Arc::clone(&self.head),
            on_statement: self.on_statement.clone(),
            session: None,
        }
    }

    /// The same, whose statements are not told of.
    #[must_use]
    pub fn unobserved(self) -> Self {
        Self {
            on_statement: None,
            ..self
        }
    }

    /// [`Session::find_presented`], once more where the connection turns out to be gone.
    pub async fn find_presented(
        &mut self,
        digests: &[Digest],
        now: Timestamp,
        patience: Duration,
    ) -> Result<Presentation, Abort> {
        let ask = async {
            let mut answer = self.session().await?.find_presented(digests, now).await;
            if answer.as_ref().is_err_and(Abort::is_broken_connection) {
                self.session = None;
                answer = self.session().await?.find_presented(digests, now).await;
            }
            answer
        };
        let answer = within(patience, ask).await;
        self.settle(answer)
    }

    /// [`Session::read_feed_after`].
    pub async fn read_feed_after(
        &mut self,
        cursor: Option<&Revision>,
        patience: Duration,
    ) -> Result<FeedRead, Abort> {
        let ask = async { self.session().await?.read_feed_after(cursor).await };
        let answer = within(patience, ask).await;
        self.settle(answer)
    }

    /// Whether there is a change with this name, be its event kept or not.
    pub async fn knows(&mut self, name: RevisionName, patience: Duration) -> Result<bool, Abort> {
        let ask = async { self.session().await?.find_position(&name).await };
        let answer = within(patience, ask).await;
        let found = self.settle(answer)?;
        Ok(matches!(found, Position::Kept(_) | Position::Dropped))
    }

    /// Opens the connection, so that the first question need not wait for it.
    pub async fn open(mut self) -> Result<Self, Abort> {
        self.session().await?;
        Ok(self)
    }

    /// Closes the connection.
    pub async fn close(self) {
        if let Some(session) = self.session {
            session.db.close().await.ok();
        }
    }

    async fn session(&mut self) -> Result<&Session<DatabaseConnection>, Abort> {
        if self.session.is_none() {
            let mut db = connect_for_keys(&self.url).await?;
            if let Some(observer) = self.on_statement.clone() {
                db.set_metric_callback(move |info| observer(&info.statement.sql));
            }
            self.session = Some(Session {
                db,
                head: Arc::clone(&self.head),
            });
        }
        let missing = || Abort::corrupt("there is no connection".to_owned());
        self.session.as_ref().ok_or_else(missing)
    }

    /// Gives the connection up where it is of no more use.
    fn settle<T>(&mut self, answer: Result<T, Abort>) -> Result<T, Abort> {
        let is_lost = |abort: &Abort| {
            matches!(abort, Abort::Silent(_) | Abort::Database(_)) || abort.is_broken_connection()
        };
        if answer.as_ref().is_err_and(is_lost) {
            self.session = None;
        }
        answer
    }
}
