//! A limit on how often something may happen per key: a token bucket that holds one second's worth.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{error::Error, time::Timestamp};

/// How many keys are remembered. Past it, those that have recovered are forgotten, and if all are busy, all of them:
/// memory stays bounded whatever arrives.
const MAX_KEYS: usize = 10_000;

/// Admits so many per second and key.
pub struct Limiter<K> {
    per_second: u32,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    /// In thousandths, so that a millisecond's refill is a whole number.
    left: u64,
    at: Timestamp,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter that has seen nothing.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Mutex::default(),
        }
    }

    /// Takes one at `now`, or tells when one may be taken again.
    pub fn admit(&self, key: K, now: Timestamp) -> Result<(), Error> {
        let rate = u64::from(self.per_second);
        let full = rate * 1000;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.refilled(now, rate) < full);
            if buckets.len() >= MAX_KEYS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            left: full,
            at: now,
        });
        bucket.left = bucket.refilled(now, rate);
        bucket.at = now;
        match bucket.left.checked_sub(1000) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err(Error::TooManyRequests {
                per_second: self.per_second,
                retry_after: Duration::from_millis((1000 - bucket.left).div_ceil(rate)),
            }),
        }
    }
}

impl<K: Eq + Hash> Limiter<K> {
    /// Whether none may be taken at `now`.
    pub fn is_spent(&self, key: &K, now: Timestamp) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(key);
        bucket.is_some_and(|bucket| bucket.refilled(now, u64::from(self.per_second)) < 1000)
    }
}

impl Bucket {
    /// What is left at `now`. A clock that was set back refills nothing.
    fn refilled(&self, now: Timestamp, rate: u64) -> u64 {
        let elapsed = u64::try_from(now.0.saturating_sub(self.at.0)).unwrap_or(0);
        self.left
            .saturating_add(elapsed.saturating_mul(rate))
            .min(rate * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_admits_its_rate_and_one_more_is_told_when() {
        let limiter = Limiter::new(10);
        for _ in 0..10 {
            assert_eq!(limiter.admit("a", Timestamp(0)), Ok(()));
        }
        let refused = limiter.admit("a", Timestamp(0));
        assert_eq!(
            refused.map_err(|error| error.retry_after()),
            Err(Some(Duration::from_millis(100)))
        );
        assert_eq!(limiter.admit("b", Timestamp(0)), Ok(()));
        assert!(limiter.admit("a", Timestamp(99)).is_err());
        assert_eq!(limiter.admit("a", Timestamp(100)), Ok(()));
        assert!(limiter.admit("a", Timestamp(-5000)).is_err());
    }

    #[test]
    fn memory_is_bounded_whatever_arrives() {
        let limiter = Limiter::new(1);
        for key in 0..3 * MAX_KEYS {
            assert_eq!(limiter.admit(key, Timestamp(0)), Ok(()));
        }
        let remembered = limiter.buckets.lock().map_or(0, |buckets| buckets.len());
        assert!(remembered <= MAX_KEYS);
    }
}
