//! Two replicas that have a hard time while the tokens that they decide about are revoked at the third. One is stopped in
//! the middle of decisions and of reading the feed, and goes on when whoever revoked them has long been told that nothing is
//! allowed any more. To the other, the way is so long that what it reads is about as old as it may be.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    BOUND, DELIVERY,
    changes::Target,
    cluster::{Cluster, Known},
    record::{Ask, Intent},
    workers::{WORKSPACES, pause},
};
use crate::support::{proxy::Mode, random::Random};

const TOKENS: usize = 6;
/// How many calls there are before it is stopped and after it went on; it is stopped after half of the first.
const CALLS: usize = 30;
/// While it is stopped, after the revocation has returned.
const LATE_CALLS: usize = 20;
/// Longer than it is stopped.
const PATIENCE: Duration = Duration::from_secs(4);
/// To the database and back: long enough that there is an answer on its way whenever it is stopped.
const DELAY: Duration = Duration::from_millis(50);

/// Almost too long: there and back within the second that the feed is waited for.
const LONG_DELAY: Duration = Duration::from_millis(440);
/// How far apart the revocations are, so that they come at every time between two readings of the feed.
const STEP: Duration = Duration::from_millis(150);
/// How often each token is asked about when it must no longer be allowed, and how far apart.
const LAST_CALLS: u32 = 20;
const LAST_STEP: Duration = Duration::from_millis(20);

/// Some tokens of a member of this name, which a replica remembers.
async fn prepare(
    cluster: &Cluster,
    name: &str,
    elsewhere: usize,
    victim: usize,
) -> (Target, Vec<Known>) {
    let member = Target::member(WORKSPACES[0], name);
    let workspace = Target::workspace(&member.workspace);
    for (target, intent) in [
        (&member, Intent::Put("admin")),
        (&member, Intent::Reactivate),
        (&workspace, Intent::RequireExpiry(false)),
    ] {
        cluster.change(elsewhere, target, intent, None).await;
    }
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let target = member.token(&format!("{name} {number}"));
        let issued = cluster
            .change(elsewhere, &target, Intent::Issue, None)
            .await;
        tokens.extend(issued);
    }
    for token in &tokens {
        cluster.ask(victim, token, &[Ask::Own], None, None).await;
    }
    (member, tokens)
}

/// The way to this replica is long.
pub(super) async fn delay(cluster: &Arc<Cluster>, elsewhere: usize, victim: usize) {
    let (_, tokens) = prepare(cluster, "delayed", elsewhere, victim).await;
    cluster.proxy(victim).set(Mode::Delay(LONG_DELAY));
    // What was on its way before has come.
    sleep(2 * LONG_DELAY).await;
    let mut calls = JoinSet::new();
    for token in &tokens {
        let next = Instant::now() + STEP;
        let (cluster, token) = (Arc::clone(cluster), token.clone());
        calls.spawn(async move {
            let target = &token.target;
            cluster
                .change_and_wait(elsewhere, target, Intent::Revoke, None, false)
                .await;
            let mut calls = JoinSet::new();
            for number in 0..LAST_CALLS {
                sleep(if number == 0 { BOUND } else { LAST_STEP }).await;
                call(&mut calls, &cluster, victim, &token, None);
            }
            calls.join_all().await;
        });
        sleep_until(next).await;
    }
    calls.join_all().await;
    cluster.proxy(victim).set(Mode::Pass);
}

/// This replica is stopped, and goes on.
pub(super) async fn stop(
    cluster: &Arc<Cluster>,
    elsewhere: usize,
    victim: usize,
    random: &mut Random,
) {
    let (member, tokens) = prepare(cluster, "stopped", elsewhere, victim).await;
    if tokens.is_empty() {
        return;
    }
    cluster.proxy(victim).set(Mode::Delay(DELAY));
    let another = member.token("another");
    cluster
        .change(elsewhere, &another, Intent::Issue, None)
        .await;
    // Who names a revision that is new has the feed read at once.
    let newest = cluster.newest_revision();
    let mut calls = JoinSet::new();
    call(&mut calls, cluster, victim, random.pick(&tokens), newest);
    for number in 0..CALLS {
        if number == CALLS / 2 {
            cluster.send(victim, "STOP");
        }
        call(&mut calls, cluster, victim, random.pick(&tokens), None);
        pause(random, 1, 3).await;
    }
    // What is on its way to the database is answered now, of before the revocation.
    sleep(2 * DELAY).await;
    cluster
        .change_and_wait(elsewhere, &member, Intent::RevokeAll, None, true)
        .await;
    for _ in 0..LATE_CALLS {
        call(&mut calls, cluster, victim, random.pick(&tokens), None);
    }
    sleep(DELIVERY + Duration::from_millis(100)).await;
    cluster.send(victim, "CONT");
    for _ in 0..CALLS {
        call(&mut calls, cluster, victim, random.pick(&tokens), None);
        pause(random, 1, 6).await;
    }
    cluster.proxy(victim).set(Mode::Pass);
    calls.join_all().await;
}

fn call(
    calls: &mut JoinSet<()>,
    cluster: &Arc<Cluster>,
    victim: usize,
    token: &Known,
    min_revision: Option<String>,
) {
    let (cluster, token) = (Arc::clone(cluster), token.clone());
    calls.spawn(async move {
        let patience = Some(PATIENCE);
        cluster
            .ask(victim, &token, &[Ask::Own], min_revision, patience)
            .await;
    });
}
