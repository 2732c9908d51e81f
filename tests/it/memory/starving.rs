//! What memory cannot decide keeps nothing away that it can, and one caller's flood keeps no other caller waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::pb::{Context, DenyReason};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use tonic::{Code, Status};

use super::{
    FOR_NOW, allows, another_connection, ask, behind, decisions_within, is_allowed, issue,
    must_be_for_now, question, start_behind_proxy, until, warm,
};
use crate::support::{
    call::unknown_secret,
    client::Client,
    database::{Backend, TestDatabase, on_both},
    http::Scrape,
    proxy::{Mode, Proxy},
    server::{BOOKINGS, DASHBOARD, PLATFORM, Setup, TestServer},
    status::assert_status,
};

/// Calls that one connection may have open at once, and a few less.
const CALLS_PER_CONNECTION: usize = 200;
const COLD_CALLS: usize = 3000;
const WARM: usize = 20;
/// So many invented tokens at once; and more than may be looked up at once.
const FLOOD: usize = 400;
const GREAT_FLOOD: usize = 1200;
/// As long as a refusal says.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How long the slow database takes for each answer at least, there and back.
const SLOW: Duration = Duration::from_millis(10);
/// These tests fill the machine: together they would show how it is with less of one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const COLD: usize = 100;
/// How many unknown ones a caller may ask for in a second.
const BUDGET: usize = 50;
/// So few that the connections of a caller suffice for them, and one does not.
const FEW: usize = 60;
const VERY_SLOW: Duration = Duration::from_millis(50);

async fn held_tokens(server: &TestServer) -> f64 {
    let scrape = Scrape::of(server.metrics_address()).await;
    scrape.get("countersign_view_tokens").expect("it is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_database_holds_up_no_decision_that_memory_can_make() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let Some((_database, proxy, server)) = start_behind_proxy(Duration::from_secs(10)).await else {
        return;
    };
    let client = server.client(PLATFORM);
    let secrets = issue(&client, WARM + COLD).await;
    let (known, cold) = secrets.split_at(WARM);
    until("they are warm", || async {
        for secret in known {
            if ask(&client, secret).await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    let before = held_tokens(&server).await;

    proxy.set(Mode::Stall);
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    let mut watch = Watch::default();
    for connection in 0..COLD_CALLS / CALLS_PER_CONNECTION {
        // One caller may only have so many wait.
        let caller = [BOOKINGS, DASHBOARD, PLATFORM][connection % 3];
        let cold_client = another_connection(&server, caller);
        for call in 0..CALLS_PER_CONNECTION {
            let number = connection * CALLS_PER_CONNECTION + call;
            // Some that exist, some that do not.
            let secret = match cold.get(number) {
                Some(secret) => secret.clone(),
                None => unknown_secret(),
            };
            let (client, waiting) = (cold_client.clone(), Arc::clone(&waiting));
            calls.spawn(async move {
                waiting.fetch_add(1, Ordering::Relaxed);
                let answer = ask(&client, &secret).await;
                waiting.fetch_sub(1, Ordering::Relaxed);
                answer
            });
        }
        // These are all in one process: what is to be shown is who waits for the database, not for the processor.
        for _ in 0..5 {
            watch
                .decide(&client, known, waiting.load(Ordering::Relaxed))
                .await;
        }
    }
    // As long as any of them waits, and a while longer.
    while waiting.load(Ordering::Relaxed) > 0 || watch.decided < 100 {
        watch
            .decide(&client, known, waiting.load(Ordering::Relaxed))
            .await;
    }
    let mut refused = [0; 2];
    for answer in calls.join_all().await {
        let status = answer.expect_err("nothing can be read");
        must_be_for_now(&status, &FOR_NOW);
        refused[usize::from(status.code() == Code::ResourceExhausted)] += 1;
    }
    let [unavailable, exhausted] = refused;
    let Watch {
        decided,
        most,
        slowest,
    } = watch;
    println!(
        "{decided} warm decisions while up to {most} calls waited, the slowest in {slowest:?}; {unavailable} times \
         UNAVAILABLE, {exhausted} times RESOURCE_EXHAUSTED"
    );
    assert!(most > COLD_CALLS / 2, "{most}");
    assert!(unavailable > 0 && exhausted > 0, "{refused:?}");
    assert_eq!(held_tokens(&server).await, before);

    proxy.set(Mode::Pass);
    until("what was cold is decided", || async {
        ask(&client, &cold[0]).await.is_ok()
    })
    .await;
}

/// Warm decisions, and how many calls waited meanwhile.
#[derive(Default)]
struct Watch {
    decided: usize,
    most: usize,
    slowest: Duration,
}

impl Watch {
    async fn decide(&mut self, client: &Client, known: &[String], waiting: usize) {
        let sent = Instant::now();
        let answer = ask(client, &known[self.decided % known.len()]).await;
        assert!(allows(&answer.expect("memory has all that it takes")));
        self.slowest = self.slowest.max(sent.elapsed());
        self.most = self.most.max(waiting);
        self.decided += 1;
    }
}

/// Presents invented tokens, so many at once, until it is over; tells how many were denied and how many refused.
struct Flood {
    is_over: Arc<AtomicBool>,
    denied: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    /// Those of the refusals that came of waiting too long.
    late: Arc<AtomicUsize>,
    workers: JoinSet<()>,
}

impl Flood {
    fn start(server: &TestServer, calls: usize) -> Self {
        let mut flood = Self {
            is_over: Arc::default(),
            denied: Arc::default(),
            refused: Arc::default(),
            late: Arc::default(),
            workers: JoinSet::new(),
        };
        for _ in 0..calls / CALLS_PER_CONNECTION {
            let client = another_connection(server, BOOKINGS);
            for _ in 0..CALLS_PER_CONNECTION {
                let client = client.clone();
                let is_over = Arc::clone(&flood.is_over);
                let [denied, refused, late] =
                    [&flood.denied, &flood.refused, &flood.late].map(Arc::clone);
                flood.workers.spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        match present(&client).await {
                            Ok(()) => denied.fetch_add(1, Ordering::Relaxed),
                            Err(status) => {
                                must_be_for_now(&status, &FOR_NOW);
                                let is_late = status.code() == Code::Unavailable;
                                late.fetch_add(usize::from(is_late), Ordering::Relaxed);
                                sleep(RETRY_PAUSE).await;
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                    }
                });
            }
        }
        flood
    }

    /// How many were denied and how many refused: hardly any for having waited too long, which a busy machine does.
    async fn end(self) -> [usize; 2] {
        self.is_over.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
        let counts = [self.denied, self.refused, self.late];
        let [denied, refused, late] = counts.map(|count| count.load(Ordering::Relaxed));
        assert!(late * 50 <= refused, "{late} of {refused}");
        [denied, refused]
    }
}

async fn present(client: &Client) -> Result<(), Status> {
    let answer = ask(client, &unknown_secret()).await?;
    let decision = answer.decision.expect("a decision");
    assert_eq!(decision.reason(), DenyReason::UnknownToken);
    Ok(())
}

async fn a_flood_of_invented_tokens_starves_no_other_caller(database: TestDatabase) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let setup = Setup {
        limits: decisions_within(Duration::from_secs(10)),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, WARM + COLD).await;
    let (known, cold) = secrets.split_at(WARM);
    warm(&client, known).await;
    assert_eq!(held_tokens(&server).await, WARM as f64);

    let flood = Flood::start(&server, FLOOD);
    until("the flood is at its height", || async {
        flood.denied.load(Ordering::Relaxed) + flood.refused.load(Ordering::Relaxed) > FLOOD
    })
    .await;
    let mut slowest = [Duration::ZERO; 2];
    for secret in cold {
        let sent = Instant::now();
        let answer = ask(&client, secret).await;
        assert!(allows(
            &answer.expect("another caller's flood is no reason")
        ));
        slowest[0] = slowest[0].max(sent.elapsed());
        let sent = Instant::now();
        assert!(is_allowed(&client, &known[0]).await);
        slowest[1] = slowest[1].max(sent.elapsed());
    }
    let held = held_tokens(&server).await;
    let [denied, refused] = flood.end().await;
    println!(
        "{denied} invented tokens were denied and {refused} refused; meanwhile the slowest cold decision took {:?}, the \
         slowest warm one {:?}",
        slowest[0], slowest[1]
    );
    assert!(denied > 2 * FLOOD, "it was no flood");
    assert_eq!(held, (WARM + COLD) as f64, "invented tokens are not held");
}

/// On a database that takes its time a few places in a queue are a long wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_before_a_slow_database_leaves_other_callers_their_turns() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let proxy = Proxy::start(database.address(), Mode::Pass).await;
    let setup = behind(&proxy, &database, Duration::from_secs(10));
    let clock = setup.clock.clone();
    let server = setup.start(&database).await;
    let client = server.client(PLATFORM);
    let cold = issue(&client, COLD).await;
    proxy.set(Mode::Delay(SLOW));
    // Whoever has spent its budget of unknown tokens has a new one by and by.
    let time = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_millis(10));
        }
    });
    let flood = Flood::start(&server, GREAT_FLOOD);
    until("the flood is at its height", || async {
        flood.refused.load(Ordering::Relaxed) > GREAT_FLOOD
    })
    .await;
    let mut slowest = Duration::ZERO;
    for secret in &cold[..COLD / 2] {
        let sent = Instant::now();
        let answer = ask(&client, secret).await;
        assert!(allows(
            &answer.expect("another caller's flood is no reason")
        ));
        slowest = slowest.max(sent.elapsed());
    }
    let [denied, refused] = flood.end().await;
    time.abort();
    println!("{denied} denied, {refused} refused; the slowest cold decision took {slowest:?}");
}

/// Nobody need ask the database for them more often than for unknown tokens.
#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_nobody_made_count_as_invented_tokens_do() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let before = TestServer::start(&database).await;
    let cold = issue(&before.client(PLATFORM), 2 * FEW).await;
    before.stop().await.expect("it ends well");
    let proxy = Proxy::start(database.address(), Mode::Pass).await;
    let setup = behind(&proxy, &database, Duration::from_secs(10));
    let server = setup.start(&database).await;
    let asking = server.client(BOOKINGS);
    for number in 0..BUDGET + 1 {
        // Of a position that it no longer remembers.
        let mut request = question(&cold[0]);
        request.context = Some(Context {
            min_revision: format!("1-{number:016x}"),
            ..Default::default()
        });
        let answer = asking.authorization.clone().authorize(request).await;
        let status = answer.expect_err("nobody made it");
        let code = Code::FailedPrecondition;
        assert_status(&status, code, "REVISION_UNKNOWN", None);
    }
    // Of the two callers only this one has but one connection at a time now, which is too slow for all of these.
    proxy.set(Mode::Delay(VERY_SLOW));
    let mut refused = [0; 2];
    let mut calls = JoinSet::new();
    for (number, secret) in cold.into_iter().enumerate() {
        let caller = number % 2;
        let client = server.client([BOOKINGS, PLATFORM][caller]);
        calls.spawn(async move { (caller, ask(&client, &secret).await) });
    }
    for (caller, answer) in calls.join_all().await {
        if let Err(status) = answer {
            must_be_for_now(&status, &FOR_NOW[1..]);
            refused[caller] += 1;
        }
    }
    assert!(refused[0] > 0 && refused[1] == 0, "{refused:?}");
}

on_both![a_flood_of_invented_tokens_starves_no_other_caller];
