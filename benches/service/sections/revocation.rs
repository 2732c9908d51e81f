//! How long a revoked token is still allowed on another replica, under load.

use std::{
    thread,
    time::{Duration, Instant},
};

use countersign::pb::token_service_client::TokenServiceClient;
use tonic::{Code, transport::Endpoint};

use super::storm::{keyed, revoke};
use crate::{
    Bench,
    database::Database,
    load::{Load, Pace},
    measure::CONNECTIONS,
    outcome::Outcome,
    process::{KEY, Process},
    report::Goal,
    requests::{self, AUTHORIZE},
    tokens,
};

const SECTION: &str = "revocation";
/// After which nothing may be allowed any more.
const BOUND: Duration = Duration::from_secs(1);
/// Calls a second on all connections together, each of which has a token of its own.
const RATE: f64 = 4_000.0;
/// How long calls run before the revocations, which go on beside them.
const BEFORE: Duration = Duration::from_millis(300);

pub(crate) fn run(bench: &mut Bench) {
    let Some(port) = bench.postgres(SECTION) else {
        return;
    };
    let rounds: u64 = bench.pick(2, 25);
    let each = u64::try_from(CONNECTIONS).expect("a small number");
    let database = Database::postgres(bench, port, 2 * rounds * each, 0);
    let near = Process::serve(&database.url);
    let far = Process::serve(&database.url);
    let mut load = Load::connect(far.address, Some(KEY), CONNECTIONS);
    for (is_waited_for, first) in [(false, 0), (true, rounds * each)] {
        let mut late = Vec::new();
        for round in 0..rounds {
            match one(bench, &near, &mut load, first + round * each, is_waited_for) {
                Ok(times) => late.extend(times),
                Err(why) => return bench.report.skipped(SECTION, &why),
            }
        }
        tell(bench, is_waited_for, late);
    }
}

/// Revokes eight tokens on one replica while each is used on the other. How long after the answer the last allowed call of
/// each began, in milliseconds: zero where none did.
fn one(
    bench: &Bench,
    near: &Process,
    load: &mut Load,
    first: u64,
    is_waited_for: bool,
) -> Result<Vec<f64>, String> {
    let body = requests::authorize();
    let number = |i: usize| first + u64::try_from(i).expect("a small number");
    let source = |i| requests::of_token(&body, number(i));
    let waits = if is_waited_for { BOUND } else { Duration::ZERO };
    let duration = BEFORE + waits + BOUND + BOUND / 2;
    thread::scope(|scope| {
        let calls = scope.spawn(|| load.run_each(AUTHORIZE, Pace::Open(RATE), duration, source));
        thread::sleep(BEFORE);
        let address = format!("http://{}", near.address);
        let returned = bench.runtime.block_on(async {
            let endpoint = Endpoint::from_shared(address).expect("an address");
            let channel = endpoint.connect().await.expect("it serves");
            let revocations: Vec<_> = (0..CONNECTIONS)
                .map(|i| {
                    let mut client = TokenServiceClient::new(channel.clone());
                    let revoke = revoke(tokens::token_id(number(i)), is_waited_for);
                    tokio::spawn(async move {
                        let answer = client.revoke_token(keyed(revoke)).await;
                        answer.map(|_| Instant::now())
                    })
                })
                .collect();
            let mut returned = Vec::new();
            for revocation in revocations {
                returned.push(revocation.await.expect("no panic"));
            }
            returned
        });
        let outcomes: Vec<Outcome> = calls.join().expect("no panic");
        let pairs = returned.into_iter().zip(outcomes);
        pairs
            .map(|(returned, outcome)| match returned {
                Err(status) if is_waited_for && status.code() == Code::Unimplemented => {
                    Err("wait_for_replicas is not supported yet".to_owned())
                }
                Err(status) => panic!("a token was not revoked: {status}"),
                Ok(returned) => {
                    let is_denied = outcome.bad > 0;
                    assert!(is_denied, "a revoked token was allowed to the end");
                    let last = outcome.last_good.expect("calls were allowed before");
                    let late = last.saturating_duration_since(returned);
                    Ok(late.as_secs_f64() * 1e3)
                }
            })
            .collect()
    })
}

fn tell(bench: &mut Bench, is_waited_for: bool, mut late: Vec<f64>) {
    late.sort_by(f64::total_cmp);
    let most = late.last().copied().unwrap_or(f64::NAN);
    let p99 = late[(late.len() - 1) * 99 / 100];
    let note = format!(
        "{} tokens, {RATE:.0} calls/s on the other replica",
        late.len()
    );
    let report = &mut bench.report;
    if is_waited_for {
        let count = late.iter().filter(|late| **late > 0.0).count() as f64;
        let what = "tokens allowed elsewhere after a revocation that waited";
        return report.goal(SECTION, what, Goal::AtMost(0.0), (count, ""), &note);
    }
    let what = "last allowed call elsewhere after a revocation, p99";
    report.goal(SECTION, what, Goal::AtMost(250.0), (p99, "ms"), &note);
    let what = "the same, at most";
    let bound = BOUND.as_secs_f64() * 1e3;
    report.goal(SECTION, what, Goal::AtMost(bound), (most, "ms"), "");
}
