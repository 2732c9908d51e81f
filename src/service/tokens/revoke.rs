//! Revoking one token.

use std::sync::Arc;

use super::{TokenTarget, token_not_found};
use crate::{
    domain::{
        error::Error,
        event::{Details, NewEvent},
        ids::Revision,
        pepper::Digest,
        token::{Origin, Revocation, TokenRecord, TokenState},
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
}

impl Service {
    /// Revokes a token and answers its record. One that is revoked already is left as it is. By secret there may be none, which is no error,
    /// and the actor does not matter: whoever holds a secret may have it revoked.
    pub async fn revoke_token(
        &self,
        request: RevokeRequest,
    ) -> Result<(Option<TokenRecord>, Revision), Error> {
        let rules = self.rules();
        let digests = match &request.target {
            TokenTarget::Secret(None) => {
                self.wait_for_replicas(request.wait_for_replicas).await?;
                return Ok((None, self.0.store.head().await?));
            }
            TokenTarget::Secret(Some(secret)) => rules.ring.digests(secret),
            TokenTarget::Id(_) => Vec::new(),
        };
        let revoke = Revoke {
            rules,
            request,
            digests,
        };
        let waits = revoke.request.wait_for_replicas;
        let done = self.mutate(revoke).await?;
        self.wait_for_replicas(waits).await?;
        Ok((done.output, done.revision))
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

struct Revoke {
    rules: Arc<Rules>,
    request: RevokeRequest,
    digests: Vec<Digest>,
}

impl Mutation for Revoke {
    type Output = Option<TokenRecord>;

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<Self::Output>, Abort> {
        let Some(found) = self.find(tx).await? else {
            return Ok(Change::none(None));
        };
        let id = &found.token.token_id;
        let member = &found.token.member;
        tx.share_workspace(&member.workspace_id).await?;
        tx.lock_member(member).await?;
        tx.lock_token(id).await?;
        // Once more, now that nothing can change it any longer.
        let mut record = tx
            .find_token(id, tx.now())
            .await?
            .ok_or_else(|| token_not_found(id))?;
        // One that has expired is revoked all the same: by another server's clock it may have a moment left.
        if record.state == TokenState::Revoked {
            return Ok(Change::none(Some(record)));
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
        let event = NewEvent {
            workspace_id: member.workspace_id.to_string(),
            member_id: Some(member.member_id.to_string()),
            token_id: Some(id.to_string()),
            details: Details::TokenRevoked {
                reason: self.request.reason.clone(),
                by_secret: matches!(self.request.target, TokenTarget::Secret(_)),
            },
        };
        Ok(Change::made(Some(record), event))
    }
}

impl Revoke {
    /// The token as it is before anything is locked, if the origin may revoke it.
    async fn find(&self, tx: &Tx) -> Result<Option<TokenRecord>, Abort> {
        let TokenTarget::Id(id) = &self.request.target else {
            return tx.find_token_by_digest(&self.digests, tx.now()).await;
        };
        let authority = self.rules.authority(tx, &self.request.origin).await?;
        let found = tx.find_token(id, tx.now()).await?;
        let record = found.ok_or_else(|| token_not_found(id))?;
        authority
            .may_oversee(&record.token.member)
            .map_err(|refused| refused.or_not_found(token_not_found(id)))?;
        Ok(Some(record))
    }
}
