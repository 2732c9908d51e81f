//! Telling of tokens that are about to expire, and of those that have: as events, beside all that is asked for.
//!
//! Every replica looks for what is due. How many notices are behind a token is kept with it and read again under its lock,
//! in the change that tells: so each is told once, however many replicas look, and whichever of them ends in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    domain::{
        error::Error,
        event::NewEvent,
        ids::{CallerName, MemberKey, TokenId, WorkspaceId},
        notice,
        token::Origin,
    },
    service::{Service, jittered},
    store::{Abort, Change, DueToken, Mutation, Tx},
};

/// How many tokens are looked at together, and told of at most in one change: nobody waits for long behind it.
const BATCH: u64 = 50;

impl Service {
    /// Looks for what is due every so often, and tells it. Never ends.
    pub async fn tell_of_expiries(self, interval: Duration) {
        loop {
            tokio::time::sleep(jittered(interval)).await;
            // A failure was logged, and the next time this is tried again.
            self.tell_what_is_due().await.ok();
        }
    }

    /// One change at a time, each of which waits for its turn as those of a caller do.
    async fn tell_what_is_due(&self) -> Result<(), Error> {
        let now = self.now();
        for stage in (0..).zip(notice::leads()) {
            let mut last: Option<DueToken> = None;
            loop {
                let session = self.0.store.read();
                let find = session.find_due_notices(stage, last.as_ref(), now, BATCH);
                let mut due = self.reading(async { Ok(find.await?) }).await?;
                let is_last = u64::try_from(due.len()).is_ok_and(|found| found < BATCH);
                self.tell(&due).await;
                last = due.pop();
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// In a change for each workspace. One that fails keeps no other from being told.
    async fn tell(&self, due: &[DueToken]) {
        let mut by_workspace: BTreeMap<&WorkspaceId, Vec<&DueToken>> = BTreeMap::new();
        for token in due {
            let of_workspace = by_workspace.entry(&token.member.workspace_id);
            of_workspace.or_default().push(token);
        }
        for (workspace_id, tokens) in by_workspace {
            let tell = Tell {
                origin: Origin {
                    caller: CallerName::service_itself(),
                    actor: None,
                },
                workspace_id: workspace_id.clone(),
                members: tokens.iter().map(|token| token.member.clone()).collect(),
                ids: tokens.iter().map(|token| token.token_id.clone()).collect(),
            };
            self.0.store.mutate(tell).await.ok();
        }
    }
}

struct Tell {
    origin: Origin,
    workspace_id: WorkspaceId,
    members: BTreeSet<MemberKey>,
    ids: BTreeSet<TokenId>,
}

impl Mutation for Tell {
    type Output = ();

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<()>, Abort> {
        // So that none of them is revoked meanwhile, by itself or with others.
        tx.share_workspace(&self.workspace_id).await?;
        tx.lock_tokens(&self.members, &self.ids).await?;
        let mut events = Vec::new();
        let mut passed: BTreeMap<i32, BTreeSet<TokenId>> = BTreeMap::new();
        for (record, before) in tx.find_notified(&self.ids).await? {
            let Some(progress) = notice::progress(&record, before, tx.now()) else {
                continue;
            };
            let token = &record.token;
            let passing = passed.entry(progress.behind).or_default();
            passing.insert(token.token_id.clone());
            let told = progress.told;
            events.extend(told.map(|details| NewEvent::of_token(token, details)));
        }
        if passed.is_empty() {
            return Ok(Change::none(()));
        }
        for (behind, ids) in &passed {
            tx.set_notified(ids, *behind).await?;
        }
        Ok(Change::made_all((), events).kept())
    }
}
