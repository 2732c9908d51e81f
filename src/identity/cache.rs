//! Tokens that have been verified, by their digests: as many as there is room for, and none that could not be verified now.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Identified, keys::Keys};
use crate::domain::{caller::Caller, time::Timestamp};

/// How many are remembered. Only what an issuer has signed for a caller gets in, so strangers push nobody out.
const ROOM: usize = 16_384;

#[derive(Default)]
pub(super) struct Cache(RwLock<HashMap<blake3::Hash, Entry>>);

struct Entry {
    caller: Arc<Caller>,
    expires_at: Timestamp,
    keys: Arc<Keys>,
    /// Of the keys that it was verified by.
    generation: u64,
}

impl Entry {
    fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.keys.generation(now) == Some(self.generation)
    }
}

impl Cache {
    /// Whom the token of this digest names, if it has been verified and would be again.
    pub(super) fn find(&self, digest: &blake3::Hash, now: Timestamp) -> Option<Identified> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(digest).filter(|entry| entry.is_good(now))?;
        Some(Identified {
            caller: Arc::clone(&entry.caller),
            expires_at: entry.expires_at,
        })
    }

    /// Remembers what came of verifying a token by these keys.
    pub(super) fn remember(
        &self,
        digest: blake3::Hash,
        (caller, expires_at): (&Arc<Caller>, Timestamp),
        (keys, generation): (&Arc<Keys>, u64),
        now: Timestamp,
    ) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ROOM {
            entries.retain(|_, entry| entry.is_good(now));
        }
        if entries.len() >= ROOM {
            entries.clear();
        }
        let entry = Entry {
            caller: Arc::clone(caller),
            expires_at,
            keys: Arc::clone(keys),
            generation,
        };
        entries.insert(digest, entry);
    }
}
