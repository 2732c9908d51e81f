//! Who has tokens asked about that have gone unused for long, while their workspace begins to end such ones.
//!
//! Each is asked only once for what it may do, as that is a use where it is allowed. That a replica remembers it before
//! comes from asking for what it may not do.

use std::sync::{Arc, atomic::Ordering};

use tokio::{task::JoinSet, time::sleep};

use super::{
    BOUND,
    changes::{IDLE, Target},
    cluster::{Cluster, Known, REPLICAS},
    record::{Ask, Intent},
    workers::{Stop, pause},
};
use crate::support::random::Random;

pub(super) const WORKSPACE: &str = "idle";
/// Of each round. Every third is asked about when the limit is gone.
const TOKENS: usize = 9;
/// Three days, in milliseconds.
const UNUSED_FOR: u64 = 3 * 24 * 60 * 60 * 1000;

/// Rounds with a workspace that no other worker changes.
pub(super) async fn idle(cluster: Arc<Cluster>, mut random: Random, stop: Stop) {
    let workspace = Target::workspace(WORKSPACE);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let member = Target::member(WORKSPACE, &format!("m{round}"));
        let tokens = prepare(&cluster, &member, &mut random).await;
        if tokens.is_empty() {
            pause(&mut random, 20, 60).await;
            continue;
        }
        for token in &tokens {
            for replica in 0..REPLICAS {
                cluster.ask(replica, token, &[Ask::Users], None, None).await;
            }
        }
        let (later, soon): (Vec<_>, Vec<_>) =
            (0..).zip(tokens).partition(|(number, _)| number % 3 == 2);
        let any = random.below(REPLICAS);
        let limit = Intent::LimitIdle(true);
        cluster.change(any, &workspace, limit, None).await;
        ask_each(&cluster, soon, &mut random).await;
        let intent = Intent::LimitIdle(false);
        cluster.loosen(&workspace, intent, &mut random).await;
        ask_each(&cluster, later, &mut random).await;
        let any = random.below(REPLICAS);
        cluster.change(any, &member, Intent::Remove, None).await;
    }
}

/// Tokens that look as if they had been issued days ago, to everybody who reads them.
async fn prepare(cluster: &Cluster, member: &Target, random: &mut Random) -> Vec<Known> {
    let any = random.below(REPLICAS);
    cluster
        .change(any, member, Intent::Put("member"), None)
        .await;
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let target = member.token(&format!("{IDLE}{}", 3 * number));
        let any = random.below(REPLICAS);
        tokens.extend(cluster.change(any, &target, Intent::Issue, None).await);
    }
    let sql = format!(
        "UPDATE token SET created_at = created_at - {UNUSED_FOR} \
         WHERE workspace_id = '{WORKSPACE}' AND member_id = '{}'",
        member.member
    );
    match cluster.sql(&sql).await {
        true => tokens,
        false => Vec::new(),
    }
}

/// Once, at any replica, within the bound or some time after it.
async fn ask_each(cluster: &Arc<Cluster>, tokens: Vec<(usize, Known)>, random: &mut Random) {
    let mut calls = JoinSet::new();
    for (_, token) in tokens {
        let wait = BOUND * u32::try_from(random.below(150)).expect("a share") / 100;
        let (cluster, replica) = (Arc::clone(cluster), random.below(REPLICAS));
        calls.spawn(async move {
            sleep(wait).await;
            cluster.ask(replica, &token, &[Ask::Own], None, None).await;
        });
    }
    calls.join_all().await;
}
