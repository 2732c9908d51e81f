//! Revoking tokens whose secrets were found where they should not be. Nobody learns which of them were tokens.

use std::collections::BTreeSet;

use super::revoke::revoke_each;
use crate::{
    domain::{
        error::Error,
        ids::{MemberKey, Revision, TokenId},
        pepper::Digest,
        secret::Secret,
        token::{Origin, TokenRecord, TokenState},
    },
    service::Service,
    store::{Abort, Change, Mutation, Tx},
};

/// Secrets that were found.
pub struct LeakReport {
    /// Who reports it.
    pub origin: Origin,
    /// The secrets. What was malformed is left out: it is nobody's.
    pub secrets: Vec<Secret>,
    /// Where they were found; may be empty.
    pub source: String,
}

impl Service {
    /// Reads what was found, if it is a token's secret by its form.
    pub fn read_secret(&self, presented: &str) -> Option<Secret> {
        self.rules().format.parse(presented)
    }

    /// Revokes every token whose secret is among those that were found, in one change.
    pub async fn revoke_leaked_tokens(&self, report: LeakReport) -> Result<Revision, Error> {
        if report.secrets.is_empty() {
            return self.reading(self.0.store.head()).await;
        }
        let ring = &self.rules().ring;
        let digests = report
            .secrets
            .iter()
            .flat_map(|secret| ring.digests(secret));
        let reason = match report.source.as_str() {
            "" => "leaked".to_owned(),
            source => format!("leaked: {source}"),
        };
        let revoke = RevokeLeaked {
            digests: digests.collect(),
            origin: report.origin,
            source: report.source,
            reason,
        };
        Ok(self.mutate(revoke).await?.revision)
    }
}

struct RevokeLeaked {
    origin: Origin,
    digests: Vec<Digest>,
    source: String,
    reason: String,
}

impl Mutation for RevokeLeaked {
    type Output = ();

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<()>, Abort> {
        let found = self.unrevoked(tx).await?;
        if found.is_empty() {
            return Ok(Change::none(()));
        }
        let ids = found.iter().map(|record| record.token.token_id.clone());
        let ids: BTreeSet<TokenId> = ids.collect();
        let members = found.iter().map(|record| record.token.member.clone());
        let members: BTreeSet<MemberKey> = members.collect();
        let workspaces: BTreeSet<_> = members.iter().map(|key| &key.workspace_id).collect();
        for workspace_id in workspaces {
            tx.share_workspace(workspace_id).await?;
        }
        tx.lock_tokens(&members, &ids).await?;
        // Once more, now that nothing can change them any longer.
        let found = self.unrevoked(tx).await?;
        let tokens = found.iter().map(|record| &record.token);
        let source = Some(self.source.clone());
        let events = revoke_each(tx, tokens, &self.origin, &self.reason, source).await?;
        Ok(Change::made_all((), events))
    }
}

impl RevokeLeaked {
    /// The tokens that are to be revoked. Those that have expired are too: by another server's clock one may have a moment
    /// left.
    async fn unrevoked(&self, tx: &Tx) -> Result<Vec<TokenRecord>, Abort> {
        let mut records = tx.find_tokens_by_digest(&self.digests).await?;
        records.retain(|record| record.state != TokenState::Revoked);
        Ok(records)
    }
}
