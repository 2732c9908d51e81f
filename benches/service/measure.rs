//! Taking turns: what a call costs a server is told for two sides that were measured in the same minute, or not at all.

use std::{cell::RefCell, time::Duration};

use super::{
    load::{Load, Method, Pace, Source},
    outcome::Outcome,
    process::Process,
};

/// Connections of a load, and calls in flight on each.
pub(crate) const CONNECTIONS: usize = 8;
pub(crate) const IN_FLIGHT: usize = 16;

/// One side.
pub(crate) struct Side<'a> {
    pub(crate) process: &'a Process,
    /// Its connections, which it may share with the other side.
    pub(crate) load: &'a RefCell<Load>,
    pub(crate) method: Method<'a>,
    pub(crate) source: &'a dyn Fn(usize) -> Source,
}

/// What one side took.
#[derive(Default)]
pub(crate) struct Cost {
    /// Server CPU per call of each turn, in microseconds.
    pub(crate) turns: Vec<f64>,
    /// All turns together.
    pub(crate) all: Outcome,
}

impl Cost {
    /// Server CPU per call, in microseconds: the median of the turns.
    pub(crate) fn median(&self) -> f64 {
        median(self.turns.clone())
    }

    /// The median of the ratios of turns that followed each other.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.turns.iter().zip(&other.turns);
        median(pairs.map(|(own, other)| own / other).collect())
    }
}

impl Side<'_> {
    /// One turn.
    pub(crate) fn turn(&self, pace: Pace, duration: Duration) -> (f64, Outcome) {
        let before = self.process.cpu();
        let mut load = self.load.borrow_mut();
        let outcome = load.run(self.method, pace, duration, self.source);
        let outcome = outcome.require_good(self.method.path);
        let used = self.process.cpu() - before;
        (used * 1e6 / outcome.latencies.len() as f64, outcome)
    }
}

/// Two sides by turns, after one turn each that does not count.
pub(crate) fn alternate(sides: [Side<'_>; 2], rounds: usize, duration: Duration) -> [Cost; 2] {
    let mut costs = [Cost::default(), Cost::default()];
    for round in 0..=rounds {
        for (side, cost) in sides.iter().zip(&mut costs) {
            let (per_call, outcome) = side.turn(Pace::Closed(IN_FLIGHT), duration);
            if round > 0 {
                cost.turns.push(per_call);
                cost.all.latencies.extend(outcome.latencies);
                cost.all.elapsed += outcome.elapsed;
            }
        }
    }
    costs
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Latencies for a note.
pub(crate) fn latencies(outcome: &mut Outcome) -> String {
    let [p50, p99, p999] = outcome.percentiles([0.5, 0.99, 0.999]);
    format!("p50 {p50:.0} µs, p99 {p99:.0} µs, p99.9 {p999:.0} µs")
}
