//! The one way to change anything: a transaction that ends with its event, run to the end whatever becomes of its caller.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tracing::{Instrument, info_span};

use super::{
    Session, Store, Tx,
    fault::{Abort, is_rolled_back},
};
use crate::domain::{
    database_url::Backend,
    error::Error,
    event::NewEvent,
    ids::{CallerName, Revision},
    token::Origin,
};

/// How often a transaction that lost to another is run before its caller is told to try again.
const ATTEMPTS: u32 = 5;

/// What a transaction on Postgres begins with, in one round trip. Stricter levels of isolation abort whoever waited for the
/// counter; the locks taken here make them needless. The limits are so that a replica that is paused or cut off while it
/// holds locks cannot hold up the others for long.
const BEGIN_POSTGRES: &str = "\
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; \
    SET LOCAL idle_in_transaction_session_timeout = 2000; \
    SET LOCAL lock_timeout = 2000; \
    SET LOCAL statement_timeout = 5000";

/// A change, as a value: it may be run more than once, and only the last run counts.
///
/// Rows are locked in this order: workspace, member, tokens by id, feed.
pub trait Mutation: Send + Sync + 'static {
    /// What its caller is told.
    type Output: Send + 'static;

    /// On whose behalf it is made, for its event.
    fn origin(&self) -> &Origin;

    /// Makes the change inside the transaction.
    fn run(&self, tx: &Tx) -> impl Future<Output = Result<Change<Self::Output>, Abort>> + Send;
}

/// What a mutation came to.
pub struct Change<T> {
    output: T,
    /// In the order in which they are told.
    events: Vec<NewEvent>,
    /// Whether there is something to commit.
    is_kept: bool,
}

impl<T> Change<T> {
    /// It changed something, of which the event tells.
    pub fn made(output: T, event: NewEvent) -> Self {
        Self::made_all(output, vec![event])
    }

    /// It changed several things, each with an event of its own; nothing if there is none.
    pub fn made_all(output: T, events: Vec<NewEvent>) -> Self {
        Self {
            output,
            is_kept: !events.is_empty(),
            events,
        }
    }

    /// There was nothing to change.
    pub fn none(output: T) -> Self {
        Self {
            output,
            events: Vec::new(),
            is_kept: false,
        }
    }

    /// The same with something in it that is kept, though there may be no event to tell of it.
    #[must_use]
    pub fn kept(self) -> Self {
        Self {
            is_kept: true,
            ..self
        }
    }
}

/// A mutation that was committed.
pub struct Done<T> {
    /// What its caller is told.
    pub output: T,
    /// Its position in the feed; the newest when nothing was changed.
    pub revision: Revision,
    /// Whether anything was.
    pub is_changed: bool,
}

impl Store {
    /// Whether one more mutation of this caller's could wait for its turn now.
    pub fn admit_mutation(&self, caller: &CallerName) -> Result<(), Error> {
        self.turns.admit(caller)
    }

    /// Runs a mutation, when it is its turn. From then on it has a task of its own: a caller that gives up must not stop it
    /// between its commit and whatever has to follow.
    pub async fn mutate<M: Mutation>(&self, mutation: M) -> Result<Done<M::Output>, Error> {
        let turn = self.turns.take(&mutation.origin().caller).await?;
        let store = self.clone();
        let run = async move {
            let _turn = turn;
            store.run_to_end(mutation).await
        };
        let run = self.background.spawn(run);
        run.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "a mutation did not run to its end");
            Err(Error::OutcomeUnknown)
        })
    }

    #[tracing::instrument(skip_all, name = "store.mutate")]
    async fn run_to_end<M: Mutation>(&self, mutation: M) -> Result<Done<M::Output>, Error> {
        let mut attempt = 1;
        loop {
            let abort = match self.attempt(&mutation).await {
                Ok(done) => return Ok(done),
                Err(abort) => abort,
            };
            if attempt == ATTEMPTS || !abort.is_worth_retrying() {
                return Err(abort.into());
            }
            tokio::time::sleep(Duration::from_millis(5) * attempt).await;
            attempt += 1;
        }
    }

    async fn attempt<M: Mutation>(&self, mutation: &M) -> Result<Done<M::Output>, Abort> {
        let tx = Tx {
            session: Session {
                db: self.begin().await?,
                head: Arc::clone(&self.head),
            },
            now: self.clock.now(),
        };
        // Every early return drops the transaction, which rolls it back.
        let change = mutation.run(&tx).await?;
        let Change {
            output,
            events,
            is_kept,
        } = change;
        let revision = match events.is_empty() {
            true => tx.head().await?,
            false => tx.append(mutation.origin(), &events).await?,
        };
        if !is_kept {
            tx.session.db.rollback().await?;
            return Ok(Done {
                output,
                revision,
                is_changed: false,
            });
        }
        let commit = tx.session.db.commit();
        match commit.instrument(info_span!("store.commit")).await {
            Ok(()) => {
                self.head.store(revision.number, Ordering::Relaxed);
                self.tell_outcome(&events, Some(revision));
                if let Some(observer) = &self.observer {
                    events.iter().for_each(|event| observer(&event.details));
                }
                Ok(Done {
                    output,
                    revision,
                    is_changed: !events.is_empty(),
                })
            }
            Err(error) if is_rolled_back(&error) => Err(error.into()),
            Err(error) => {
                tracing::error!(error = %error, "the outcome of a commit is unknown");
                self.tell_outcome(&events, None);
                Err(Error::OutcomeUnknown.into())
            }
        }
    }

    fn tell_outcome(&self, events: &[NewEvent], revision: Option<Revision>) {
        if let Some(observer) = &self.on_outcome {
            events.iter().for_each(|event| observer(event, revision));
        }
    }

    #[tracing::instrument(skip_all, name = "store.begin")]
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, Abort> {
        if self.backend == Backend::Postgres {
            let tx = self.write.begin().await?;
            tx.execute_unprepared(BEGIN_POSTGRES).await?;
            return Ok(tx);
        }
        let options = TransactionOptions {
            // A deferred transaction that reads first is refused when another has written meanwhile.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(options).await?)
    }
}
