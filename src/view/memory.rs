//! What the view holds, and the order in which it is read and written.
//!
//! Readers take no lock but a shard's and need not wait for whoever applies changes. They read, in this order: how fresh
//! the view is, the sequence, the position, the entries, the sequence again. Writers hold the guard, and change: entries,
//! the position, the sequence, how fresh the view is. So what is gathered between two equal sequences was right at the
//! position, and is as fresh as was read first. Were the sequence first, then rows could be taken in at the new position
//! and be gathered at the old one.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use super::{
    age::BootTime,
    guard::{Guard, Judgement, ReadAt},
    key::{BuildKeyHasher, Key, Keys},
    sync::{ArcSwapOption, AtomicU64, Mutex, MutexGuard, fence},
    table::Table,
};
use crate::{
    domain::{
        decide::{Bearer, Presented},
        directory::{Member, Workspace},
        event::Subject,
        ids::{Revision, RoleName, TokenId},
    },
    store::{FeedRead, Presentation},
};

#[cfg(test)]
mod fixture;
mod links;
#[cfg(all(test, feature = "shuttle"))]
mod races;
mod sharing;
#[cfg(all(test, not(feature = "shuttle")))]
mod tests;

/// How many unknown secrets are remembered, and for how long. Nobody can present a secret before it is issued, so an
/// unknown one stays unknown; they are kept for floods only.
const MAX_UNKNOWN: usize = 16_384;
const UNKNOWN_LIFE: Duration = Duration::from_secs(5);
/// How often a reader tries again that met changes. Each takes microseconds.
const GATHER_ATTEMPTS: usize = 64;
/// The index of token ids grows in parts, each under the guard for a millisecond or two.
const ID_PARTS: usize = 256;

/// The time from one change of the rules to the next: what was read under other rules than the running ones is not
/// remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era(u64);

/// What is known of a secret, all of one position.
#[derive(Clone)]
pub(super) struct Gathered {
    pub(super) presented: Presented,
    /// At which it is right.
    pub(super) revision: Revision,
    /// When the view was that fresh.
    pub(super) as_of: BootTime,
}

/// What became of a fill.
pub(super) enum Admission {
    Gathered(Gathered),
    /// It is ahead of the view: to be admitted again after the feed was read.
    Ahead,
    /// It is no longer right: to be read again.
    Stale,
}

/// The feed is not the one that was followed, or was set back.
pub(super) struct Surprise;

pub(super) struct Memory {
    keys: Keys,
    tokens: Table<Bearer>,
    members: Table<MemberEntry>,
    workspaces: Table<Arc<Workspace>>,
    unknown: Table<BootTime>,
    roles: Mutex<Vec<RoleName>>,
    era: AtomicU64,
    sequence: AtomicU64,
    position: ArcSwapOption<Revision>,
    /// A [`BootTime`]: before it, everything that had happened has been applied.
    as_of: AtomicU64,
    writing: Mutex<Writing>,
}

/// What only who writes needs.
struct Writing {
    guard: Guard,
    /// The secret's key by the token's.
    secrets: Vec<HashMap<Key, Key, BuildKeyHasher>>,
}

#[derive(Clone)]
struct MemberEntry {
    member: Arc<Member>,
    /// Under which it was read: the deletion of a workspace, which removes its members, raises it.
    workspace_generation: i64,
}

impl Memory {
    pub(super) fn new(capacity: usize, retention: Duration) -> Result<Self, getrandom::Error> {
        Ok(Self {
            keys: Keys::random()?,
            tokens: Table::new(capacity),
            members: Table::new(capacity),
            workspaces: Table::new(capacity),
            unknown: Table::new(capacity.min(MAX_UNKNOWN)),
            roles: Mutex::default(),
            era: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            position: ArcSwapOption::empty(),
            as_of: AtomicU64::new(BootTime::NEVER.0),
            writing: Mutex::new(Writing {
                guard: Guard::new(retention),
                secrets: vec![HashMap::default(); ID_PARTS],
            }),
        })
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Since when the view has been as it is, or is known to have changed in nothing.
    pub(super) fn as_of(&self) -> BootTime {
        BootTime(self.as_of.load(Ordering::Acquire))
    }

    pub(super) fn position(&self) -> Option<Revision> {
        self.position.load().as_deref().copied()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.write().guard.epoch()
    }

    /// To be asked before the rules are taken: then these are of this era or later.
    pub(super) fn era(&self) -> Era {
        Era(self.era.load(Ordering::Acquire))
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// What is known of the secret with this key. None: nothing, or not all of it.
    pub(super) fn gather(&self, key: &Key) -> Option<Gathered> {
        let as_of = self.as_of();
        for _ in 0..GATHER_ATTEMPTS {
            let before = self.sequence.load(Ordering::Acquire);
            let position = self.position();
            let presented = self.find(key, as_of);
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == before {
                return Some(Gathered {
                    presented: presented?,
                    revision: position?,
                    as_of,
                });
            }
        }
        None
    }

    fn find(&self, key: &Key, as_of: BootTime) -> Option<Presented> {
        match self.held(key) {
            Some((bearer, false)) => Some(Presented::Known(bearer)),
            Some((bearer, true)) => self.renew(key, bearer).map(Presented::Known),
            None => {
                let since = self.unknown.get(key)?;
                (as_of.since(since) < UNKNOWN_LIFE).then_some(Presented::Unknown)
            }
        }
    }

    /// Forgets a token, so that it is read anew.
    pub(super) fn forget_token(&self, id: &TokenId) {
        let mut writing = self.write();
        self.remove(&mut writing, &self.keys.token(id));
    }

    /// Takes in what was read of the secret with this key, if it is right, and tells what is right then. What was read
    /// under the rules of another era is right for who began under them, and is not kept.
    pub(super) fn admit(
        &self,
        key: Key,
        era: Era,
        read: &ReadAt,
        presentation: &Presentation,
    ) -> Admission {
        let presented = &presentation.presented;
        let mut writing = self.write();
        let known = match presented {
            Presented::Known(bearer) => Some((self.keys_of(bearer), bearer)),
            Presented::Unknown | Presented::Malformed => None,
        };
        let keys = known.as_ref().map_or(&[][..], |(keys, _)| keys);
        match writing.guard.judge(read, keys, BootTime::now()) {
            Judgement::Good => {}
            Judgement::Ahead => return Admission::Ahead,
            Judgement::Stale => return Admission::Stale,
        }
        let Some(revision) = writing.guard.position() else {
            return Admission::Stale;
        };
        match (presented, known) {
            _ if era != self.era() => {}
            (_, Some((keys, bearer))) => self.put(&mut writing, key, keys, bearer),
            (Presented::Unknown, None) => drop(self.unknown.insert(key, read.sent)),
            _ => {}
        }
        Admission::Gathered(Gathered {
            presented: presented.clone(),
            revision,
            as_of: self.as_of(),
        })
    }

    fn put(&self, writing: &mut Writing, key: Key, keys: [Key; 3], bearer: &Bearer) {
        let [token_key, member_key, workspace_key] = keys;
        let workspace = self.keep_workspace(workspace_key, &bearer.workspace);
        let held = Bearer {
            token: Arc::clone(&bearer.token),
            member: self.keep_member(member_key, &bearer.member, &workspace),
            workspace,
        };
        writing.secrets[token_key.shard(ID_PARTS)].insert(token_key, key);
        if let Some(evicted) = self.tokens.insert(key, held) {
            let token_key = self.keys.token(&evicted.token.token_id);
            writing.secrets[token_key.shard(ID_PARTS)].remove(&token_key);
            self.let_go(&evicted);
        }
    }

    fn keys_of(&self, bearer: &Bearer) -> [Key; 3] {
        let member = &bearer.token.member;
        [
            self.keys.token(&bearer.token.token_id),
            self.keys.member(&member.workspace_id, &member.member_id),
            self.keys.workspace(&member.workspace_id),
        ]
    }

    /// Applies what was read of the feed after `cursor`; without one, starts at its head.
    pub(super) fn apply(
        &self,
        read: &FeedRead,
        cursor: Option<Revision>,
        sent: BootTime,
    ) -> Result<(), Surprise> {
        let mut events = read.events.iter();
        let first = events.next().ok_or(Surprise)?.revision;
        let now = BootTime::now();
        let mut writing = self.write();
        let Some(cursor) = cursor else {
            self.forget(&mut writing, Some(first), now);
            self.publish(&writing, read, sent);
            return Ok(());
        };
        if first != cursor || writing.guard.position() != Some(cursor) {
            return Err(Surprise);
        }
        let mut number = cursor.number;
        for event in events {
            number += 1;
            if event.revision.number != number {
                return Err(Surprise);
            }
            let key = self.key_of(&event.subject).ok_or(Surprise)?;
            if let Some(key) = key {
                self.remove(&mut writing, &key);
            }
            writing.guard.apply(event.revision, key, now);
        }
        self.publish(&writing, read, sent);
        Ok(())
    }

    /// Makes known what was applied; how fresh that is only where nothing up to the head is left out.
    fn publish(&self, writing: &Writing, read: &FeedRead, sent: BootTime) {
        let position = writing.guard.position();
        if self.position() != position {
            self.position.store(position.map(Arc::new));
            self.sequence.fetch_add(1, Ordering::Release);
        }
        if position == Some(read.head) {
            self.as_of.fetch_max(sent.0, Ordering::Release);
        }
    }

    /// Takes away what a change of this server's own is about, before whoever asked for it is told.
    pub(super) fn invalidate(&self, subject: &Subject, revision: Option<Revision>) {
        let mut writing = self.write();
        match self.key_of(subject) {
            Some(Some(key)) => {
                self.remove(&mut writing, &key);
                let number = revision.map(|revision| revision.number);
                writing.guard.mark(key, number, BootTime::now());
            }
            Some(None) => {}
            None => self.forget_all(&mut writing),
        }
    }

    /// Forgets everything, position and all: decisions wait until the feed was read anew.
    pub(super) fn reset(&self) {
        let mut writing = self.write();
        self.forget_all(&mut writing);
    }

    /// Forgets what was read under other rules, once those that are to be kept to are in force.
    pub(super) fn clear(&self) {
        let mut writing = self.write();
        self.era.fetch_add(1, Ordering::Release);
        let position = writing.guard.position();
        self.forget(&mut writing, position, BootTime::now());
    }

    fn forget_all(&self, writing: &mut Writing) {
        // First of all, so that no reader takes what is left for fresh.
        self.as_of.store(BootTime::NEVER.0, Ordering::Release);
        self.position.store(None);
        self.forget(writing, None, BootTime::now());
    }

    fn forget(&self, writing: &mut Writing, position: Option<Revision>, now: BootTime) {
        writing.guard.reset(position, now);
        self.remove_all();
        self.unknown.clear(|_| ());
        writing.secrets = vec![HashMap::default(); ID_PARTS];
        self.sequence.fetch_add(1, Ordering::Release);
    }

    fn remove(&self, writing: &mut Writing, key: &Key) {
        if let Some(secret) = writing.secrets[key.shard(ID_PARTS)].remove(key) {
            let removed = self.tokens.remove(&secret);
            removed.iter().for_each(|bearer| self.let_go(bearer));
        }
        self.remove_member(key);
        self.remove_workspace(key);
    }

    /// The key of what a change is about. None: it makes no sense. `Some(None)`: it is about nothing that is kept here.
    fn key_of(&self, subject: &Subject) -> Option<Option<Key>> {
        let (workspace, member, token) = subject.parsed()?;
        Some(match (workspace, member, token) {
            (_, _, Some(token)) => Some(self.keys.token(&token)),
            (Some(workspace), Some(member), None) => Some(self.keys.member(&workspace, &member)),
            (Some(workspace), None, None) => Some(self.keys.workspace(&workspace)),
            (None, _, None) => None,
        })
    }

    /// A position that was passed lately, by its number.
    pub(super) fn passed(&self, number: i64) -> Option<Revision> {
        self.write().guard.find(number)
    }

    fn write(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
