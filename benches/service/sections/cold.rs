//! Decisions on tokens that the replica has not seen before, on either database.

use std::{cell::RefCell, time::Duration};

use crate::{
    Bench,
    database::Database,
    load::{Load, Pace},
    measure::{CONNECTIONS, IN_FLIGHT, Side, latencies},
    process::{KEY, Process},
    requests::{self, AUTHORIZE},
};

const SECTION: &str = "cold";

pub(crate) fn run(bench: &mut Bench) {
    let tokens = bench.pick(10_000, 200_000);
    let sqlite = Database::sqlite(bench, tokens, 0);
    measure(bench, "SQLite", &sqlite, tokens);
    if let Some(port) = bench.postgres(SECTION) {
        let postgres = Database::postgres(bench, port, tokens, 0);
        measure(bench, "Postgres", &postgres, tokens);
    }
}

fn measure(bench: &mut Bench, name: &str, database: &Database, tokens: u64) {
    let process = Process::serve(&database.url);
    let load = RefCell::new(Load::connect(process.address, Some(KEY), CONNECTIONS));
    let body = requests::authorize();
    // The first few open the connections to the database and prepare its statements.
    let first = tokens / 100;
    let run = |range: (u64, u64), in_flight| {
        let side = Side {
            process: &process,
            load: &load,
            method: AUTHORIZE,
            source: &|i| requests::each_once(&body, range, (i, CONNECTIONS)),
        };
        side.turn(Pace::Closed(in_flight), Duration::from_secs(600))
    };
    run((0, first), IN_FLIGHT);
    // Few in flight for the latency of one, many for the rate.
    let middle = first + (tokens - first) / 4;
    for (in_flight, range) in [(1, (first, middle)), (IN_FLIGHT, (middle, tokens))] {
        let (cost, mut outcome) = run(range, in_flight);
        let what =
            format!("Authorize, cold on {name}, {CONNECTIONS} × {in_flight} in flight, server CPU");
        let note = format!("{:.0}/s, {}", outcome.rate(), latencies(&mut outcome));
        bench.report.figure(SECTION, &what, (cost, "µs"), &note);
        if in_flight == IN_FLIGHT {
            bench
                .report
                .cost(&format!("Authorize, cold on {name}"), cost);
        }
    }
}
