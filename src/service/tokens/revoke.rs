//! Revoking one token, and several that are locked already.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    TokenTarget, require_token,
    retry::{Earlier, Retry},
};
use crate::{
    domain::{
        error::Error,
        event::{Details, NewEvent},
        ids::{RequestId, Revision, TokenId},
        request::Content,
        token::{Origin, Revocation, Token, TokenRecord, TokenState},
    },
    service::{Rules, Service},
    store::{Abort, Change, Mutation, Tx},
};

/// Which token to revoke.
pub struct RevokeRequest {
    /// On whose behalf.
    pub origin: Origin,
    /// Which.
    pub target: TokenTarget,
    /// Why.
    pub reason: String,
    /// Whether to answer only once no replica can allow it any more.
    pub wait_for_replicas: bool,
    /// By what a retry is known, if it may come.
    pub request_id: Option<RequestId>,
}

/// What revoking came to.
pub struct Revoked {
    /// The token. By secret there may be none.
    pub record: Option<TokenRecord>,
    /// Whether an earlier request of the same id did it.
    pub is_replayed: bool,
    /// Its position in the feed; the newest where it changed nothing.
    pub revision: Revision,
}

impl Service {
    /// Revokes a token and answers its record. One that is revoked already is left as it is. By secret there may be none, which is no error,
    /// and the actor does not matter: whoever holds a secret may have it revoked.
    pub async fn revoke_token(&self, request: RevokeRequest) -> Result<Revoked, Error> {
        let rules = self.rules();
        let retry = Retry::new(request.request_id.as_ref(), request.content(), &rules.ring);
        let is_named = retry.is_named();
        if !retry.is_named() && matches!(request.target, TokenTarget::Secret(None)) {
            self.wait_for_replicas(request.wait_for_replicas).await?;
            return Ok(Revoked {
                record: None,
                is_replayed: false,
                revision: self.reading(self.0.store.head()).await?,
            });
        }
        let waits = request.wait_for_replicas;
        let revoke = Revoke {
            rules,
            request,
            retry,
        };
        let done = self.mutate_once(revoke, is_named).await?;
        self.wait_for_replicas(waits).await?;
        let (record, is_replayed) = done.output;
        Ok(Revoked {
            record,
            is_replayed,
            revision: done.revision,
        })
    }

    /// Waits, if that is wanted, until whatever any replica knew before now is too old to decide from, answers that were
    /// made from it included.
    pub(super) async fn wait_for_replicas(&self, is_wanted: bool) -> Result<(), Error> {
        if !is_wanted {
            return Ok(());
        }
        // After the commit: whoever could have used a longer bound on what was there before has read it by now.
        let session = self.0.store.read();
        let bound = self
            .reading(async { Ok(session.longest_staleness().await?) })
            .await?;
        tokio::time::sleep(bound).await;
        Ok(())
    }
}

impl RevokeRequest {
    /// Every field is named, so that none is forgotten that is added. Whether to wait for the replicas is left out: it changes
    /// nothing about what is asked for.
    fn content(&self) -> Content {
        let Self {
            origin,
            target,
            reason,
            wait_for_replicas: _,
            request_id: _,
        } = self;
        let content = Content::of("RevokeToken");
        let content = match target {
            TokenTarget::Id(id) => content.text("token_id").text(id.as_str()),
            TokenTarget::Secret(Some(secret)) => content.text("secret").secret(secret),
            TokenTarget::Secret(None) => content.text("malformed"),
        };
        content.text(reason).member(origin.actor.as_ref())
    }
}

struct Revoke {
    rules: Arc<Rules>,
    request: RevokeRequest,
    retry: Retry,
}

impl Mutation for Revoke {
    /// The token, and whether an earlier request of the same id revoked it.
    type Output = (Option<TokenRecord>, bool);

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<Self::Output>, Abort> {
        let RevokeRequest { origin, target, .. } = &self.request;
        // As it is before anything is locked.
        let found = self.rules.find_target(tx, origin, target, tx.now());
        let found = found.await?;
        if let Some(found) = &found {
            let member = &found.token.member;
            tx.share_workspace(&member.workspace_id).await?;
            tx.lock_member(member).await?;
            tx.lock_token(&found.token.token_id).await?;
        }
        // Also where there is no token: what is answered must not tell.
        match self.retry.earlier(tx, origin).await? {
            Earlier::Nothing => {}
            Earlier::NoToken => return Ok(Change::none((None, true))),
            Earlier::Token(id) => {
                return Ok(Change::none((tx.find_token(&id, tx.now()).await?, true)));
            }
        }
        let change = match &found {
            None => Change::none((None, false)),
            Some(found) => self.revoke(tx, &found.token.token_id).await?,
        };
        let id = found.as_ref().map(|found| &found.token.token_id);
        self.retry.remember(tx, origin, id).await?;
        Ok(match self.retry.is_named() {
            true => change.kept(),
            false => change,
        })
    }
}

impl Revoke {
    /// Revokes a token that is locked.
    async fn revoke(
        &self,
        tx: &Tx,
        id: &TokenId,
    ) -> Result<Change<<Self as Mutation>::Output>, Abort> {
        // Once more, now that nothing can change it any longer.
        let mut record = require_token(tx, id, tx.now()).await?;
        // One that has expired is revoked all the same: by another server's clock it may have a moment left.
        if record.state == TokenState::Revoked {
            return Ok(Change::none((Some(record), false)));
        }
        let revocation = Revocation {
            at: tx.now(),
            by: self.request.origin.clone(),
            reason: self.request.reason.clone(),
        };
        tx.revoke_token(id, &revocation).await?;
        record.state = TokenState::Revoked;
        record.token.revoked = Some(Box::new(revocation.clone()));
        record.revocation = Some(revocation);
        let details = Details::TokenRevoked {
            reason: self.request.reason.clone(),
            by_secret: matches!(self.request.target, TokenTarget::Secret(_)),
            leak_source: None,
        };
        let event = NewEvent::of_token(&record.token, details);
        Ok(Change::made((Some(record), false), event))
    }
}

/// Revokes locked tokens, and tells of each in the same words.
pub(super) async fn revoke_each<'a>(
    tx: &Tx,
    tokens: impl Iterator<Item = &'a Token> + Clone,
    by: &Origin,
    reason: &str,
    leak_source: Option<String>,
) -> Result<Vec<NewEvent>, Abort> {
    let ids: BTreeSet<TokenId> = tokens.clone().map(|token| token.token_id.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let revocation = Revocation {
        at: tx.now(),
        by: by.clone(),
        reason: reason.to_owned(),
    };
    tx.revoke_tokens(&ids, &revocation).await?;
    let revoked = Details::TokenRevoked {
        reason: reason.to_owned(),
        by_secret: leak_source.is_some(),
        leak_source,
    };
    let events = tokens.map(|token| NewEvent::of_token(token, revoked.clone()));
    Ok(events.collect())
}
