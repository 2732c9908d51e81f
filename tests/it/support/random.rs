//! Random choices that can be made again: the seed is printed, which a failed test shows, and can be given.

use std::{
    env,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where a seed to use again is given.
const SEED: &str = "COUNTERSIGN_TEST_SEED";

/// Where it is said how many runs to make, and from which seed on, of a test that makes a few by itself.
pub(crate) const SEEDS: &str = "COUNTERSIGN_TEST_SEEDS";
pub(crate) const FIRST_SEED: &str = "COUNTERSIGN_TEST_FIRST_SEED";

/// The seeds of those runs: so many from 0 on, unless it is said otherwise.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str, default: u64| {
        let given = env::var(name).ok();
        given.map_or(default, |given| given.parse().expect("a number"))
    };
    let first = number(FIRST_SEED, 0);
    first..first + number(SEEDS, count)
}

/// A sequence of choices (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// A new one, with the seed that was given or one that nobody knows.
    pub(crate) fn seeded() -> Self {
        let seed = match env::var(SEED) {
            Ok(seed) => seed.parse().expect("the seed is a number"),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs() ^ u64::from(time.subsec_nanos())),
        };
        println!("to make the same choices again: {SEED}={seed}");
        Self(seed)
    }

    /// The one with this seed.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, which this one determines.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a small bound");
        usize::try_from(self.next() % bound).expect("it is below the bound")
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
