//! What keeps a fill from bringing back what a change has taken away.
//!
//! A fill reads rows at some position of the feed. By the time they arrive the view may have applied later changes, or
//! changes of its own server that the feed has yet to bring. The guard remembers the keys of both for longer than a fill
//! may take, and judges each fill by them.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{
    age::BootTime,
    key::{BuildKeyHasher, Key},
};
use crate::domain::ids::Revision;

/// How many changes are remembered at most: a burst of more makes the oldest fills start again.
const MAX_TAIL: usize = 65_536;

/// When and from what rows were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadAt {
    /// The guard's epoch before the statement was sent.
    pub(super) epoch: u64,
    /// When it was sent.
    pub(super) sent: BootTime,
    /// The feed's head that it saw.
    pub(super) head: Revision,
}

/// What is to become of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is right at the position that the view has reached.
    Good,
    /// It is from after that position: to be judged again once the view is there.
    Ahead,
    /// It may be of the past, or of another feed: to be read again.
    Stale,
}

pub(super) struct Guard {
    epoch: u64,
    /// The last changes that were applied, one after the other. The first one's own key no longer counts.
    tail: VecDeque<Applied>,
    /// The newest change of each key in the tail.
    newest: HashMap<Key, i64, BuildKeyHasher>,
    /// Changes made by this server.
    marks: VecDeque<Mark>,
    /// How long both are kept: longer than a fill may take.
    retention: Duration,
}

struct Applied {
    revision: Revision,
    key: Option<Key>,
    at: BootTime,
}

struct Mark {
    key: Key,
    /// None: whether and where it took place is not known.
    revision: Option<i64>,
    at: BootTime,
}

impl Guard {
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            epoch: 0,
            tail: VecDeque::new(),
            newest: HashMap::default(),
            marks: VecDeque::new(),
            retention,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The position that the view has reached. None: it has none.
    pub(super) fn position(&self) -> Option<Revision> {
        self.tail.back().map(|applied| applied.revision)
    }

    /// Forgets everything: no fill from before counts any more.
    pub(super) fn reset(&mut self, position: Option<Revision>, now: BootTime) {
        self.epoch += 1;
        self.tail.clear();
        self.newest.clear();
        self.marks.clear();
        self.tail.extend(position.map(|revision| Applied {
            revision,
            key: None,
            at: now,
        }));
    }

    /// Notes a change that was applied: the one after the last.
    pub(super) fn apply(&mut self, revision: Revision, key: Option<Key>, now: BootTime) {
        self.tail.push_back(Applied {
            revision,
            key,
            at: now,
        });
        if let Some(key) = key {
            self.newest.insert(key, revision.number);
        }
        while self.tail.len() > MAX_TAIL || self.is_first_old(now) {
            self.forget_first();
        }
    }

    /// Notes a change that this server made, or may have made.
    pub(super) fn mark(&mut self, key: Key, revision: Option<i64>, now: BootTime) {
        let is_old = |mark: &Mark| now.since(mark.at) > self.retention;
        while self.marks.front().is_some_and(is_old) {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark {
            key,
            revision,
            at: now,
        });
    }

    /// Judges rows that were read so, of things with these keys.
    pub(super) fn judge(&self, read: &ReadAt, keys: &[Key], now: BootTime) -> Judgement {
        let (Some(first), Some(last)) = (self.tail.front(), self.tail.back()) else {
            return Judgement::Stale;
        };
        // Deadlines keep fills from taking so long, unless the process stood still: a mark may be gone that it was against,
        // and its change not yet be applied.
        if now.since(read.sent) > self.retention {
            return Judgement::Stale;
        }
        if read.epoch != self.epoch || read.head.number < first.revision.number {
            return Judgement::Stale;
        }
        if read.head.number > last.revision.number {
            return Judgement::Ahead;
        }
        let place = usize::try_from(read.head.number - first.revision.number).ok();
        let same_place = place.and_then(|place| self.tail.get(place));
        if same_place.map(|applied| applied.revision) != Some(read.head) {
            return Judgement::Stale;
        }
        let has_changed = |key: &Key| {
            let newest = self.newest.get(key);
            newest.is_some_and(|number| *number > read.head.number)
        };
        let is_marked = self.marks.iter().any(|mark| {
            let is_later = match mark.revision {
                Some(number) => number > read.head.number,
                None => mark.at >= read.sent,
            };
            is_later && keys.contains(&mark.key)
        });
        match is_marked || keys.iter().any(has_changed) {
            true => Judgement::Stale,
            false => Judgement::Good,
        }
    }

    /// The position with this number, if it is remembered.
    pub(super) fn find(&self, number: i64) -> Option<Revision> {
        let first = self.tail.front()?.revision.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.tail.get(place).map(|applied| applied.revision)
    }

    /// Whether the first but one is old enough for its predecessor to go.
    fn is_first_old(&self, now: BootTime) -> bool {
        let second = self.tail.get(1);
        second.is_some_and(|applied| now.since(applied.at) > self.retention)
    }

    fn forget_first(&mut self) {
        self.tail.pop_front();
        // The new first stands for the position alone: a fill from before it is stale whatever its keys.
        let Some(first) = self.tail.front_mut() else {
            return;
        };
        let number = first.revision.number;
        if let Some(key) = first.key.take()
            && self.newest.get(&key) == Some(&number)
        {
            self.newest.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::EventId;

    const RETENTION: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> BootTime {
        BootTime(1_000_000_000 + millis * 1_000_000)
    }

    fn revision(number: i64) -> Revision {
        Revision {
            number,
            event_id: EventId([number.to_le_bytes()[0]; 16]),
        }
    }

    fn key(byte: u8) -> Key {
        Key([byte; 16])
    }

    /// At position 10, then changes of keys 1, 2, 1.
    fn guard() -> Guard {
        let mut guard = Guard::new(RETENTION);
        guard.reset(Some(revision(10)), at(0));
        for (number, changed) in [(11, 1), (12, 2), (13, 1)] {
            guard.apply(revision(number), Some(key(changed)), at(0));
        }
        guard
    }

    fn read(guard: &Guard, number: i64) -> ReadAt {
        ReadAt {
            epoch: guard.epoch(),
            sent: at(0),
            head: revision(number),
        }
    }

    fn judge(guard: &Guard, read: &ReadAt, keys: &[Key]) -> Judgement {
        guard.judge(read, keys, read.sent)
    }

    #[test]
    fn a_fill_is_good_unless_one_of_its_keys_changed_after_it_was_read() {
        let guard = guard();
        for (number, keys, expected) in [
            (13, vec![1, 2, 3], Judgement::Good),
            (12, vec![2, 3], Judgement::Good),
            (12, vec![1, 3], Judgement::Stale),
            (11, vec![2], Judgement::Stale),
            (10, vec![3], Judgement::Good),
            (10, vec![], Judgement::Good),
            (9, vec![3], Judgement::Stale),
            (14, vec![3], Judgement::Ahead),
        ] {
            let keys: Vec<Key> = keys.into_iter().map(key).collect();
            let found = judge(&guard, &read(&guard, number), &keys);
            assert_eq!(found, expected, "read at {number} of {keys:?}");
        }
    }

    #[test]
    fn a_fill_of_another_feed_or_epoch_is_stale() {
        let mut guard = guard();
        let mut other = read(&guard, 12);
        other.head.event_id = EventId([99; 16]);
        assert_eq!(judge(&guard, &other, &[]), Judgement::Stale);
        let before = read(&guard, 13);
        guard.reset(Some(revision(13)), at(1));
        assert_eq!(judge(&guard, &before, &[]), Judgement::Stale);
        assert_eq!(judge(&guard, &read(&guard, 13), &[key(1)]), Judgement::Good);
        guard.reset(None, at(2));
        assert_eq!(judge(&guard, &read(&guard, 13), &[]), Judgement::Stale);
    }

    #[test]
    fn a_change_of_this_server_counts_before_the_feed_brings_it() {
        let mut guard = guard();
        guard.mark(key(3), Some(14), at(5));
        assert_eq!(
            judge(&guard, &read(&guard, 13), &[key(3)]),
            Judgement::Stale
        );
        assert_eq!(judge(&guard, &read(&guard, 13), &[key(4)]), Judgement::Good);
        guard.apply(revision(14), Some(key(3)), at(6));
        assert_eq!(judge(&guard, &read(&guard, 14), &[key(3)]), Judgement::Good);
        // Of an unknown outcome: whatever was read before is doubtful.
        guard.mark(key(4), None, at(7));
        assert_eq!(
            judge(&guard, &read(&guard, 14), &[key(4)]),
            Judgement::Stale
        );
        let later = ReadAt {
            sent: at(8),
            ..read(&guard, 14)
        };
        assert_eq!(judge(&guard, &later, &[key(4)]), Judgement::Good);
    }

    #[test]
    fn a_fill_is_stale_that_took_longer_than_a_mark_is_kept() {
        let mut guard = guard();
        let read = read(&guard, 13);
        guard.mark(key(3), Some(14), at(1));
        guard.mark(key(4), Some(15), at(1002));
        for (now, expected) in [(1000, Judgement::Good), (1001, Judgement::Stale)] {
            assert_eq!(guard.judge(&read, &[key(3)], at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn what_is_forgotten_makes_older_fills_stale_and_no_others() {
        let mut guard = guard();
        guard.apply(revision(14), Some(key(4)), at(1500));
        assert_eq!(guard.position(), Some(revision(14)));
        // 11 to 13 are too old; 13 still stands for its position.
        assert_eq!(
            judge(&guard, &read(&guard, 12), &[key(9)]),
            Judgement::Stale
        );
        assert_eq!(judge(&guard, &read(&guard, 13), &[key(1)]), Judgement::Good);
        assert_eq!(
            judge(&guard, &read(&guard, 13), &[key(4)]),
            Judgement::Stale
        );
        for number in 15..15 + MAX_TAIL as i64 {
            guard.apply(revision(number), Some(key(5)), at(1500));
        }
        assert_eq!(guard.tail.len(), MAX_TAIL);
        assert_eq!(guard.newest.len(), 1);
    }
}
