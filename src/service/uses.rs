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

    /// Takes all that are marked, and their marks: who uses one from now on marks it anew. Waits for whoever writes; of very
    /// many it takes a tenth of a second.
    fn take(self: Arc<Self>) -> Taken {
        let turn = Arc::clone(&self.turn).blocking_lock_owned();
        let shards = self.shards.iter();
        let tokens = shards.flat_map(|shard| std::mem::take(&mut *lock(shard)));
        let tokens: Vec<Arc<Token>> = tokens.collect();
        let last_use = |token: &Arc<Token>| {
            token.awaits_record.clear();
            (token.token_id.clone(), token.last_use.at.get())
        };
        let mut last_uses: Vec<_> = tokens.iter().map(last_use).collect();
        // By id, and of one that has been read anew in between, which may be here twice, the later use first.
        last_uses.sort_unstable_by(|(id, at), (other_id, other_at)| {
            id.cmp(other_id).then(other_at.cmp(at))
        });
        last_uses.dedup_by(|(id, _), (before, _)| id == before);
        Taken {
            uses: self,
            tokens,
            last_uses,
            _turn: turn,
        }
    }

    /// By where it is, which is as good as by chance.
    fn shard(&self, token: &Arc<Token>) -> &Mutex<Vec<Arc<Token>>> {
        let place = Arc::as_ptr(token).addr() / size_of::<Token>();
        &self.shards[place % SHARDS]
    }
}

/// Marked tokens that are being written, and are marked again unless that is done.
struct Taken {
    uses: Arc<Uses>,
    tokens: Vec<Arc<Token>>,
    /// When they were, in the order of their ids.
    last_uses: Vec<(TokenId, Timestamp)>,
    _turn: OwnedMutexGuard<()>,
}

impl Taken {
    fn written(mut self) {
        self.tokens.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for token in &self.tokens {
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
        let uses = Arc::clone(&self.0.uses);
        let background = self.0.store.background();
        let taken = background.spawn_blocking(move || uses.take()).await;
        let taken = taken.map_err(|_| Error::Unavailable)?;
        for batch in taken.last_uses.chunks(BATCH) {
            self.0.store.write_uses(batch).await?;
        }
        taken.written();
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

    fn token(number: usize) -> Result<Arc<Token>, Problem> {
        let hint = Hint::parse("0000").ok_or_else(Problem::required)?;
        Ok(Arc::new(Token {
            token_id: TokenId::parse(&format!("tok_{number:06}"))?,
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

    #[test]
    fn each_token_is_written_once_with_its_last_use_in_the_order_of_the_ids() -> Result<(), Problem>
    {
        let uses = Arc::new(Uses::default());
        let [one, other] = [token(1)?, token(2)?];
        // As it is when memory had to let go of it, and read it anew.
        let again = Arc::new(Token::clone(&one));
        for (token, at) in [(&other, 5), (&one, 7), (&again, 8), (&one, 6)] {
            use_at(&uses, token, at);
        }
        let taken = Arc::clone(&uses).take();
        let (id, other_id) = (one.token_id.clone(), other.token_id.clone());
        let expected = [(id, Timestamp(8)), (other_id, Timestamp(5))];
        assert_eq!(taken.last_uses, expected);
        taken.written();
        assert_eq!(uses.take().last_uses, []);
        Ok(())
    }

    #[test]
    fn what_was_not_written_or_was_used_meanwhile_is_written_the_next_time() -> Result<(), Problem>
    {
        let uses = Arc::new(Uses::default());
        let [one, other] = [token(1)?, token(2)?];
        use_at(&uses, &one, 5);
        use_at(&uses, &other, 6);
        let (id, other_id) = (one.token_id.clone(), other.token_id.clone());
        let expected = [(id.clone(), Timestamp(5)), (other_id, Timestamp(6))];
        for _ in 0..2 {
            assert_eq!(Arc::clone(&uses).take().last_uses, expected, "it fails");
        }
        let taken = Arc::clone(&uses).take();
        use_at(&uses, &one, 9);
        taken.written();
        assert_eq!(uses.take().last_uses, [(id, Timestamp(9))]);
        Ok(())
    }

    #[test]
    fn no_more_are_remembered_than_fit_and_the_others_are_counted() -> Result<(), Problem> {
        let uses = Arc::new(Uses::default());
        let tokens = (0..2 * MAX_MARKED).map(token);
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        for token in &tokens {
            use_at(&uses, token, 1);
        }
        let taken = Arc::clone(&uses).take();
        let left_out = uses.left_out.load(Ordering::Relaxed);
        let marked = taken.tokens.len();
        assert!(marked <= MAX_MARKED, "{marked}");
        assert!(marked > MAX_MARKED * 9 / 10, "{marked}");
        assert_eq!(Some(tokens.len() - marked), usize::try_from(left_out).ok());
        taken.written();
        // Who was left out is not for ever.
        for token in tokens.iter().rev().take(SHARDS) {
            use_at(&uses, token, 2);
        }
        let taken = uses.take();
        assert_eq!(taken.tokens.len(), SHARDS);
        taken.written();
        Ok(())
    }
}
