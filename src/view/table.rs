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

/// A hash table by linear probing: an entry is in the first place that was free from where its key belongs. So a lookup reads
/// places that lie next to each other: where there are millions of entries each other one would cost as much as hundreds of
/// instructions.
struct Shard<V> {
    /// At least a fifth of them are free.
    places: Vec<Option<Slot<V>>>,
    length: usize,
    hand: usize,
}

struct Slot<V> {
    key: Key,
    value: V,
    is_used: AtomicBool,
}

impl<V> Slot<V> {
    fn used(&self) -> &V {
        // Written only where that changes anything, so that readers do not take the line from each other.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        &self.value
    }
}

impl<V> Table<V> {
    /// Of about so many entries at most.
    pub(super) fn new(capacity: usize) -> Self {
        // Of few entries each shard must have some to let go of.
        let shards = SHARDS.min(capacity.div_ceil(64).max(1));
        let shards = std::iter::repeat_with(|| RwLock::new(Shard::new())).take(shards);
        Self {
            shards: shards.collect(),
            length: AtomicUsize::new(0),
            capacity: capacity.max(1),
        }
    }

    /// A copy of a value.
    pub(super) fn get(&self, key: &Key) -> Option<V>
    where
        V: Clone,
    {
        self.read_with(key, V::clone)
    }

    /// What a value comes to. No other is changed meanwhile that is in the same shard.
    pub(super) fn read_with<T>(&self, key: &Key, read: impl FnOnce(&V) -> T) -> Option<T> {
        let shard = self.read(key);
        let slot = shard.places[shard.place(key)?].as_ref()?;
        Some(read(slot.used()))
    }

    /// Changes a value, if it is there.
    pub(super) fn change(&self, key: &Key, change: impl FnOnce(&mut V)) {
        let mut shard = self.write(key);
        if let Some(slot) = shard.slot_mut(key) {
            change(&mut slot.value);
        }
    }

    /// Puts a value; gives back the one of another key that had to go to make room.
    pub(super) fn insert(&self, key: Key, value: V) -> Option<V> {
        let mut shard = self.write(&key);
        if let Some(slot) = shard.slot_mut(&key) {
            slot.value = value;
            return None;
        }
        let is_full = self.len() >= self.capacity;
        let evicted = is_full.then(|| shard.evict()).flatten();
        if evicted.is_none() {
            self.length.fetch_add(1, Ordering::Relaxed);
        }
        shard.add(key, value);
        evicted
    }

    pub(super) fn remove(&self, key: &Key) -> Option<V> {
        let mut shard = self.write(key);
        let place = shard.place(key)?;
        self.length.fetch_sub(1, Ordering::Relaxed);
        shard.take(place)
    }

    /// Takes out all values, each of which is shown before.
    pub(super) fn clear(&self, show: impl Fn(&V)) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let slots = shard.places.iter().flatten();
            slots.for_each(|slot| show(&slot.value));
            self.length.fetch_sub(shard.length, Ordering::Relaxed);
            *shard = Shard::new();
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
    fn new() -> Self {
        Self {
            places: Vec::new(),
            length: 0,
            hand: 0,
        }
    }

    fn place(&self, key: &Key) -> Option<usize> {
        let mut place = self.home(key);
        while self.places.get(place)?.as_ref()?.key != *key {
            place = self.after(place);
        }
        Some(place)
    }

    fn slot_mut(&mut self, key: &Key) -> Option<&mut Slot<V>> {
        let place = self.place(key)?;
        self.places[place].as_mut()
    }

    /// Where a key belongs. Their order is that of their hashes, so that what grows is copied from one end to the other.
    fn home(&self, key: &Key) -> usize {
        let scaled = u128::from(key.hash()) * self.places.len() as u128;
        (scaled >> 64) as usize
    }

    fn after(&self, place: usize) -> usize {
        match place + 1 == self.places.len() {
            true => 0,
            false => place + 1,
        }
    }

    /// How many places one is after another.
    fn distance(&self, from: usize, to: usize) -> usize {
        match to.checked_sub(from) {
            Some(distance) => distance,
            None => to + self.places.len() - from,
        }
    }

    /// Of a key that is not there.
    fn add(&mut self, key: Key, value: V) {
        if 5 * (self.length + 1) > 4 * self.places.len() {
            self.grow();
        }
        self.length += 1;
        self.put(Slot {
            key,
            value,
            // It has a whole round to be used again in.
            is_used: AtomicBool::new(true),
        });
    }

    fn put(&mut self, slot: Slot<V>) {
        let mut place = self.home(&slot.key);
        while self.places[place].is_some() {
            place = self.after(place);
        }
        self.places[place] = Some(slot);
    }

    fn grow(&mut self) {
        // By a quarter, not twofold: what is free counts as memory too.
        let places = (self.places.len() + self.places.len() / 4 + 1).max(8);
        let mut more = Vec::new();
        more.reserve_exact(places);
        more.resize_with(places, || None);
        let slots = std::mem::replace(&mut self.places, more);
        slots.into_iter().flatten().for_each(|slot| self.put(slot));
    }

    /// Takes out the first that was not used since the hand came by, if there is any.
    fn evict(&mut self) -> Option<V> {
        if self.length == 0 {
            return None;
        }
        loop {
            let place = self.hand % self.places.len();
            let slot = self.places[place].as_mut();
            if slot.is_some_and(|slot| !std::mem::take(slot.is_used.get_mut())) {
                // What takes its place is the next to be looked at.
                return self.take(place);
            }
            self.hand = place + 1;
        }
    }

    /// Takes out what is there. Those after it come nearer to where they belong, so that none is looked for in vain.
    fn take(&mut self, place: usize) -> Option<V> {
        let slot = self.places[place].take()?;
        self.length -= 1;
        let (mut hole, mut next) = (place, self.after(place));
        while let Some(slot) = &self.places[next] {
            let home = self.home(&slot.key);
            if self.distance(home, next) >= self.distance(hole, next) {
                self.places.swap(hole, next);
                hole = next;
            }
            next = self.after(next);
        }
        Some(slot.value)
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
            steps in prop::collection::vec((0..4_u8, 0..300_u16, any::<u32>()), 0..800),
            capacity in 1..200_usize,
        ) {
            let table = Table::new(capacity);
            let mut model = HashMap::new();
            for (step, number, value) in steps {
                match step {
                    0 => {
                        model.insert(number, value);
                        if let Some((number, value)) = table.insert(key(number), (number, value)) {
                            prop_assert_eq!(model.remove(&number), Some(value));
                        }
                    }
                    1 => prop_assert_eq!(
                        table.remove(&key(number)),
                        model.remove(&number).map(|value| (number, value))
                    ),
                    2 => {
                        table.change(&key(number), |entry| entry.1 = value);
                        model.entry(number).and_modify(|known| *known = value);
                    }
                    _ => {
                        let expected = model.get(&number).map(|value| (number, *value));
                        prop_assert_eq!(table.get(&key(number)), expected);
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
        let are_there = |numbers: std::ops::Range<u16>| {
            let found = numbers.filter_map(|number| table.get(&key(number)));
            found.count()
        };
        assert_eq!((are_there(64..96), are_there(0..64)), (32, 32));
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
