//! A bounded table that many threads read at once: shards, each behind a lock of its own that nobody holds for long.
//!
//! What makes room is found by CLOCK: entries stand in a circle, a lookup marks its entry as used, and a hand goes round
//! that takes the mark away or, where there is none, the entry. (F. J. Corbató, "A Paging Experiment with the Multics
//! System", 1968.) Next to LRU it needs no write lock for a lookup.

use std::sync::{PoisonError, atomic::Ordering};

use super::{
    key::Key,
    sync::{AtomicBool, AtomicUsize, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// So many that a shard's growth, during which it is locked, takes a millisecond or two even among ten million entries.
const SHARDS: usize = 256;

pub(super) struct Table<V> {
    shards: Box<[RwLock<Shard<V>>]>,
    /// How many entries there are in all of them, and how many there may be. Not by the shard: by chance some get more than
    /// others, and would have to let go of entries while others have room.
    length: AtomicUsize,
    capacity: usize,
}

/// Which slot of its shard an entry was in. Entries move, seldom.
#[derive(Clone, Copy)]
pub(super) struct SlotNumber(u32);

impl SlotNumber {
    fn of(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }
}

/// A hash table by chaining. A lookup reads one head, one slot and seldom a second one; what it reads lies about in memory,
/// and where there are millions of entries each place costs as much as a hundred instructions.
struct Shard<V> {
    /// The first slot of each chain, or [`END`].
    heads: Vec<u32>,
    slots: Vec<Slot<V>>,
    hand: usize,
}

struct Slot<V> {
    key: Key,
    value: V,
    /// The next slot of its chain, or [`END`].
    next: u32,
    is_used: AtomicBool,
}

const END: u32 = u32::MAX;

impl<V> Slot<V> {
    fn new(key: Key, value: V) -> Self {
        Self {
            key,
            value,
            next: END,
            is_used: AtomicBool::new(false),
        }
    }
}

impl<V: Clone> Slot<V> {
    fn used(&self) -> V {
        // Written only where that changes anything, so that readers do not take the line from each other.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        self.value.clone()
    }
}

impl<V: Clone> Table<V> {
    /// Of about so many entries at most.
    pub(super) fn new(capacity: usize) -> Self {
        // Of few entries each shard must have some to let go of.
        let shards = SHARDS.min(capacity.div_ceil(64).max(1));
        let shard = || {
            RwLock::new(Shard {
                heads: Vec::new(),
                slots: Vec::new(),
                hand: 0,
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            length: AtomicUsize::new(0),
            capacity: capacity.max(1),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<V> {
        let shard = self.read(key);
        let slot = &shard.slots[shard.place(key)?];
        Some(slot.used())
    }

    /// The same, found without its chain where it still is in the slot of this number.
    pub(super) fn get_at(&self, key: &Key, number: SlotNumber) -> Option<V> {
        let shard = self.read(key);
        let slot = shard.slots.get(number.0 as usize);
        match slot.filter(|slot| slot.key == *key) {
            Some(slot) => Some(slot.used()),
            None => Some(shard.slots[shard.place(key)?].used()),
        }
    }

    /// Puts a value, and tells its slot; gives back the value that had to go to make room.
    pub(super) fn insert(&self, key: Key, value: V) -> (SlotNumber, Option<V>) {
        let mut shard = self.write(&key);
        if let Some(place) = shard.place(&key) {
            shard.slots[place].value = value;
            return (SlotNumber::of(place), None);
        }
        if self.len() >= self.capacity && !shard.slots.is_empty() {
            let (place, old) = shard.replace(key, value);
            return (SlotNumber::of(place), Some(old));
        }
        let place = shard.add(key, value);
        self.length.fetch_add(1, Ordering::Relaxed);
        (SlotNumber::of(place), None)
    }

    pub(super) fn remove(&self, key: &Key) -> Option<V> {
        let mut shard = self.write(key);
        let place = shard.place(key)?;
        self.length.fetch_sub(1, Ordering::Relaxed);
        Some(shard.take(place))
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            self.length.fetch_sub(shard.slots.len(), Ordering::Relaxed);
            (shard.heads, shard.slots, shard.hand) = (Vec::new(), Vec::new(), 0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
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
        let mut next = *self.heads.get(self.chain(key))?;
        loop {
            let slot = self.slots.get(next as usize)?;
            if slot.key == *key {
                return Some(next as usize);
            }
            next = slot.next;
        }
    }

    fn chain(&self, key: &Key) -> usize {
        // There is a power of two of them.
        key.hash() as usize & self.heads.len().wrapping_sub(1)
    }

    fn add(&mut self, key: Key, value: V) -> usize {
        let place = self.slots.len();
        if place == self.slots.capacity() {
            // By a quarter, not twofold: what is reserved counts as memory too.
            self.slots.reserve_exact((place / 4).max(4));
        }
        self.slots.push(Slot::new(key, value));
        if 2 * self.slots.len() > self.heads.len() {
            self.heads = vec![END; (2 * self.heads.len()).max(8)];
            (0..=place).for_each(|place| self.link(place));
        } else {
            self.link(place);
        }
        place
    }

    /// Puts a value in the place of the first that was not used since the hand came by. The hand goes on, so that what is
    /// new has a whole round to be used in.
    fn replace(&mut self, key: Key, value: V) -> (usize, V) {
        loop {
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            if !std::mem::take(self.slots[place].is_used.get_mut()) {
                self.unlink(place);
                let old = std::mem::replace(&mut self.slots[place], Slot::new(key, value));
                self.link(place);
                return (place, old.value);
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
        let chain = self.chain(&self.slots[place].key);
        let SlotNumber(number) = SlotNumber::of(place);
        self.slots[place].next = std::mem::replace(&mut self.heads[chain], number);
    }

    fn unlink(&mut self, place: usize) {
        let SlotNumber(number) = SlotNumber::of(place);
        let next = self.slots[place].next;
        let chain = self.chain(&self.slots[place].key);
        let mut before = self.heads[chain];
        if before == number {
            self.heads[chain] = next;
            return;
        }
        while self.slots[before as usize].next != number {
            before = self.slots[before as usize].next;
        }
        self.slots[before as usize].next = next;
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
            let (mut model, mut slots) = (HashMap::new(), HashMap::new());
            for (step, number, value) in steps {
                match step {
                    0 => {
                        let (slot, evicted) = table.insert(key(number), (number, value));
                        slots.insert(number, slot);
                        model.insert(number, value);
                        if let Some((number, value)) = evicted {
                            prop_assert_eq!(model.remove(&number), Some(value));
                        }
                    }
                    1 => prop_assert_eq!(
                        table.remove(&key(number)),
                        model.remove(&number).map(|value| (number, value))
                    ),
                    _ => {
                        let expected = model.get(&number).map(|value| (number, *value));
                        prop_assert_eq!(table.get(&key(number)), expected);
                        // Where it was when it was put, and anywhere else.
                        let slots = [slots.get(&number).copied(), Some(SlotNumber(value % 256))];
                        for slot in slots.into_iter().flatten() {
                            prop_assert_eq!(table.get_at(&key(number), slot), expected);
                        }
                    }
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
