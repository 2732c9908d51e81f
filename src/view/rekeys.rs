//! Tokens that were found under another pepper than the active one, until they are stored under that.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::{ids::TokenId, pepper::Rekey};

/// How many are remembered, two hundred bytes each. What is left out is found again when it is next read.
const MAX_FOUND: usize = 64 * 1024;

/// Those tokens.
#[derive(Default)]
pub struct Rekeys {
    found: Mutex<BTreeMap<TokenId, Rekey>>,
    /// There is so much that it should not wait.
    is_filling: Notify,
}

impl Rekeys {
    /// Adds one, unless there are very many.
    pub fn add(&self, rekey: Rekey) {
        let mut found = self.found();
        if found.len() < MAX_FOUND {
            found.insert(rekey.token_id.clone(), rekey);
        }
        if found.len() >= MAX_FOUND / 2 {
            self.is_filling.notify_one();
        }
    }

    /// Takes up to so many, in the order of their ids.
    pub fn take(&self, count: usize) -> Vec<Rekey> {
        let mut found = self.found();
        let first = std::iter::from_fn(|| found.pop_first());
        first.take(count).map(|(_, rekey)| rekey).collect()
    }

    /// Waits until there are so many that they should not be left lying.
    pub async fn until_many(&self) {
        self.is_filling.notified().await;
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<TokenId, Rekey>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
