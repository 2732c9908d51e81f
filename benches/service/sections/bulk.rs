//! Revoking every token of a workspace at once: one write, whether there are a thousand or two million.

use std::time::Duration;

use crate::{
    Bench,
    database::Database,
    load::{Load, Pace},
    measure::{CONNECTIONS, latencies, median},
    outcome::Outcome,
    process::{KEY, Process},
    report::Goal,
    requests::{self, AUTHORIZE, AUTHORIZE_ANYHOW, REVOKE_ALL},
};

const SECTION: &str = "bulk";
const FEW: u64 = 1_000;
/// Revocations of one turn, one after the other.
const CALLS: u64 = 20;
/// Tokens that are asked about before and after.
const ASKED: u64 = 1_000;

pub(crate) fn run(bench: &mut Bench) {
    let many = bench.pick(200_000, 2_000_000);
    let databases = [FEW, many].map(|tokens| {
        let database = Database::sqlite(bench, tokens, 0);
        database.gather(bench);
        database
    });
    measure(bench, "SQLite", &databases, many);
    if let Some(port) = bench.postgres(SECTION) {
        let databases = [FEW, many].map(|tokens| {
            let database = Database::postgres(bench, port, tokens, 0);
            database.gather(bench);
            database
        });
        measure(bench, "Postgres", &databases, many);
    }
}

/// A server and one connection to it: a revocation follows the answer to the one before.
struct Side {
    _process: Process,
    one: Load,
}

impl Side {
    /// The first revocation is followed by decisions, all of which must deny what they allowed before.
    fn start(database: &Database) -> Self {
        let process = Process::serve(&database.url);
        let mut load = Load::connect(process.address, Some(KEY), CONNECTIONS);
        let mut one = Load::connect(process.address, Some(KEY), 1);
        let body = requests::authorize();
        let patience = Duration::from_secs(60);
        let mut ask = |method| {
            let share = |i| requests::each_once(&body, (0, ASKED), (i, CONNECTIONS));
            load.run(method, Pace::Closed(1), patience, share)
        };
        ask(AUTHORIZE).require_good("before it");
        revoke(&mut one, 1);
        let allowed = ask(AUTHORIZE).latencies.len();
        assert_eq!(allowed, 0, "a revoked token is allowed");
        ask(AUTHORIZE_ANYHOW).require_good("after it");
        Self {
            _process: process,
            one,
        }
    }
}

fn revoke(load: &mut Load, calls: u64) -> Outcome {
    let patience = Duration::from_secs(60);
    let source = |_| requests::so_often(&requests::revoke_all(), calls);
    let outcome = load.run(REVOKE_ALL, Pace::Closed(1), patience, source);
    outcome.require_good("revoking all")
}

fn measure(bench: &mut Bench, name: &str, databases: &[Database; 2], many: u64) {
    let mut sides = databases.each_ref().map(Side::start);
    let mut all = [Outcome::default(), Outcome::default()];
    let mut ratios = Vec::new();
    for round in 0..=bench.rounds() {
        let turns = sides.each_mut().map(|side| revoke(&mut side.one, CALLS));
        // The first round only warms up.
        if round == 0 {
            continue;
        }
        let [few, most] = turns.each_ref().map(|turn| turn.elapsed.as_secs_f64());
        ratios.push(most / few);
        for (all, turn) in all.iter_mut().zip(turns) {
            all.latencies.extend(turn.latencies);
        }
    }
    let [few, most] = all.each_mut().map(latencies);
    let note = format!("{FEW}: {few}; {many}: {most}");
    let what = format!("RevokeTokens on {name}, {many} tokens ÷ {FEW}");
    let reached = (median(ratios), "");
    bench
        .report
        .goal(SECTION, &what, Goal::AtMost(1.5), reached, &note);
}
