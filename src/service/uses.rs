//! When tokens were last used: marked in memory by each decision that allows something, and written together later, so that
//! no decision waits for it. What a process that is killed had not written is lost.
//!
//! Tokens that were found under another pepper than the active one are stored under that on the same occasion.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard},
    time::sleep,
};

use super::Service;
use crate::domain::{decide::Bearer, error::Error, ids::TokenId, time::Timestamp, token::Token};

/// So many that those who mark hardly ever meet.
const SHARDS: usize = 64;
/// How many tokens are remembered until they are written, half a kilobyte each where they are not in memory anyway. Others
/// are left out then.
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

/// The tokens that were used since that was last written. Each has its mark set, and is here once for it: to be found again,
/// none needs to be looked for.
pub(super) struct Uses {
    shards: Box<[Mutex<Vec<Arc<Token>>>]>,
    left_out: AtomicU64,
    /// Held by who writes: nothing that another has taken is overlooked.
    turn: Arc<AsyncMutex<()>>,
    /// There is so much, or something so urgent, that it should not wait.
    is_filling: Notify,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default)
                .take(SHARDS)
                .collect(),
            left_out: AtomicU64::new(0),
            turn: Arc::default(),
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
        self.remember(token);
        if idle_at.is_some_and(|idle_at| at.plus(URGENT) >= idle_at) {
            self.is_filling.notify_one();
        }
    }

    /// One that is remembered already will be written with its latest use.
    fn remember(&self, token: &Arc<Token>) {
        if !token.awaits_record.set() {
            return;
        }
        let mut shard = lock(self.shard(token));
        let most = MAX_MARKED / SHARDS;
        if shard.len() >= most {
            token.awaits_record.clear();
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shard.push(Arc::clone(token));
        if shard.len() >= most / 2 {
            self.is_filling.notify_one();
        }
    }

    /// Takes all that are marked. Waits for whoever writes.
    async fn take(self: Arc<Self>) -> Taken {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let shards = self.shards.iter();
        let waiting = shards.flat_map(|shard| std::mem::take(&mut *lock(shard)));
        Taken {
            waiting: waiting.collect(),
            batch: Vec::new(),
            uses: self,
            _turn: turn,
        }
    }

    /// By where it is, mixed so that it is as good as by chance, whatever lies between (D. E. Knuth's multiplicative hashing).
    fn shard(&self, token: &Arc<Token>) -> &Mutex<Vec<Arc<Token>>> {
        const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (Arc::as_ptr(token).addr() as u64).wrapping_mul(GOLDEN_RATIO);
        &self.shards[(mixed >> 32) as usize % SHARDS]
    }
}

/// Tokens that are being written, and remembered again unless that is done.
struct Taken {
    /// Each with its mark still set: who uses one has nothing else to do.
    waiting: Vec<Arc<Token>>,
    /// Those of the statement that is being made: who uses one marks it anew.
    batch: Vec<Arc<Token>>,
    uses: Arc<Uses>,
    _turn: OwnedMutexGuard<()>,
}

impl Taken {
    /// Takes what the last call gave as written. Gives when the next ones were used, in the order of their ids. A statement's
    /// worth at a time: what is read of a token, in some place of gigabytes of memory, is still near when it is let go of.
    fn next_batch(&mut self) -> Option<Vec<(&TokenId, Timestamp)>> {
        let rest = self.waiting.len().saturating_sub(BATCH);
        self.batch = self.waiting.split_off(rest);
        self.batch.iter().for_each(|token| token.fetch());
        let tokens = self.batch.iter().map(|token| (beginning(token), token));
        let mut tokens: Vec<_> = tokens.collect();
        tokens.sort_unstable_by(|(beginning, one), (other_beginning, other)| {
            (beginning, &one.token_id).cmp(&(other_beginning, &other.token_id))
        });
        let last_uses = tokens.into_iter().map(|(_, token)| {
            token.awaits_record.clear();
            (&token.token_id, token.last_use.at.get())
        });
        let mut last_uses: Vec<_> = last_uses.collect();
        // One that has been read anew in between may be here twice.
        last_uses.dedup_by(|(id, at), (before, latest)| {
            let is_same = id == before;
            if is_same {
                *latest = *latest.max(at);
            }
            is_same
        });
        (!last_uses.is_empty()).then_some(last_uses)
    }
}

/// How the id of a token begins, in the order of the ids: who sorts by it first reads few of them.
fn beginning(token: &Token) -> u128 {
    let id = token.token_id.as_bytes();
    // Of a length that is known, those of several tokens are read at a time.
    let beginning = id.first_chunk().copied().unwrap_or_else(|| {
        let mut short = [0; 16];
        short[..id.len()].copy_from_slice(id);
        short
    });
    u128::from_be_bytes(beginning)
}

impl Drop for Taken {
    fn drop(&mut self) {
        for token in &self.waiting {
            token.awaits_record.clear();
        }
        for token in self.waiting.iter().chain(&self.batch) {
            self.uses.remember(token);
        }
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
        // To its end, and not among decisions: it goes through all that were used.
        let background = self.0.store.background();
        let writing = background.spawn(self.clone().write_taken());
        writing.await.map_err(|_| Error::Unavailable)?
    }

    async fn write_taken(self) -> Result<(), Error> {
        let mut taken = Arc::clone(&self.0.uses).take().await;
        while let Some(last_uses) = taken.next_batch() {
            self.0.store.write_uses(&last_uses).await?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        error::Problem,
        ids::{MemberId, MemberKey, WorkspaceId},
        secret::Hint,
        shared::Mark,
        token::LastUse,
    };

    fn token(id: &str) -> Result<Arc<Token>, Problem> {
        let hint = Hint::parse("0000").ok_or_else(Problem::required)?;
        Ok(Arc::new(Token {
            token_id: TokenId::parse(id)?,
            member: MemberKey {
                workspace_id: WorkspaceId::parse("acme")?,
                member_id: MemberId::parse("max")?,
            },
            workspace_generation: 1,
            member_generation: 1,
            name: "laptop".into(),
            hint,
            created_at: Timestamp(0),
            expires_at: None,
            last_use: LastUse::issued(Timestamp(0)),
            extras: None,
            revoked: None,
            awaits_record: Mark::default(),
        }))
    }

    fn use_at(uses: &Uses, token: &Arc<Token>, at: i64) {
        token.last_use.at.extend(Timestamp(at));
        uses.remember(token);
    }

    fn tokens(count: usize) -> Result<Vec<Arc<Token>>, Problem> {
        let ids = (0..count).map(|number| format!("tok_{number:06}"));
        ids.map(|id| token(&id)).collect()
    }

    /// What is written, statement after statement.
    async fn written(uses: &Arc<Uses>) -> Vec<Vec<(TokenId, Timestamp)>> {
        let mut taken = Arc::clone(uses).take().await;
        let mut batches = Vec::new();
        while let Some(batch) = taken.next_batch() {
            let batch = batch.into_iter().map(|(id, at)| (id.clone(), at));
            batches.push(batch.collect());
        }
        batches
    }

    #[tokio::test]
    async fn each_token_is_written_once_with_its_last_use_in_the_order_of_the_ids()
    -> Result<(), Problem> {
        let uses = Arc::new(Uses::default());
        let ids = [
            "a",
            "a.",
            "b",
            "tok_012345678901",
            "tok_0123456789011",
            "tok_0123456789012",
        ];
        let tokens = ids.map(token).into_iter().collect::<Result<Vec<_>, _>>()?;
        for token in tokens.iter().rev() {
            use_at(&uses, token, 7);
            // As it is when memory had to let go of it, and read it anew.
            use_at(&uses, &Arc::new(Token::clone(token)), 8);
            use_at(&uses, token, 6);
        }
        let expected = tokens
            .iter()
            .map(|token| (token.token_id.clone(), Timestamp(8)));
        assert_eq!(written(&uses).await, [expected.collect::<Vec<_>>()]);
        assert!(written(&uses).await.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_a_failure_left_unwritten_is_written_the_next_time() -> Result<(), Problem> {
        let uses = Arc::new(Uses::default());
        for token in tokens(3 * BATCH)? {
            use_at(&uses, &token, 5);
        }
        // At the first statement; at the second, when the first is written.
        let mut taken = Arc::clone(&uses).take().await;
        assert!(taken.next_batch().is_some());
        drop(taken);
        let mut taken = Arc::clone(&uses).take().await;
        let first = taken.next_batch().into_iter().flatten();
        let mut all: Vec<_> = first.map(|(id, at)| (id.clone(), at)).collect();
        assert!(taken.next_batch().is_some());
        drop(taken);
        all.extend(written(&uses).await.concat());
        assert_eq!(all.len(), 3 * BATCH);
        all.sort_unstable_by(|(id, _), (other, _)| id.cmp(other));
        all.dedup_by(|(id, _), (other, _)| id == other);
        assert_eq!(all.len(), 3 * BATCH);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_used_meanwhile_is_written_with_the_others_or_anew() -> Result<(), Problem> {
        let uses = Arc::new(Uses::default());
        let tokens = tokens(3 * BATCH)?;
        let use_all = |at| tokens.iter().for_each(|token| use_at(&uses, token, at));
        use_all(5);
        let mut taken = Arc::clone(&uses).take().await;
        let first = taken.next_batch().into_iter().flatten();
        let first: Vec<_> = first.map(|(id, at)| (id.clone(), at)).collect();
        assert!(first.iter().all(|(_, at)| *at == Timestamp(5)));
        use_all(6);
        for _ in 0..2 {
            let others = taken.next_batch().into_iter().flatten();
            let others: Vec<_> = others.map(|(_, at)| at).collect();
            assert_eq!(others, [Timestamp(6); BATCH]);
        }
        assert_eq!(taken.next_batch(), None);
        drop(taken);
        let anew = first.into_iter().map(|(id, _)| (id, Timestamp(6)));
        assert_eq!(written(&uses).await, [anew.collect::<Vec<_>>()]);
        Ok(())
    }

    #[tokio::test]
    async fn no_more_are_remembered_than_fit_and_the_others_are_counted() -> Result<(), Problem> {
        let uses = Arc::new(Uses::default());
        let tokens = tokens(2 * MAX_MARKED)?;
        for token in &tokens {
            use_at(&uses, token, 1);
        }
        let left_out = uses.left_out.load(Ordering::Relaxed);
        let marked = written(&uses).await.concat().len();
        assert!(marked <= MAX_MARKED, "{marked}");
        assert!(marked > MAX_MARKED * 9 / 10, "{marked}");
        assert_eq!(Some(tokens.len() - marked), usize::try_from(left_out).ok());
        // Who was left out is not for ever.
        for token in tokens.iter().rev().take(SHARDS) {
            use_at(&uses, token, 2);
        }
        assert_eq!(written(&uses).await.concat().len(), SHARDS);
        Ok(())
    }
}
