//! Callers who never stop: some ask for decisions, others issue tokens, and what fails is kept.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::pb::{Outcome, resource::Owner};
use tokio::{task::JoinHandle, time::sleep};
use tonic::Status;

use super::envoy;
use crate::support::{
    client::{Client, authorize_request, is_too_slow},
    ledger::Ledger,
    random::Random,
};

const ASKERS: usize = 6;
const ISSUERS: usize = 2;
/// What there is to ask about before the first is asked.
const FIRST_TOKENS: usize = 20;
/// Between the calls of one. The most that are issued stay below what members may have.
const ASK_PAUSE: Duration = Duration::from_millis(5);
const ISSUE_PAUSE: Duration = Duration::from_millis(40);

/// How many failures of a kind are shown.
const SHOWN: usize = 5;

struct Shared {
    since: Instant,
    stop: AtomicBool,
    ledger: Ledger,
    decisions: AtomicUsize,
    too_slow: Mutex<Vec<String>>,
    errors: Mutex<Vec<String>>,
}

pub(super) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) decisions: usize,
    pub(super) issues: usize,
    /// Where a server said that it cannot in time, as on a machine that is busy with other things.
    pub(super) too_slow: Vec<String>,
    /// All else that was no answer, and every denial.
    pub(super) errors: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            decisions,
            issues,
            too_slow,
            errors,
        } = self;
        write!(
            f,
            "{decisions} decisions, {issues} issues, {} too slow, {} errors",
            too_slow.len(),
            errors.len()
        )?;
        let told = too_slow.iter().take(SHOWN);
        let told = told.chain(errors.iter().take(SHOWN));
        told.into_iter().try_for_each(|it| write!(f, "\n{it}"))
    }
}

impl Report {
    /// Whether so few answers were too slow that the rest says something.
    pub(super) fn is_mostly_in_time(&self) -> bool {
        self.too_slow.len() * 10 <= self.decisions
    }
}

/// Starts them, over this connection. What fails is told with how long after `since` it did.
pub(super) async fn start(client: Client, since: Instant, random: &mut Random) -> Load {
    let shared = Arc::new(Shared {
        since,
        stop: AtomicBool::default(),
        ledger: Ledger::default(),
        decisions: AtomicUsize::default(),
        too_slow: Mutex::default(),
        errors: Mutex::default(),
    });
    Ledger::create_members(&client).await;
    for _ in 0..FIRST_TOKENS {
        let issued = shared.ledger.issue(&client).await;
        issued.expect("a token is issued");
    }
    let mut workers = Vec::new();
    for _ in 0..ASKERS {
        let asking = ask(Arc::clone(&shared), client.clone(), random.fork());
        workers.push(tokio::spawn(asking));
    }
    for _ in 0..ISSUERS {
        workers.push(tokio::spawn(issue(Arc::clone(&shared), client.clone())));
    }
    Load { shared, workers }
}

impl Load {
    /// Stops them when each has its answer.
    pub(super) async fn stop(self) -> (Ledger, Report) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("nobody panics");
        }
        let shared = Arc::into_inner(self.shared).expect("all have ended");
        let report = Report {
            decisions: shared.decisions.into_inner(),
            issues: shared.ledger.len(),
            too_slow: shared.too_slow.into_inner().expect("the answers"),
            errors: shared.errors.into_inner().expect("the errors"),
        };
        (shared.ledger, report)
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn failed(&self, what: &str, status: &Status) {
        let server = status.metadata().get(envoy::SERVER);
        let server = server.map(|it| it.to_str().expect("an address"));
        let error = format!(
            "{} ms {what}: {:?}: {} ({})",
            self.since.elapsed().as_millis(),
            status.code(),
            status.message(),
            server.unwrap_or("no server")
        );
        let kept = match is_too_slow(status) {
            true => &self.too_slow,
            false => &self.errors,
        };
        kept.lock().expect("the errors").push(error);
    }
}

async fn ask(shared: Arc<Shared>, client: Client, mut random: Random) {
    while shared.goes_on() {
        let secret = shared.ledger.pick(&mut random).expect("a token");
        let owner = Some(Owner::Bearer(true));
        let request = authorize_request(&secret, "bookings.read", "", owner);
        match client.authorization.clone().authorize(request).await {
            Err(status) => shared.failed("Authorize", &status),
            Ok(answer) => {
                shared.decisions.fetch_add(1, Ordering::Relaxed);
                let decision = answer.into_inner().decision.expect("a decision");
                if decision.outcome() != Outcome::Allow {
                    let error = format!("denied: {:?}", decision.reason());
                    shared.errors.lock().expect("the errors").push(error);
                }
            }
        }
        sleep(ASK_PAUSE).await;
    }
}

async fn issue(shared: Arc<Shared>, client: Client) {
    while shared.goes_on() {
        if let Err(status) = shared.ledger.issue(&client).await {
            shared.failed("IssueToken", &status);
        }
        sleep(ISSUE_PAUSE).await;
    }
}
