//! Revoking all tokens of a member or of a workspace, by raising its generation.

use std::sync::Arc;

use crate::{
    domain::{
        directory::{MemberState, WorkspaceState},
        error::Error,
        event::{Details, NewEvent},
        ids::{MemberId, MemberKey, Revision, WorkspaceId},
        token::Origin,
    },
    service::{Rules, Service, member_not_found},
    store::{Abort, Change, Mutation, Tx},
};

/// Whose tokens to revoke.
pub struct RevokeAllRequest {
    /// On whose behalf.
    pub origin: Origin,
    /// Those of this workspace.
    pub workspace_id: WorkspaceId,
    /// Those of this member only.
    pub member_id: Option<MemberId>,
    /// Why.
    pub reason: String,
    /// Whether to answer only once no replica can allow any of them any more.
    pub wait_for_replicas: bool,
}

impl Service {
    /// Revokes every token that there is by now, in one write however many.
    pub async fn revoke_tokens(&self, request: RevokeAllRequest) -> Result<Revision, Error> {
        let revoke = RevokeAll {
            rules: self.rules(),
            request,
        };
        let waits = revoke.request.wait_for_replicas;
        let revision = self.mutate(revoke).await?.revision;
        self.wait_for_replicas(waits).await?;
        Ok(revision)
    }

    /// How many live tokens a workspace has.
    pub async fn count_live_tokens(&self, workspace_id: &WorkspaceId) -> Result<u64, Error> {
        let now = self.0.clock.now();
        let session = self.0.store.read();
        let count = session.count_live_tokens_of(workspace_id, now);
        self.reading(async { Ok(count.await?) }).await
    }
}

struct RevokeAll {
    rules: Arc<Rules>,
    request: RevokeAllRequest,
}

impl Mutation for RevokeAll {
    type Output = ();

    fn origin(&self) -> &Origin {
        &self.request.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<()>, Abort> {
        match &self.request.member_id {
            None => self.of_workspace(tx).await,
            Some(member_id) => {
                let key = MemberKey {
                    workspace_id: self.request.workspace_id.clone(),
                    member_id: member_id.clone(),
                };
                self.of_member(tx, &key).await
            }
        }
    }
}

impl RevokeAll {
    async fn of_workspace(&self, tx: &Tx) -> Result<Change<()>, Abort> {
        let id = &self.request.workspace_id;
        let not_found = || Error::WorkspaceNotFound {
            workspace_id: id.to_string(),
        };
        let authority = self.rules.authority(tx, &self.request.origin).await?;
        authority
            .may_oversee_workspace(id)
            .map_err(|refused| refused.or_not_found(not_found()))?;
        let found = tx.lock_workspace(id).await?;
        let mut workspace = found.ok_or_else(not_found)?;
        // Its tokens ended with it.
        if workspace.state == WorkspaceState::Deleted {
            return Ok(Change::none(()));
        }
        workspace.generation += 1;
        workspace.version += 1;
        workspace.updated_at = tx.now();
        self.record(tx, workspace.generation).await?;
        tx.update_workspace(&workspace).await?;
        Ok(self.made())
    }

    async fn of_member(&self, tx: &Tx, key: &MemberKey) -> Result<Change<()>, Abort> {
        let not_found = || member_not_found(key);
        let authority = self.rules.authority(tx, &self.request.origin).await?;
        authority
            .may_oversee(key)
            .map_err(|refused| refused.or_not_found(not_found()))?;
        tx.share_workspace(&key.workspace_id).await?;
        let found = tx.lock_member(key).await?;
        let mut member = found.ok_or_else(not_found)?;
        if member.state == MemberState::Removed {
            return Ok(Change::none(()));
        }
        member.generation += 1;
        member.version += 1;
        member.updated_at = tx.now();
        self.record(tx, member.generation).await?;
        tx.update_member(&member).await?;
        Ok(self.made())
    }

    async fn record(&self, tx: &Tx, generation: i64) -> Result<(), Abort> {
        let RevokeAllRequest {
            origin,
            workspace_id,
            member_id,
            reason,
            ..
        } = &self.request;
        tx.insert_revocation(workspace_id, member_id.as_ref(), generation, origin, reason)
            .await
    }

    fn made(&self) -> Change<()> {
        let event = NewEvent {
            workspace_id: self.request.workspace_id.to_string(),
            member_id: self.request.member_id.as_ref().map(ToString::to_string),
            token_id: None,
            details: Details::TokensRevoked {
                reason: self.request.reason.clone(),
            },
        };
        Change::made((), event)
    }
}
