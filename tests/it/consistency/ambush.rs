//! A replica that is stopped in the middle of decisions and of reading the feed, while the tokens that it decides about are
//! revoked elsewhere, and goes on when whoever revoked them has long been told that nothing is allowed any more.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{
    DELIVERY,
    changes::Target,
    cluster::{Cluster, Known, REPLICAS},
    record::{Ask, Intent},
    workers::{WORKSPACES, pause},
};
use crate::support::{proxy::Mode, random::Random};

const TOKENS: usize = 4;
/// How many calls there are before it is stopped and after it went on; it is stopped after half of the first.
const CALLS: usize = 40;
/// While it is stopped, after the revocation has returned.
const LATE_CALLS: usize = 8;
/// Longer than it is stopped.
const PATIENCE: Duration = Duration::from_secs(4);
/// To the database and back: long enough that there is an answer on its way whenever it is stopped.
const DELAY: Duration = Duration::from_millis(40);

pub(super) async fn ambush(cluster: &Arc<Cluster>, victim: usize, random: &mut Random) {
    let elsewhere = (victim + 1 + random.below(REPLICAS - 1)) % REPLICAS;
    let workspace = *random.pick(&WORKSPACES);
    let member = Target::member(workspace, "ambushed");
    for intent in [Intent::Put("admin"), Intent::Reactivate] {
        cluster.change(elsewhere, &member, intent, None).await;
    }
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let target = member.token(&format!("ambush {number}"));
        let issued = cluster
            .change(elsewhere, &target, Intent::Issue, None)
            .await;
        tokens.extend(issued);
    }
    if tokens.is_empty() {
        return;
    }
    cluster.proxy(victim).set(Mode::Delay(DELAY));
    for token in &tokens {
        cluster.ask(victim, token, &[Ask::Own], None, None).await;
    }
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        if number == CALLS / 2 {
            cluster.send(victim, "STOP");
        }
        // Who names a revision has the feed read at once.
        let min_revision = (number % 4 == 0).then(|| cluster.newest_revision());
        call(
            &mut calls,
            cluster,
            victim,
            random.pick(&tokens),
            min_revision.flatten(),
        );
        pause(random, 1, 4).await;
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
    while let Some(call) = calls.join_next().await {
        call.expect("the call does not panic");
    }
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
