//! A bounded table that many threads read at once: shards, each behind a lock of its own that nobody holds for long.
//!
//! What makes room is found by CLOCK: entries stand in a circle, a lookup marks its entry as used, and a hand goes round
//! that takes the mark away or, where there is none, the entry. (F. J. Corbató, "A Paging Experiment with the Multics
//! System", 1968.) Next to LRU it needs no write lock for a lookup.

use std::sync::{PoisonError, atomic::Ordering};

use hashbrown::HashTable;

use super::{
    key::Key,
    sync::{AtomicBool, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// So many that a shard's growth, during which it is locked, takes a millisecond or two even among ten million entries.
const SHARDS: usize = 256;

pub(super) struct Table<V> {
    shards: Box<[RwLock<Shard<V>>]>,
}

struct Shard<V> {
    /// Places in `slots`.
    index: HashTable<u32>,
    slots: Vec<Slot<V>>,
    hand: usize,
    capacity: usize,
}

struct Slot<V> {
    key: Key,
    value: V,
    is_used: AtomicBool,
}

impl<V> Slot<V> {
    fn new(key: Key, value: V) -> Self {
        Self {
            key,
            value,
            is_used: AtomicBool::new(false),
        }
    }
}

impl<V: Clone> Table<V> {
    /// Of about so many entries at most.
    pub(super) fn new(capacity: usize) -> Self {
        // The least that makes every capacity one that is reached: few entries are not spread evenly.
        let shards = SHARDS.min(capacity.div_ceil(64).max(1));
        let capacity = capacity.div_ceil(shards).max(1);
        let shard = || {
            RwLock::new(Shard {
                index: HashTable::new(),
                slots: Vec::new(),
                hand: 0,
                capacity,
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<V> {
        let shard = self.read(key);
        let slot = &shard.slots[shard.place(key)?];
        // Written only where that changes anything, so that readers do not take the line from each other.
        if !slot.is_used.load(Ordering::Relaxed) {
            slot.is_used.store(true, Ordering::Relaxed);
        }
        Some(slot.value.clone())
    }

    /// Puts a value, and gives back the one that had to go to make room.
    pub(super) fn insert(&self, key: Key, value: V) -> Option<V> {
        let mut shard = self.write(&key);
        if let Some(place) = shard.place(&key) {
            shard.slots[place].value = value;
            return None;
        }
        if shard.slots.len() >= shard.capacity {
            return Some(shard.replace(key, value));
        }
        shard.add(key, value);
        None
    }

    pub(super) fn remove(&self, key: &Key) -> Option<V> {
        let mut shard = self.write(key);
        let place = shard.place(key)?;
        Some(shard.take(place))
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            (shard.index, shard.slots, shard.hand) = (HashTable::new(), Vec::new(), 0);
        }
    }

    pub(super) fn len(&self) -> usize {
        let length = |shard: &RwLock<Shard<V>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.slots.len()
        };
        self.shards.iter().map(length).sum()
    }

    fn read(&self, key: &Key) -> RwLockReadGuard<'_, Shard<V>> {
        let shard = &self.shards[key.shard(self.shards.len())];
        shard.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &Key) -> RwLockWriteGuard<'_, Shard<V>> {
        let shard = &self.shards[key.shard(self.shards.len())];
        shard.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Shard<V> {
    fn place(&self, key: &Key) -> Option<usize> {
        let is_it = |place: &u32| self.slots[*place as usize].key == *key;
        self.index
            .find(key.hash(), is_it)
            .map(|place| *place as usize)
    }

    fn add(&mut self, key: Key, value: V) {
        let place = self.slots.len();
        if place == self.slots.capacity() {
            // By a quarter, not twofold: what is reserved counts as memory too.
            self.slots.reserve_exact((place / 4).max(4));
        }
        self.slots.push(Slot::new(key, value));
        self.link(place);
    }

    /// Puts a value in the place of the first that was not used since the hand came by. The hand goes on, so that what is
    /// new has a whole round to be used in.
    fn replace(&mut self, key: Key, value: V) -> V {
        loop {
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            if !std::mem::take(self.slots[place].is_used.get_mut()) {
                self.unlink(place);
                let old = std::mem::replace(&mut self.slots[place], Slot::new(key, value));
                self.link(place);
                return old.value;
            }
        }
    }

    /// Takes the slot out; the last one takes its place.
    fn take(&mut self, place: usize) -> V {
        self.unlink(place);
        let last = self.slots.len() - 1;
        if place != last {
            self.unlink(last);
        }
        let slot = self.slots.swap_remove(place);
        if place != last {
            self.link(place);
        }
        slot.value
    }

    fn link(&mut self, place: usize) {
        let slots = &self.slots;
        let hash = slots[place].key.hash();
        let rehash = |place: &u32| slots[*place as usize].key.hash();
        if let Ok(place) = u32::try_from(place) {
            self.index.insert_unique(hash, place, rehash);
        }
    }

    fn unlink(&mut self, place: usize) {
        let hash = self.slots[place].key.hash();
        let entry = self
            .index
            .find_entry(hash, |other| *other as usize == place);
        if let Ok(entry) = entry {
            entry.remove();
        }
    }
}

// Shuttle's locks are of use only to what it runs.
#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Key {
        let hash = blake3::hash(&number.to_le_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Key(key)
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_forgets_and_never_lies(
            steps in prop::collection::vec((0..3_u8, 0..300_u16, any::<u32>()), 0..800),
            capacity in 1..200_usize,
        ) {
            let table = Table::new(capacity);
            let mut model = HashMap::new();
            for (step, number, value) in steps {
                match step {
                    0 => {
                        let evicted = table.insert(key(number), (number, value));
                        model.insert(number, value);
                        if let Some((number, value)) = evicted {
                            prop_assert_eq!(model.remove(&number), Some(value));
                        }
                    }
                    1 => prop_assert_eq!(
                        table.remove(&key(number)),
                        model.remove(&number).map(|value| (number, value))
                    ),
                    _ => prop_assert_eq!(
                        table.get(&key(number)),
                        model.get(&number).map(|value| (number, *value))
                    ),
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.len() < capacity + 64);
            }
        }
    }

    #[test]
    fn what_is_new_stays_longer_than_what_is_old() {
        let table = Table::new(64);
        for number in 0..96 {
            table.insert(key(number), number);
        }
        for number in 0..96 {
            let expected = (number >= 32).then_some(number);
            assert_eq!(table.get(&key(number)), expected);
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let table = Table::new(64);
        for number in 0..64 {
            table.insert(key(number), number);
        }
        for number in 64..1000 {
            for kept in 0..16 {
                assert_eq!(table.get(&key(kept)), Some(kept), "while {number} comes");
            }
            table.insert(key(number), number);
        }
        assert_eq!(table.len(), 64);
    }
}
