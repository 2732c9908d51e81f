//! The benchmarks: the real binary under load, and its parts by themselves, with each goal beside the figure reached.
//!
//! `cargo bench` runs all of it, `cargo bench -- warm scale` some of it, and `--quick` takes smaller numbers. Where a
//! program is missing the section says so. What is a ratio was taken in one run, the sides by turns.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot be run fails by panicking"
)]

mod database;
mod frames;
mod load;
mod measure;
mod outcome;
mod plot;
mod postgres;
mod process;
mod processors;
mod proxy;
mod report;
mod requests;
mod sections;
mod tokens;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use postgres::Postgres;
use report::Report;
use tokio::runtime::Runtime;

type Section = fn(&mut Bench);

/// Every section, in the order of the table.
const SECTIONS: [(&str, Section); 11] = [
    ("micro", sections::micro::run),
    ("warm", sections::warm::run),
    ("telemetry", sections::telemetry::run),
    ("cold", sections::cold::run),
    ("scale", sections::scale::run),
    ("storm", sections::storm::run),
    ("overload", sections::overload::run),
    ("revocation", sections::revocation::run),
    ("bulk", sections::bulk::run),
    ("eviction", sections::eviction::run),
    ("peer", sections::peer::run),
];
/// Where a run of everything leaves its plot.
const PLOT: &str = "docs/benchmarks.svg";

/// What every section works with.
pub(crate) struct Bench {
    /// Whether small numbers will do.
    pub(crate) quick: bool,
    /// Of what is asynchronous here: the loading of databases and the mutations.
    pub(crate) runtime: Runtime,
    pub(crate) report: Report,
    postgres: Option<Result<Postgres, String>>,
}

impl Bench {
    /// The first where small numbers will do, else the second.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        match self.quick {
            true => quick,
            false => full,
        }
    }

    /// How often two sides take turns, of which the median is told.
    pub(crate) fn rounds(&self) -> usize {
        self.pick(5, 15)
    }

    /// How long one turn takes.
    pub(crate) fn turn(&self) -> Duration {
        self.pick(Duration::from_millis(300), Duration::from_secs(1))
    }

    /// The PostgreSQL of this run, started when first asked for. None, which was said, where there is none.
    pub(crate) fn postgres(&mut self, section: &'static str) -> Option<u16> {
        let started = self.postgres.get_or_insert_with(Postgres::start);
        match started {
            Ok(postgres) => Some(postgres.port),
            Err(why) => {
                let why = format!("PostgreSQL: {why}");
                self.report.skipped(section, &why);
                None
            }
        }
    }
}

/// What was asked for on the command line.
struct Options {
    quick: bool,
    plot: Option<PathBuf>,
    sections: Vec<(&'static str, Section)>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            quick: false,
            plot: None,
            sections: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // What `cargo bench` adds.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--plot" => {
                    let file = arguments.next().ok_or("--plot needs a file")?;
                    options.plot = Some(file.into());
                }
                name => {
                    let found = SECTIONS.into_iter().find(|(section, _)| *section == name);
                    options.sections.push(found.ok_or_else(|| {
                        let known = SECTIONS.map(|(section, _)| section).join(", ");
                        format!("there is no section `{name}`: {known}, --quick, --plot FILE")
                    })?);
                }
            }
        }
        if options.sections.is_empty() {
            options.sections = SECTIONS.to_vec();
            if !options.quick && options.plot.is_none() {
                options.plot = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PLOT));
            }
        }
        Ok(options)
    }
}

fn main() {
    let options = Options::read().unwrap_or_else(|fault| {
        eprintln!("{fault}");
        std::process::exit(64);
    });
    let mut bench = Bench {
        quick: options.quick,
        runtime: Runtime::new().expect("a runtime"),
        report: Report::default(),
        postgres: None,
    };
    for (name, run) in options.sections {
        eprintln!("== {name}");
        // The others took an hour, perhaps, and are none the worse for it.
        let done = catch_unwind(AssertUnwindSafe(|| run(&mut bench)));
        if done.is_err() {
            bench.report.failed(name);
        }
    }
    println!("{}", bench.report);
    if let Some(file) = options.plot {
        plot::write(&bench.report, &file).expect("the plot is written");
        println!("plotted to {}", file.display());
    }
    if bench.report.has_failed {
        std::process::exit(1);
    }
}
