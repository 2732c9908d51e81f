//! Rotated tokens that are presented when their overlap is over: somebody did not change over, or holds what is not theirs.
//! That is recorded once of each token, beside the decision, which neither waits for it nor fails with it. Where the
//! workspace says so, the token's whole family is revoked with it.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::revoke::revoke_each;
use crate::{
    domain::{
        decide::Presented,
        event::{Details, NewEvent},
        ids::{CallerName, TokenId},
        limiter::Limiter,
        token::{Origin, Token, TokenState},
    },
    service::Service,
    store::{Abort, Change, Mutation, Tx},
};

/// How many are recorded in a second at most: what is left out is recorded when it is presented again.
const PER_SECOND: u32 = 20;
/// Why the family of one is revoked.
const REASON: &str = "a rotated token of its family was presented after its overlap";

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
        if token.rotated().is_none() || !token.is_unrecorded_reuse(self.0.clock.now()) {
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
        let Some(rotated) = token.rotated() else {
            return Ok(Change::none(()));
        };
        let family = self.family(tx).await?;
        if !tx.record_reuse(&token.token_id).await? {
            return Ok(Change::none(()));
        }
        let reused = Details::TokenReused {
            successor_id: rotated.successor_id.to_string(),
        };
        let mut events = vec![NewEvent::of_token(token, reused)];
        events.extend(revoke_each(tx, family.iter(), &self.origin, REASON, None).await?);
        Ok(Change::made_all((), events))
    }
}

impl RecordReuse {
    /// What lives of the token's family, locked, if it is to be revoked: what has ended only by the workspace's policy, which
    /// may be loosened, lives. Nothing joins the family of a locked member.
    async fn family(&self, tx: &Tx) -> Result<Vec<Token>, Abort> {
        let key = &self.token.member;
        let workspace = tx.share_workspace(&key.workspace_id).await?;
        let Some(workspace) = workspace.filter(|found| found.token_policy.revoke_family_on_reuse)
        else {
            return Ok(Vec::new());
        };
        let Some(member) = tx.lock_member(key).await? else {
            return Ok(Vec::new());
        };
        let mut family = tx.find_family(&self.token.token_id).await?;
        let ids = family.iter().map(|token| token.token_id.clone());
        tx.lock_tokens(&BTreeSet::from([key.clone()]), &ids.collect())
            .await?;
        family.retain(|token| {
            token.state(&workspace, &member, tx.now()) != TokenState::Revoked
                && token.expires_at.is_none_or(|at| at > tx.now())
        });
        Ok(family)
    }
}
