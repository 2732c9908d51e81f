//! Far more work for the database than it can do: what is still done of it, what becomes of decisions that do not need it,
//! and how the rest is refused.
//!
//! Three states take turns, each beside the same warm calls at a fixed rate: nothing else, as much work as is done in a
//! closed loop, and ten times that in an open one. The server has half of the processors; the load and PostgreSQL, which
//! would be elsewhere, have the others, where the warm calls go before all the rest.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::warm::warm_up;
use crate::{
    Bench,
    database::Database,
    load::{Load, Pace},
    measure::{CONNECTIONS, median},
    outcome::Outcome,
    postgres::Postgres,
    process::{CALLERS, KEY, Process, key_of},
    processors::{self, Half},
    proxy,
    report::Goal,
    requests::{self, AUTHORIZE, ISSUE},
};

const SECTION: &str = "overload";
/// How much more is offered than is done.
const TIMES: f64 = 10.0;
/// Tokens that are warm, and calls for them a second.
const WARM: u64 = 1_000;
const WARM_RATE: f64 = 500.0;
/// The way to Postgres, one way: its answers take longer than it takes this machine to ask.
const EACH_WAY: Duration = Duration::from_millis(2);
/// An embedded database reads as fast as it can be asked, so it is given so many cold tokens a second, and ten times that.
const SQLITE_COLD: f64 = 400.0;
/// Calls in flight on each connection where a call follows an answer.
const COLD_IN_FLIGHT: usize = 4;
const ISSUES_IN_FLIGHT: usize = 2;

pub(crate) fn run(bench: &mut Bench) {
    processors::on(Half::Others, || run_beside(bench));
}

fn run_beside(bench: &mut Bench) {
    let stored = bench.pick(120_000, 400_000);
    let sqlite = Database::sqlite(bench, stored, 0);
    let cold = Pace::Open(SQLITE_COLD);
    each(bench, ("SQLite", &sqlite.url, cold), stored);
    // One of its own, which is where it was started.
    match processors::behind_others(start_far) {
        Err(why) => bench.report.skipped(SECTION, &format!("PostgreSQL: {why}")),
        Ok((postgres, far)) => {
            let port = postgres.port;
            let database = Database::postgres(bench, port, stored, 0);
            let url = database
                .url
                .replace(&format!(":{port}/"), &format!(":{far}/"));
            let cold = Pace::Closed(COLD_IN_FLIGHT);
            each(bench, ("Postgres", &url, cold), stored);
        }
    }
}

/// PostgreSQL, and the port at which it is far.
fn start_far() -> Result<(Postgres, u16), String> {
    let postgres = Postgres::start()?;
    let far = proxy::delay(postgres.port, EACH_WAY);
    Ok((postgres, far))
}

fn each(bench: &mut Bench, (name, url, cold): (&str, &str, Pace), stored: u64) {
    // Names of issued tokens are never used again.
    let issued = Arc::new(AtomicU64::new(0));
    for callers in [1, CALLERS] {
        let process = processors::on(Half::Server, || Process::serve(url));
        let keys: Vec<String> = (0..callers).map(key_of).collect();
        let connect = |keys: &[String]| {
            Load::connect_each(process.address, keys, CONNECTIONS).behind_others()
        };
        let mut trial = Trial {
            warm: Load::connect(process.address, Some(KEY), CONNECTIONS),
            cold: connect(&keys),
            issues: connect(&keys),
            process,
            closed_cold: cold,
            next: Arc::new(AtomicU64::new(WARM)),
            stored,
            issued: Arc::clone(&issued),
            turn: bench.pick(Duration::from_secs(2), Duration::from_secs(6)),
        };
        warm_up(&mut trial.warm, (0, WARM));
        let told = trial.run(bench.pick(3, 7));
        tell(bench, &format!("{name}, {callers} callers"), told);
    }
}

/// What is offered beside the warm calls.
#[derive(Clone, Copy)]
enum Offer {
    Nothing,
    /// What is done of it follows from what is done: the pace of cold tokens, and issues in flight.
    Closed,
    /// So many cold tokens and issues a second.
    Open([f64; 2]),
}

struct Trial {
    process: Process,
    warm: Load,
    cold: Load,
    issues: Load,
    closed_cold: Pace,
    /// The first token that was not asked for yet.
    next: Arc<AtomicU64>,
    stored: u64,
    issued: Arc<AtomicU64>,
    turn: Duration,
}

/// One turn: the warm calls, and good answers a second to cold ones and to issues.
struct Turn {
    warm: Outcome,
    rates: [f64; 2],
}

/// Of all turns.
#[derive(Default)]
struct Told {
    /// Good answers under ten times the capacity beside those at it.
    goodput: Vec<f64>,
    /// Both, to cold calls and to issues.
    over: [Vec<f64>; 2],
    capacity: [Vec<f64>; 2],
    /// The 99th percentile of warm calls in microseconds: alone, at capacity, and at ten times that.
    p99: [Vec<f64>; 3],
    /// That at ten times the capacity beside alone, and beside at capacity, when the machine is as busy.
    p99_ratios: [Vec<f64>; 2],
    /// Warm calls that were not decided.
    undecided: u64,
    answers: BTreeMap<String, u64>,
    memory: [f64; 2],
}

impl Trial {
    fn run(&mut self, rounds: usize) -> Told {
        let mut told = Told::default();
        for round in 0..=rounds {
            let alone = self.turn(Offer::Nothing);
            let capacity = self.turn(Offer::Closed);
            let (before, memory) = (self.answers(), self.process.memory());
            let is_done = capacity.rates.iter().all(|rate| *rate > 0.0);
            assert!(is_done, "nothing is done at capacity: {before:?}");
            let over = self.turn(Offer::Open(capacity.rates.map(|rate| TIMES * rate)));
            // The first round only warms up.
            if round == 0 {
                told.memory[0] = self.process.memory().max(memory);
                continue;
            }
            for (code, count) in self.answers() {
                let more = count - before.get(&code).copied().unwrap_or(0);
                *told.answers.entry(code).or_default() += more;
            }
            told.memory[1] = told.memory[1].max(self.process.memory());
            for kind in 0..2 {
                told.capacity[kind].push(capacity.rates[kind]);
                told.over[kind].push(over.rates[kind]);
            }
            let [done, most] = [&over, &capacity].map(|turn| turn.rates.iter().sum::<f64>());
            told.goodput.push(done / most);
            let p99 = [alone, capacity, over].map(|mut turn| {
                told.undecided += turn.warm.bad;
                let [p99] = turn.warm.percentiles([0.99]);
                p99
            });
            for (ratios, other) in told.p99_ratios.iter_mut().zip(p99) {
                ratios.push(p99[2] / other);
            }
            for (all, p99) in told.p99.iter_mut().zip(p99) {
                all.push(p99);
            }
        }
        told
    }

    fn answers(&self) -> BTreeMap<String, u64> {
        let mut answers = BTreeMap::new();
        for (call, method) in [("Authorize", AUTHORIZE), ("IssueToken", ISSUE)] {
            let counted = self.process.answers(method.path).into_iter();
            answers.extend(counted.map(|(code, count)| (format!("{call} {code}"), count)));
        }
        answers
    }

    fn turn(&mut self, offer: Offer) -> Turn {
        let body = requests::authorize();
        let stored = self.stored;
        let by_chance = |i| requests::by_chance(&body, WARM, i);
        let each_once = |_| requests::each_next(&body, &self.next, stored);
        let issues = |_| requests::issues(&self.issued, stored);
        let paces = match offer {
            Offer::Nothing => None,
            Offer::Closed => Some([self.closed_cold, Pace::Closed(ISSUES_IN_FLIGHT)]),
            Offer::Open(rates) => Some(rates.map(Pace::Open)),
        };
        let (turn, warm, cold, issue) =
            (self.turn, &mut self.warm, &mut self.cold, &mut self.issues);
        let (warm, done) = thread::scope(|scope| {
            let warm =
                scope.spawn(move || warm.run(AUTHORIZE, Pace::Open(WARM_RATE), turn, by_chance));
            let done = paces.map(|[cold_pace, issue_pace]| {
                let cold = scope.spawn(move || cold.run(AUTHORIZE, cold_pace, turn, each_once));
                let issues = issue.run(ISSUE, issue_pace, turn, issues);
                [cold.join().expect("no panic"), issues]
            });
            (warm.join().expect("no panic"), done)
        });
        let Some(done) = done else {
            return Turn {
                warm,
                rates: [0.0; 2],
            };
        };
        let next = self.next.load(Ordering::Relaxed);
        assert!(next < stored, "there are not enough cold tokens");
        Turn {
            warm,
            rates: done.map(|outcome| outcome.rate()),
        }
    }
}

fn tell(bench: &mut Bench, name: &str, told: Told) {
    let report = &mut bench.report;
    let note = format!("cold tokens and issues together; {}", range(&told.goodput));
    let reached = (median(told.goodput), "");
    let what = format!("{name}: goodput at ten times the capacity ÷ capacity");
    report.goal(SECTION, &what, Goal::AtLeast(0.8), reached, &note);
    for (kind, what) in ["cold tokens", "issues"].into_iter().enumerate() {
        let [capacity, over] = [&told.capacity, &told.over].map(|all| median(all[kind].clone()));
        let note = format!("{capacity:.0}/s at capacity; {}", range(&told.over[kind]));
        let what = format!("{name}: {what} at ten times the capacity");
        report.figure(SECTION, &what, (over, "/s"), &note);
    }
    let [alone, capacity, over] = told.p99.map(median);
    let [to_alone, to_capacity] = told.p99_ratios;
    let note = format!(
        "{alone:.0} µs alone, {capacity:.0} µs at capacity, {over:.0} µs at ten times that; {}",
        range(&to_alone)
    );
    let reached = (median(to_alone), "");
    let what = format!("{name}: warm p99, at ten times the capacity ÷ alone");
    report.goal(SECTION, &what, Goal::AtMost(2.0), reached, &note);
    let note = format!("the machine is as busy; {}", range(&to_capacity));
    let reached = (median(to_capacity), "");
    let what = format!("{name}: warm p99, at ten times the capacity ÷ at capacity");
    report.figure(SECTION, &what, reached, &note);
    let what = format!("{name}: warm calls that were not decided");
    let reached = (told.undecided as f64, "");
    report.goal(SECTION, &what, Goal::AtMost(0.0), reached, "");
    let others = told.answers.iter().filter(|(code, _)| !is_meant(code));
    let others: u64 = others.map(|(_, count)| count).sum();
    let counted = told.answers.iter().filter(|(_, count)| **count > 0);
    let counted: Vec<String> = counted
        .map(|(code, count)| format!("{count} {code}"))
        .collect();
    let what = format!("{name}: answers but OK and RESOURCE_EXHAUSTED");
    let reached = (others as f64, "");
    report.goal(
        SECTION,
        &what,
        Goal::AtMost(0.0),
        reached,
        &counted.join(", "),
    );
    let [before, after] = told.memory.map(|bytes| bytes / f64::from(1 << 20));
    let what = format!("{name}: memory after ten times the capacity");
    let note = format!("{before:.0} MiB after the first of the turns");
    report.figure(SECTION, &what, (after, "MiB"), &note);
}

fn is_meant(code: &str) -> bool {
    code.ends_with(" OK") || code.ends_with(" RESOURCE_EXHAUSTED")
}

/// From the least to the most, which tells how noisy it was.
fn range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{least:.2} to {most:.2}")
}
