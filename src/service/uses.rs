//! When tokens were last used: marked in memory by each decision that allows something, and written together later, so that
//! no decision waits for it. What a process that is killed had not written is lost.
//!
//! Tokens that were found under another pepper than the active one are stored under that on the same occasion.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hashbrown::HashTable;
use tokio::{sync::Notify, time::sleep};

use super::Service;
use crate::domain::{decide::Bearer, error::Error, ids::TokenId, time::Timestamp, token::Latest};

/// So many that those who mark hardly ever meet.
const SHARDS: usize = 64;
/// How many tokens are remembered until they are written, a hundred bytes each. Others are left out then.
const MAX_MARKED: usize = 256 * 1024;
/// How many are written by one statement.
const BATCH: usize = 1024;
/// How many are stored under another pepper by one transaction.
const REKEY_BATCH: usize = 64;
/// A use that comes this shortly before its token would have gone unused for too long is written at once: the other
/// replicas are about to look for it. As long as it may take to write uses otherwise.
const URGENT: Duration = Duration::from_secs(60);
/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long the last writing may take before the process ends.
const LAST_WRITING: Duration = Duration::from_secs(5);

/// The tokens that were used since that was last written.
pub(super) struct Uses {
    shards: Box<[RwLock<HashTable<Use>>]>,
    hasher: RandomState,
    left_out: AtomicU64,
    /// There is so much, or something so urgent, that it should not wait.
    is_filling: Notify,
}

struct Use {
    token_id: TokenId,
    at: Latest,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(RwLock::default)
                .take(SHARDS)
                .collect(),
            hasher: RandomState::new(),
            left_out: AtomicU64::new(0),
            is_filling: Notify::new(),
        }
    }
}

impl Uses {
    /// Marks a token as used.
    pub(super) fn mark(&self, bearer: &Bearer, at: Timestamp) {
        let token = &bearer.token;
        let idle_at = token.idle_at(&bearer.workspace);
        token.last_use.at.extend(at);
        self.mark_token(&token.token_id, at);
        if idle_at.is_some_and(|idle_at| at.plus(URGENT) >= idle_at) {
            self.is_filling.notify_one();
        }
    }

    /// Of one that is marked already only the time is moved on.
    fn mark_token(&self, token_id: &TokenId, at: Timestamp) {
        let hash = self.hasher.hash_one(token_id);
        let is_it = |used: &Use| used.token_id == *token_id;
        if let Some(used) = read(self.shard(hash)).find(hash, is_it) {
            return used.at.extend(at);
        }
        let mut shard = write(self.shard(hash));
        // Somebody else may have been first.
        if let Some(used) = shard.find(hash, is_it) {
            return used.at.extend(at);
        }
        let most = MAX_MARKED / SHARDS;
        if shard.len() >= most {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let used = Use {
            token_id: token_id.clone(),
            at: Latest::new(at),
        };
        shard.insert_unique(hash, used, |used| self.hasher.hash_one(&used.token_id));
        if shard.len() >= most / 2 {
            self.is_filling.notify_one();
        }
    }

    /// All that are marked, in the order of their ids. They stay marked.
    fn marked(&self) -> Vec<(TokenId, Timestamp)> {
        let mut marked = Vec::new();
        for shard in &self.shards {
            let shard = read(shard);
            let uses = shard.iter();
            marked.extend(uses.map(|used| (used.token_id.clone(), used.at.get())));
        }
        marked.sort_unstable();
        marked
    }

    /// Takes the marks away of what was written, but for those that were used again meanwhile.
    fn unmark(&self, written: &[(TokenId, Timestamp)]) {
        for (token_id, at) in written {
            let hash = self.hasher.hash_one(token_id);
            let mut shard = write(self.shard(hash));
            let is_it = |used: &Use| used.token_id == *token_id && used.at.get() == *at;
            if let Ok(entry) = shard.find_entry(hash, is_it) {
                entry.remove();
            }
        }
    }

    /// The table looks at both ends of the hash.
    fn shard(&self, hash: u64) -> &RwLock<HashTable<Use>> {
        let middle = (hash >> 32) as u32;
        &self.shards[middle as usize % SHARDS]
    }
}

impl Service {
    /// Writes what was marked each time that this much time has passed, sooner where there is much or it failed.
    pub async fn keep_uses(self, interval: Duration) {
        loop {
            tokio::select! {
                () = sleep(interval) => {}
                () = self.0.uses.is_filling.notified() => {}
                () = self.0.view.rekeys().until_many() => {}
            }
            // A failure was logged, and what was not written is kept.
            while self.write_what_was_used().await.is_err() {
                sleep(RETRY.min(interval)).await;
            }
        }
    }

    /// Writes what was marked, for the last time: for a few seconds at most.
    pub async fn write_last_uses(&self) {
        let writing = self.write_what_was_used();
        if tokio::time::timeout(LAST_WRITING, writing).await.is_err() {
            tracing::warn!("the last uses of tokens were not written in time");
        }
    }

    async fn write_what_was_used(&self) -> Result<(), Error> {
        let (written, rekeyed) = (self.write_uses().await, self.rekey().await);
        written.and(rekeyed)
    }

    /// Stores the tokens that were found under another pepper than the active one under that.
    async fn rekey(&self) -> Result<(), Error> {
        loop {
            let _held = self.0.rekeying.lock().await;
            let mut rekeys = self.0.view.rekeys().take(REKEY_BATCH);
            if rekeys.is_empty() {
                return Ok(());
            }
            // What was active when it was found may not be any more, and may be gone soon.
            let rules = self.rules();
            rekeys.retain(|rekey| rekey.to == rules.ring.active().id());
            if let Err(error) = self.0.store.rekey_tokens(&rekeys).await {
                let found = self.0.view.rekeys();
                rekeys.into_iter().for_each(|rekey| found.add(rekey));
                return Err(error);
            }
        }
    }

    async fn write_uses(&self) -> Result<(), Error> {
        let uses = &self.0.uses;
        let left_out = uses.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!(left_out, "more tokens were used than are remembered");
        }
        let marked = uses.marked();
        for batch in marked.chunks(BATCH) {
            self.0.store.write_uses(batch).await?;
            uses.unmark(batch);
        }
        Ok(())
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Problem;

    fn id(number: usize) -> Result<TokenId, Problem> {
        TokenId::parse(&format!("tok_{number}"))
    }

    #[test]
    fn what_was_used_again_while_it_was_written_stays_marked_with_the_later_time()
    -> Result<(), Problem> {
        let uses = Uses::default();
        let [one, other] = [id(1)?, id(2)?];
        for (token_id, at) in [(&other, 5), (&one, 7), (&one, 6)] {
            uses.mark_token(token_id, Timestamp(at));
        }
        let written = uses.marked();
        assert_eq!(
            written,
            [(one.clone(), Timestamp(7)), (other, Timestamp(5))]
        );
        uses.mark_token(&one, Timestamp(8));
        uses.unmark(&written);
        assert_eq!(uses.marked(), [(one, Timestamp(8))]);
        Ok(())
    }

    #[test]
    fn no_more_are_remembered_than_fit_and_the_others_are_counted() -> Result<(), Problem> {
        let uses = Uses::default();
        let used = MAX_MARKED + MAX_MARKED / 8;
        for number in 0..used {
            uses.mark_token(&id(number)?, Timestamp(1));
        }
        let (marked, left_out) = (uses.marked(), uses.left_out.load(Ordering::Relaxed));
        assert!(marked.len() <= MAX_MARKED, "{}", marked.len());
        assert!(marked.len() > MAX_MARKED * 9 / 10, "{}", marked.len());
        assert_eq!(Some(used - marked.len()), usize::try_from(left_out).ok());
        assert!(marked.is_sorted());
        // What is marked already is moved on all the same.
        for (token_id, _) in &marked {
            uses.mark_token(token_id, Timestamp(2));
        }
        assert_eq!(uses.left_out.load(Ordering::Relaxed), left_out);
        uses.unmark(&marked);
        assert_eq!(uses.marked().len(), marked.len(), "used again");
        uses.unmark(&uses.marked());
        assert_eq!(uses.marked(), []);
        Ok(())
    }
}
