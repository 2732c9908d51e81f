//! Requests that may be sent again: the first of an id is carried out and remembered with what it changed, and whoever
//! sends it again is told what came of it.

use std::sync::atomic::Ordering;

use crate::{
    domain::{
        error::Error,
        ids::{RequestId, TokenId},
        pepper::PepperRing,
        request::{Content, ContentDigest},
        token::Origin,
    },
    service::Service,
    store::{Abort, Done, Mutation, PastRequest, Tx},
};

/// How often old requests are forgotten at most.
const FORGET_INTERVAL_MILLIS: i64 = 60_000;

/// A request with an id, or without one: then it is never known again.
pub(super) struct Retry(Option<Named>);

struct Named {
    id: RequestId,
    /// What is asked for, under each pepper; under the active one first.
    content: Vec<ContentDigest>,
}

impl Retry {
    pub(super) fn new(id: Option<&RequestId>, content: Content, ring: &PepperRing) -> Self {
        Self(id.map(|id| Named {
            id: id.clone(),
            content: content.digests(ring),
        }))
    }

    /// Whether the request has an id.
    pub(super) fn is_named(&self) -> bool {
        self.0.is_some()
    }

    /// What the same request came to before. To be asked once what it changes is locked, and before anything is checked
    /// that the first may have changed, or that time has.
    pub(super) async fn earlier(&self, tx: &Tx, origin: &Origin) -> Result<Earlier, Abort> {
        let Some(named) = &self.0 else {
            return Ok(Earlier::Nothing);
        };
        match tx.find_request(&origin.caller, &named.id).await? {
            None => Ok(Earlier::Nothing),
            Some(past) if named.content.contains(&past.content) => {
                Ok(past.token_id.map_or(Earlier::NoToken, Earlier::Token))
            }
            Some(_) => Err(Error::RequestIdReused {
                request_id: named.id.to_string(),
            }
            .into()),
        }
    }

    /// Remembers what the request came to.
    pub(super) async fn remember(
        &self,
        tx: &Tx,
        origin: &Origin,
        token_id: Option<&TokenId>,
    ) -> Result<(), Abort> {
        let Some(Named { id, content }) = &self.0 else {
            return Ok(());
        };
        let Some(&content) = content.first() else {
            return Ok(());
        };
        let past = PastRequest {
            content,
            token_id: token_id.cloned(),
        };
        tx.insert_request(&origin.caller, id, past).await
    }
}

/// What the same request came to before.
pub(super) enum Earlier {
    /// It was not made before.
    Nothing,
    /// It came to this token.
    Token(TokenId),
    /// It named no token that there is.
    NoToken,
}

impl Service {
    /// Runs the mutation of a request that is remembered if it has an id.
    pub(super) async fn mutate_once<M: Mutation>(
        &self,
        mutation: M,
        is_named: bool,
    ) -> Result<Done<M::Output>, Error> {
        let done = self.mutate(mutation).await?;
        if is_named {
            self.forget_requests();
        }
        Ok(done)
    }

    /// Forgets old requests now and then, beside whatever is going on.
    fn forget_requests(&self) {
        let now = self.0.clock.now();
        let last = self.0.forgotten_at.load(Ordering::Relaxed);
        if now.0.saturating_sub(last) < FORGET_INTERVAL_MILLIS {
            return;
        }
        let forgotten_at = &self.0.forgotten_at;
        let swap = forgotten_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if swap.is_err() {
            return;
        }
        let store = self.0.store.clone();
        // A failure is logged where it arises, and the next time they are forgotten with the others.
        tokio::spawn(async move { store.forget_requests(now).await.ok() });
    }
}
