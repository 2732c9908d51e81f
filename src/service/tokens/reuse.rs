//! Rotated tokens that are presented when their overlap is over: somebody did not change over, or holds what is not theirs.
//! That is recorded once of each token, beside the decision, which neither waits for it nor fails with it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::{
        decide::Presented,
        event::{Details, NewEvent},
        ids::{CallerName, TokenId},
        limiter::Limiter,
        token::{Origin, Token},
    },
    service::Service,
    store::{Abort, Change, Mutation, Tx},
};

/// How many are recorded in a second at most: what is left out is recorded when it is presented again.
const PER_SECOND: u32 = 20;

/// Those that are being recorded now.
pub(in crate::service) struct Reuses {
    running: Mutex<HashSet<TokenId>>,
    limiter: Limiter<()>,
}

impl Default for Reuses {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            limiter: Limiter::new(PER_SECOND),
        }
    }
}

impl Reuses {
    fn running(&self) -> std::sync::MutexGuard<'_, HashSet<TokenId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Has it recorded, soon, if this is such a token and nobody has recorded it yet.
    pub(in crate::service) fn notice_reuse(&self, presented: &Presented, caller: &CallerName) {
        let Presented::Known(bearer) = presented else {
            return;
        };
        let token = &bearer.token;
        if token.rotated.is_none() || !token.is_unrecorded_reuse(self.0.clock.now()) {
            return;
        }
        if self.0.reuses.running().contains(&token.token_id)
            || self.0.reuses.limiter.admit((), self.0.clock.now()).is_err()
            || !self.0.reuses.running().insert(token.token_id.clone())
        {
            return;
        }
        let record = RecordReuse {
            origin: Origin {
                caller: caller.clone(),
                actor: None,
            },
            token: Arc::clone(token),
        };
        let service = self.clone();
        tokio::spawn(async move {
            let token_id = record.token.token_id.clone();
            // A failure was logged, and the next time that it is presented this is tried again.
            service.0.store.mutate(record).await.ok();
            service.0.reuses.running().remove(&token_id);
        });
    }
}

struct RecordReuse {
    origin: Origin,
    token: Arc<Token>,
}

impl Mutation for RecordReuse {
    type Output = ();

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<()>, Abort> {
        let token = &self.token;
        let Some(rotated) = &token.rotated else {
            return Ok(Change::none(()));
        };
        if !tx.record_reuse(&token.token_id).await? {
            return Ok(Change::none(()));
        }
        let reused = Details::TokenReused {
            successor_id: rotated.successor_id.to_string(),
        };
        Ok(Change::made((), NewEvent::of_token(token, reused)))
    }
}
