//! The database goes away and comes back: decisions go on for the bound, then there are none, and none is ever wrong.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::pb::DenyReason;
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use super::{
    BOUND, another_connection, ask, connect, decisions_within, fills, is_allowed, issue, until,
    warm,
};
use crate::support::{
    client::Client,
    database::TestDatabase,
    http::Scrape,
    postgres::{self, Stop},
    server::{PLATFORM, Setup, TestServer},
    statements::Statements,
    status::assert_status,
    tools,
};

const TOKENS: usize = 200;
/// Those that were never presented before the database goes away.
const COLD: usize = 50;
const WORKERS: usize = 8;
/// Longer than usual: a fifth of it is what a busy machine may be late with a refusal.
const DEADLINE: Duration = Duration::from_millis(1500);
/// How long a worker pauses between its questions, so that it is the answers that are tested and not the machine.
const BREATH: Duration = Duration::from_millis(2);
/// How often the feed is read.
const POLL: Duration = Duration::from_millis(250);
/// When all is as it was after the database is back.
const RECOVERY: Duration = Duration::from_secs(1);
/// How long it stays away.
const AWAY: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It stays where it is and says nothing.
    Pause,
    /// It ends its sessions, and nobody listens any more.
    Stop(Stop),
}

/// One answer.
struct Answered {
    token: usize,
    sent: Instant,
    got: Instant,
    /// Whether it is allowed, and the reason if not.
    answer: Result<DenyReason, Status>,
}

#[derive(Clone, Default)]
struct Record {
    answers: Arc<Mutex<Vec<Answered>>>,
    is_over: Arc<AtomicBool>,
}

impl Record {
    /// Asks for these tokens in turn until it is over.
    async fn ask_for(self, client: Client, tokens: Vec<(usize, String)>) {
        for (token, secret) in tokens.iter().cycle() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let sent = Instant::now();
            let answer = ask(&client, secret).await;
            let answered = Answered {
                token: *token,
                sent,
                got: Instant::now(),
                answer: answer.map(|answer| answer.decision.expect("a decision").reason()),
            };
            self.answers.lock().expect("the record").push(answered);
            sleep(BREATH).await;
        }
    }
}

async fn feed_reads(server: &TestServer) -> f64 {
    let scrape = Scrape::of(server.metrics_address()).await;
    let series = |result: &str| format!("countersign_view_feed_reads_total{{result=\"{result}\"}}");
    let read = scrape.get(&series("READ")).expect("reads are counted");
    read + scrape.get(&series("RESYNC")).unwrap_or(0.0)
}

async fn health(server: &TestServer, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut health = HealthClient::new(connect(server));
    let answer = health.check(request).await.expect("health answers");
    answer.into_inner().status()
}

/// Takes the database away, waits, brings it back, and tells when it was gone, when it began to come back, and when it was
/// back.
async fn strike(server: &mut postgres::Server, outage: Outage) -> [Instant; 3] {
    match outage {
        Outage::Pause => server.pause(),
        Outage::Stop(how) => server.stop(how),
    }
    let gone = Instant::now();
    sleep(AWAY).await;
    let returning = Instant::now();
    match outage {
        Outage::Pause => server.resume(),
        Outage::Stop(_) => server.start(),
    }
    [gone, returning, Instant::now()]
}

async fn decisions_go_on_for_the_bound(outage: Outage) {
    let Some(programs) = tools::require_postgres() else {
        return;
    };
    let mut own = postgres::start_own(programs).await;
    let database = TestDatabase::create_on(&own).await;
    let statements = Statements::default();
    let setup = Setup {
        limits: decisions_within(DEADLINE),
        statements: Some(statements.clone()),
        ..Setup::default()
    };
    let server = setup.start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, TOKENS + COLD).await;
    until("the tokens are warm", || async {
        for secret in &secrets[..TOKENS] {
            if ask(&client, secret).await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    // One of them is dead, and stays so.
    let answer = ask(&client, &secrets[0]).await.expect("a decision");
    let principal = answer.principal.expect("an allow tells whose");
    client.revoke(&principal.token_id).await;
    assert!(!is_allowed(&client, &secrets[0]).await);
    warm(&client, &secrets[1..TOKENS]).await;
    statements.take();

    let record = Record::default();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let tokens = (worker..TOKENS).step_by(WORKERS);
        let tokens = tokens.map(|token| (token, secrets[token].clone()));
        let client = another_connection(&server, PLATFORM);
        workers.spawn(record.clone().ask_for(client, tokens.collect()));
    }
    sleep(POLL).await;
    assert_eq!(statements.take(), [""; 0], "all is warm");
    // Asked for from now on, so that there is much to read once it is back.
    for worker in 0..WORKERS {
        let tokens = (TOKENS + worker..TOKENS + COLD).step_by(WORKERS);
        let tokens: Vec<_> = tokens
            .map(|token| (token, secrets[token].clone()))
            .collect();
        let (client, record) = (another_connection(&server, PLATFORM), record.clone());
        workers.spawn(async move {
            sleep(BOUND + POLL).await;
            record.ask_for(client, tokens).await;
        });
    }
    let times = strike(&mut own, outage).await;
    let reads_before = feed_reads(&server).await;
    sleep(RECOVERY * 3).await;
    record.is_over.store(true, Ordering::Relaxed);
    workers.join_all().await;
    let reads = feed_reads(&server).await - reads_before;
    let sent = fills(&statements);

    let answers = std::mem::take(&mut *record.answers.lock().expect("the record"));
    let told = judge(&answers, times);
    println!("{outage:?}: {told}, {sent} statements, {reads} readings of the feed after");
    // Each cold token once, and what was on its way or on a connection that was gone.
    assert!(sent <= COLD + 2 * WORKERS, "{sent} statements");
    // Four a second, and whoever waited asked for more at the end.
    assert!(reads <= 25.0, "{reads} readings of the feed");
    server.stop().await.expect("it ends well");
}

/// Whether each of the answers is one that may be given at its time.
fn judge(answers: &[Answered], [gone, returning, back]: [Instant; 3]) -> String {
    let (mut lasted, mut recovered) = (Duration::ZERO, Duration::ZERO);
    let mut refused = 0;
    for answered in answers {
        let Answered {
            token, sent, got, ..
        } = answered;
        let after = |instant: Instant| sent.saturating_duration_since(instant);
        match &answered.answer {
            Ok(reason) => {
                let expected = match token {
                    0 => DenyReason::RevokedToken,
                    _ => DenyReason::Unspecified,
                };
                assert_eq!(*reason, expected, "token {token}");
                if *got < returning {
                    lasted = lasted.max(after(gone));
                }
            }
            Err(status) => {
                refused += 1;
                assert_status(status, Code::Unavailable, "UNAVAILABLE", None);
                let details = status.get_error_details();
                let retry = details.retry_info().expect("it tells when to try again");
                assert!(retry.retry_delay > Some(Duration::ZERO));
                assert!(*got > gone, "the database was there");
                let is_warm = *token < TOKENS;
                let is_early = *got < gone + BOUND - 2 * POLL;
                assert!(!(is_warm && is_early), "{token} is known and fresh");
                recovered = recovered.max(after(back));
            }
        }
    }
    let told = format!(
        "{} answers, {refused} of them refusals; the last decision was asked for {lasted:?} after it was gone, the last \
         refusal {recovered:?} after it was back",
        answers.len()
    );
    assert!(refused > 0, "{told}");
    assert!(lasted <= BOUND, "{told}");
    assert!(lasted >= BOUND - 2 * POLL, "{told}");
    assert!(recovered <= RECOVERY, "{told}");
    let late = answers
        .iter()
        .filter(|answered| answered.sent > back + RECOVERY);
    assert!(late.count() > TOKENS, "{told}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_go_on_for_the_bound_while_postgres_is_paused_and_are_normal_soon_after() {
    decisions_go_on_for_the_bound(Outage::Pause).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_go_on_for_the_bound_while_postgres_is_stopped_and_are_normal_soon_after() {
    decisions_go_on_for_the_bound(Outage::Stop(Stop::Fast)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_go_on_for_the_bound_when_postgres_crashes_and_are_normal_soon_after() {
    decisions_go_on_for_the_bound(Outage::Stop(Stop::Immediate)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_service_tells_of_freshness_apart_from_readiness() {
    let Some(programs) = tools::require_postgres() else {
        return;
    };
    let mut own = postgres::start_own(programs).await;
    let database = TestDatabase::create_on(&own).await;
    let server = TestServer::start(&database).await;
    let freshness = "countersign.freshness";
    until("it is fresh", || async {
        health(&server, freshness).await == ServingStatus::Serving
    })
    .await;
    assert_eq!(health(&server, "").await, ServingStatus::Serving);
    for outage in [Outage::Pause, Outage::Stop(Stop::Fast)] {
        match outage {
            Outage::Pause => own.pause(),
            Outage::Stop(how) => own.stop(how),
        }
        let gone = Instant::now();
        until("it is not", || async {
            health(&server, freshness).await == ServingStatus::NotServing
        })
        .await;
        let took = gone.elapsed();
        assert!(took >= BOUND - 2 * POLL, "{outage:?}: {took:?}");
        assert!(
            took <= BOUND + Duration::from_secs(1),
            "{outage:?}: {took:?}"
        );
        assert_eq!(health(&server, "").await, ServingStatus::Serving);
        match outage {
            Outage::Pause => own.resume(),
            Outage::Stop(_) => own.start(),
        }
        let back = Instant::now();
        until("it is fresh again", || async {
            health(&server, freshness).await == ServingStatus::Serving
        })
        .await;
        let took = back.elapsed();
        assert!(took <= Duration::from_secs(2), "{outage:?}: {took:?}");
        assert_eq!(health(&server, "").await, ServingStatus::Serving);
    }
}
