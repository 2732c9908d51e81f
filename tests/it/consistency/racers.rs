//! Who has tokens asked about for the first time, at every replica, in the very moment in which power is taken from them,
//! and then looks whether any replica remembers what it read too early.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use super::{
    BOUND,
    changes::Target,
    cluster::{Cluster, Known, REPLICAS},
    record::{Ask, Intent},
    workers::{Stop, WORKSPACES, pause},
};
use crate::support::random::Random;

const TOKENS: usize = 8;
/// What is remembered too long must be so past the bound.
const MARGIN: Duration = Duration::from_millis(50);
const ASKS: &[Ask] = &[Ask::Own, Ask::Others, Ask::Users];

/// Rounds with a member that no other worker changes, except with its whole workspace.
pub(super) async fn race(cluster: Arc<Cluster>, mut random: Random, stop: Stop, id: usize) {
    let workspace = WORKSPACES[id % WORKSPACES.len()];
    let member = Target::member(workspace, &format!("raced-{id}"));
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let race = random.below(3);
        let role = match race {
            2 => "member",
            _ => "admin",
        };
        let any = random.below(REPLICAS);
        cluster.change(any, &member, Intent::Put(role), None).await;
        cluster.change(any, &member, Intent::Reactivate, None).await;
        let mut tokens = Vec::new();
        for number in 0..TOKENS {
            let target = member.token(&format!("race {round} {number}"));
            let any = random.below(REPLICAS);
            tokens.extend(cluster.change(any, &target, Intent::Issue, None).await);
        }
        if tokens.is_empty() {
            pause(&mut random, 20, 60).await;
            continue;
        }
        match race {
            0 => revoke_each(&cluster, &tokens, &mut random).await,
            1 => stop_member(&cluster, &member, &tokens, &mut random).await,
            _ => revoke_and_promote(&cluster, &member, &tokens, &mut random).await,
        }
        sleep(BOUND + MARGIN).await;
        let mut calls = JoinSet::new();
        for token in &tokens {
            for replica in 0..REPLICAS {
                ask(&mut calls, &cluster, replica, token, 0);
            }
        }
        join(calls).await;
    }
}

/// Each token is revoked while it is asked about.
async fn revoke_each(cluster: &Arc<Cluster>, tokens: &[Known], random: &mut Random) {
    let mut calls = JoinSet::new();
    for token in tokens {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, random.below(15));
        }
        let (serving, after) = (random.below(REPLICAS), random.below(10));
        change(
            &mut calls,
            cluster,
            serving,
            &token.target,
            Intent::Revoke,
            after,
        );
        pause(random, 0, 4).await;
    }
    join(calls).await;
}

/// Their member is suspended or loses its role while they are asked about.
async fn stop_member(
    cluster: &Arc<Cluster>,
    member: &Target,
    tokens: &[Known],
    random: &mut Random,
) {
    let mut calls = JoinSet::new();
    let intent = *random.pick(&[Intent::Suspend, Intent::SetRole("member"), Intent::Remove]);
    let serving = random.below(REPLICAS);
    change(&mut calls, cluster, serving, member, intent, 5);
    for token in tokens {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, random.below(25));
        }
    }
    join(calls).await;
}

/// Half of them are remembered, and are revoked; then their member gets a role of which only the others have the use. Who
/// reads those learns of the role, which must not reach the first half.
async fn revoke_and_promote(
    cluster: &Arc<Cluster>,
    member: &Target,
    tokens: &[Known],
    random: &mut Random,
) {
    let (remembered, others) = tokens.split_at(tokens.len() / 2);
    let mut calls = JoinSet::new();
    for token in remembered {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, 0);
        }
    }
    join(calls).await;
    let serving = random.below(REPLICAS);
    for token in remembered {
        let target = &token.target;
        cluster
            .change_and_wait(serving, target, Intent::Revoke, None, false)
            .await;
    }
    let mut calls = JoinSet::new();
    let admin = Intent::SetRole("admin");
    change(&mut calls, cluster, serving, member, admin, 0);
    for (number, token) in others.iter().enumerate() {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, 2 + 3 * number);
        }
    }
    for token in remembered {
        for replica in 0..REPLICAS {
            for number in 1..5 {
                ask(
                    &mut calls,
                    cluster,
                    replica,
                    token,
                    number * (2 + random.below(6)),
                );
            }
        }
    }
    join(calls).await;
}

/// So many milliseconds from now.
fn ask(
    calls: &mut JoinSet<()>,
    cluster: &Arc<Cluster>,
    replica: usize,
    token: &Known,
    after: usize,
) {
    let (cluster, token) = (Arc::clone(cluster), token.clone());
    calls.spawn(async move {
        sleep(Duration::from_millis(after as u64)).await;
        cluster.ask(replica, &token, ASKS, None, None).await;
    });
}

/// So many milliseconds from now.
fn change(
    calls: &mut JoinSet<()>,
    cluster: &Arc<Cluster>,
    replica: usize,
    target: &Target,
    intent: Intent,
    after: usize,
) {
    let (cluster, target) = (Arc::clone(cluster), target.clone());
    calls.spawn(async move {
        sleep(Duration::from_millis(after as u64)).await;
        cluster
            .change_and_wait(replica, &target, intent, None, false)
            .await;
    });
}

async fn join(mut calls: JoinSet<()>) {
    while let Some(call) = calls.join_next().await {
        call.expect("the call does not panic");
    }
}
