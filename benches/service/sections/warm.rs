//! What a decision costs once its token is known, beside an empty RPC through the same layers; batches; rates and
//! latencies; memory per token.

use std::cell::RefCell;

use crate::{
    Bench,
    database::Database,
    load::{Load, Method, Pace},
    measure::{CONNECTIONS, IN_FLIGHT, Side, alternate, latencies, median},
    process::{KEY, Process},
    report::Goal,
    requests::{self, AUTHORIZE, BATCH, HEALTH},
};

const SECTION: &str = "warm";
/// Tokens that the calls are spread over.
const TOKENS: u64 = 1_000;

pub(crate) fn run(bench: &mut Bench) {
    let more = bench.pick(10_000, 500_000);
    let database = Database::sqlite(bench, TOKENS + more, 0);
    let process = Process::serve(&database.url);
    let mut load = Load::connect(process.address, Some(KEY), CONNECTIONS);
    warm_up(&mut load, (0, TOKENS));
    let mut load = RefCell::new(load);
    calls(bench, &process, &load);
    open_loop(bench, load.get_mut());
    for (checks, goal) in [(100, None), (1_000, Some(Goal::AtLeast(1_500_000.0)))] {
        batches(bench, &process, &load, checks, goal);
    }
    memory(bench, &process, load.get_mut(), more);
}

/// Of so many lookups one may be refused, as after a pause of the machine: its token is looked up when it comes up again.
const LOOKUPS_PER_REFUSAL: u64 = 100_000;

/// Few in flight, as many as a server always lets wait: it reads no faster with more.
const UNKNOWN_YET: Pace = Pace::Closed(2);

/// Has each token of a range allow something.
pub(crate) fn warm_up(load: &mut Load, range: (u64, u64)) {
    ask_for_each(load, AUTHORIZE, range);
}

/// Asks once for each token of a range.
pub(crate) fn ask_for_each(load: &mut Load, method: Method<'_>, range: (u64, u64)) {
    let body = requests::authorize();
    let patience = std::time::Duration::from_secs(3600);
    let share = |i| requests::each_once(&body, range, (i, CONNECTIONS));
    let outcome = load.run(method, UNKNOWN_YET, patience, share);
    outcome.require_good_but("warming up", (range.1 - range.0) / LOOKUPS_PER_REFUSAL);
}

fn calls(bench: &mut Bench, process: &Process, load: &RefCell<Load>) {
    let (empty, body) = (vec![0; 5], requests::authorize());
    let sides = [
        Side {
            process,
            load,
            method: AUTHORIZE,
            source: &|i| requests::by_chance(&body, TOKENS, i),
        },
        Side {
            process,
            load,
            method: HEALTH,
            source: &|_| requests::repeated(&empty),
        },
    ];
    let [mut authorize, mut health] = alternate(sides, bench.rounds(), bench.turn());
    let report = &mut bench.report;
    for (what, cost) in [
        ("empty RPC", &mut health),
        ("Authorize, warm", &mut authorize),
    ] {
        let rate = cost.all.rate();
        let note = format!("{rate:.0}/s, {}", latencies(&mut cost.all));
        let name = format!("{what}, server CPU");
        report.figure(SECTION, &name, (cost.median(), "µs"), &note);
        report.cost(what, cost.median());
    }
    let ratio = authorize.ratio_to(&health);
    let what = "CPU, Authorize ÷ empty RPC";
    report.goal(SECTION, what, Goal::AtMost(1.2), (ratio, ""), "");
}

/// At a rate well below the greatest, where latency is not a queue's.
fn open_loop(bench: &mut Bench, load: &mut Load) {
    let body = requests::authorize();
    let source = |i| requests::by_chance(&body, TOKENS, i + 100);
    let turn = bench.turn();
    let closed = load.run(AUTHORIZE, Pace::Closed(IN_FLIGHT), turn, source);
    for share in [0.25, 0.5] {
        let offered = (closed.rate() * share / 100.0).round() * 100.0;
        let outcome = load.run(AUTHORIZE, Pace::Open(offered), turn * 5, source);
        let mut outcome = outcome.require_good("an open loop");
        let what = format!("Authorize, {offered:.0}/s offered");
        let reached = (outcome.rate(), "/s");
        let note = latencies(&mut outcome);
        bench.report.figure(SECTION, &what, reached, &note);
    }
}

fn batches(
    bench: &mut Bench,
    process: &Process,
    load: &RefCell<Load>,
    checks: usize,
    goal: Option<Goal>,
) {
    let body = requests::batch(checks);
    let source = |i| requests::by_chance(&body, TOKENS, i);
    let side = Side {
        process,
        load,
        method: BATCH,
        source: &source,
    };
    let turn = bench.turn();
    side.turn(Pace::Closed(1), turn);
    let turns = (0..bench.rounds()).map(|_| side.turn(Pace::Closed(1), turn).0);
    let cost = median(turns.collect());
    let per_core = checks as f64 / cost * 1e6;
    let what = format!("BatchAuthorize of {checks}, decisions per second and core");
    let note = format!("{cost:.0} µs a batch");
    match goal {
        Some(goal) => bench
            .report
            .goal(SECTION, &what, goal, (per_core, "/s"), &note),
        None => bench.report.figure(SECTION, &what, (per_core, "/s"), &note),
    }
}

/// How the server grows with each token it comes to know. Whatever it keeps of one is in it, and whatever else it took.
fn memory(bench: &mut Bench, process: &Process, load: &mut Load, more: u64) {
    // What calls need whatever the token has been allocated by now.
    let start = TOKENS + more / 10;
    warm_up(load, (TOKENS, start));
    let before = process.memory();
    warm_up(load, (start, TOKENS + more));
    let tokens = TOKENS + more - start;
    let each = (process.memory() - before) / tokens as f64;
    let what = "memory per token warmed";
    let note = format!("growth of the process over {tokens} tokens");
    let goal = Goal::AtMost(640.0);
    bench
        .report
        .goal(SECTION, what, goal, (each, "bytes"), &note);
}
