//! Whether a warm decision costs more where there are many tokens, or many revoked ones.
//!
//! The server has half of the processors; the load has the others, and so has PostgreSQL, as it would be elsewhere. Of very
//! many tokens each is another one, and when it was used is one more row to write.

use std::cell::RefCell;

use super::warm::ask_for_each;
use crate::{
    Bench,
    database::Database,
    load::Load,
    measure::{CONNECTIONS, Side, alternate},
    postgres::Postgres,
    process::{CAPACITY_FLAG, KEY, Process},
    processors::{self, Half},
    report::Goal,
    requests::{self, AUTHORIZE, AUTHORIZE_ANYHOW},
};

const SECTION: &str = "scale";
/// How many tokens are kept in memory where nothing is said.
const DEFAULT_CAPACITY: u64 = 1_000_000;
const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;
/// How much longer than elsewhere a turn is: uses of very many tokens are written every few seconds, which each turn is to have
/// its share of.
const LONGER: u32 = 4;
/// Tokens that are asked for over the same connections.
const A_PART: usize = 1_000_000;

/// A server with this many tokens, each of which it was asked for once.
struct Scale {
    process: Process,
    live: u64,
}

impl Scale {
    fn start(bench: &Bench, postgres: &Postgres, live: u64, revoked: u64) -> Self {
        eprintln!("loading {live} live tokens and {revoked} revoked ones");
        let database = Database::postgres(bench, postgres.port, live, revoked);
        let capacity = (live + revoked).to_string();
        let arguments = match live + revoked > DEFAULT_CAPACITY && knows_capacity() {
            true => vec![CAPACITY_FLAG, capacity.as_str()],
            false => vec![],
        };
        let serve = || Process::serve_with(&database.url, &arguments, &[]);
        let scale = Self {
            process: processors::on(Half::Server, serve),
            live,
        };
        for (range, method) in [
            ((0, live), AUTHORIZE),
            ((live, live + revoked), AUTHORIZE_ANYHOW),
        ] {
            let (from, to) = range;
            for from in (from..to).step_by(A_PART) {
                let to = to.min(from + A_PART as u64);
                ask_for_each(&mut scale.connect(), method, (from, to));
            }
        }
        scale
    }

    /// Anew: a server ends connections that are idle, or old.
    fn connect(&self) -> Load {
        Load::connect(self.process.address, Some(KEY), CONNECTIONS)
    }
}

pub(crate) fn run(bench: &mut Bench) {
    processors::on(Half::Others, || match Postgres::start() {
        Err(why) => bench.report.skipped(SECTION, &format!("PostgreSQL: {why}")),
        Ok(postgres) => run_on(bench, &postgres),
    });
}

fn run_on(bench: &mut Bench, postgres: &Postgres) {
    let many = bench.pick(20_000, MANY);
    let most = bench.pick(50_000, 10 * MANY);
    let few = Scale::start(bench, postgres, FEW, 0);
    let much = Scale::start(bench, postgres, many, 0);
    compare(bench, &much, &few, &format!("{many} tokens ÷ {FEW}"), None);
    let revoked = Scale::start(bench, postgres, many, many);
    let what = format!("{many} revoked tokens ÷ none, beside {many} live ones");
    compare(bench, &revoked, &much, &what, Some(Goal::AtMost(1.1)));
    drop((much, revoked));
    let much = Scale::start(bench, postgres, most, 0);
    let what = format!("{most} tokens ÷ {FEW}");
    compare(bench, &much, &few, &what, Some(Goal::AtMost(1.1)));
}

fn compare(bench: &mut Bench, large: &Scale, small: &Scale, what: &str, goal: Option<Goal>) {
    let body = requests::authorize();
    let (in_large, in_small) = (large.live, small.live);
    let sides = [
        Side {
            process: &large.process,
            load: &RefCell::new(large.connect()),
            method: AUTHORIZE,
            source: &|i| requests::by_chance(&body, in_large, i),
        },
        Side {
            process: &small.process,
            load: &RefCell::new(small.connect()),
            method: AUTHORIZE,
            source: &|i| requests::by_chance(&body, in_small, i),
        },
    ];
    let [large_cost, small_cost] = alternate(sides, bench.rounds(), LONGER * bench.turn());
    let ratio = (large_cost.ratio_to(&small_cost), "");
    let what = format!("CPU per warm call, {what}");
    let note = format!(
        "{:.1} µs and {:.1} µs; {:.0} and {:.0} MiB",
        large_cost.median(),
        small_cost.median(),
        large.process.memory() / f64::from(1 << 20),
        small.process.memory() / f64::from(1 << 20)
    );
    match goal {
        Some(goal) => bench.report.goal(SECTION, &what, goal, ratio, &note),
        None => bench.report.figure(SECTION, &what, ratio, &note),
    }
}

/// Whether the server can be told how many tokens to keep in memory.
fn knows_capacity() -> bool {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["serve", "--help"])
        .output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(CAPACITY_FLAG))
}
