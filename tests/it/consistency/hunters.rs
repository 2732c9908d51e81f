//! Who takes power from tokens on one replica while asking about them at every replica without a break, until the promise
//! must hold and a little longer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{join, time::sleep};

use super::{
    BOUND,
    changes::Target,
    cluster::{Cluster, Known, REPLICAS},
    record::Intent,
    workers::{ROLES, Stop, WORKSPACES, pause, pick_asks},
};
use crate::support::random::Random;

/// How long past the bound.
const MARGIN: Duration = Duration::from_millis(200);
/// Tokens of a round: every other one has been asked about before, and so may be remembered.
const TOKENS: usize = 6;

/// Rounds with a member that no other worker changes, except with its whole workspace.
pub(super) async fn hunt(cluster: Arc<Cluster>, mut random: Random, stop: Stop, id: usize) {
    let workspace = WORKSPACES[id % WORKSPACES.len()];
    let member = Target::member(workspace, &format!("hunted-{id}"));
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let role = *random.pick(&ROLES);
        let any = random.below(REPLICAS);
        cluster.change(any, &member, Intent::Put(role), None).await;
        cluster.change(any, &member, Intent::Reactivate, None).await;
        let mut tokens = Vec::new();
        for number in 0..TOKENS {
            let target = member.token(&format!("round {round} {number}"));
            let any = random.below(REPLICAS);
            tokens.extend(cluster.change(any, &target, Intent::Issue, None).await);
        }
        if tokens.is_empty() {
            pause(&mut random, 20, 60).await;
            continue;
        }
        for token in tokens.iter().step_by(2) {
            for replica in 0..REPLICAS {
                let asks = pick_asks(&mut random);
                cluster.ask(replica, token, asks, None, None).await;
            }
        }
        let is_over = AtomicBool::new(false);
        let hammering = |replica, random: &mut Random| {
            hammer(&cluster, replica, &tokens, random.fork(), &is_over)
        };
        let (first, second, third) = (
            hammering(0, &mut random),
            hammering(1, &mut random),
            hammering(2, &mut random),
        );
        let taking = async {
            let intent = take(&cluster, &member, &tokens, &mut random).await;
            sleep(BOUND + MARGIN).await;
            is_over.store(true, Ordering::Relaxed);
            if intent == Intent::RequireExpiry(true) {
                let workspace = Target::workspace(workspace);
                let intent = Intent::RequireExpiry(false);
                cluster.loosen(&workspace, intent, &mut random).await;
            }
        };
        join!(first, second, third, taking);
    }
}

/// Asks about these tokens in turn, each time from another one on.
async fn hammer(
    cluster: &Cluster,
    replica: usize,
    tokens: &[Known],
    mut random: Random,
    is_over: &AtomicBool,
) {
    for token in tokens.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let asks = pick_asks(&mut random);
        cluster.ask(replica, token, asks, None, None).await;
        pause(&mut random, 1, 12).await;
    }
}

/// Takes power from the tokens, and at times gives it to their member where it no longer is of use to them. Answers how.
async fn take(cluster: &Cluster, member: &Target, tokens: &[Known], random: &mut Random) -> Intent {
    let intent = *random.pick(&[
        Intent::Revoke,
        Intent::Revoke,
        Intent::REPLACE,
        Intent::REPLACE,
        Intent::RevokeAll,
        Intent::SetRole("member"),
        Intent::Suspend,
        Intent::Remove,
        Intent::RequireExpiry(true),
    ]);
    let targets: Vec<Target> = match intent {
        Intent::Revoke | Intent::Rotate { .. } => {
            tokens.iter().map(|token| token.target.clone()).collect()
        }
        Intent::RequireExpiry(_) => vec![Target::workspace(&member.workspace)],
        _ => vec![member.clone()],
    };
    let serving = random.below(REPLICAS);
    for target in targets {
        cluster.change(serving, &target, intent, None).await;
    }
    let gives = match intent {
        Intent::Revoke | Intent::Rotate { .. } | Intent::RevokeAll => {
            Some(Intent::SetRole("admin"))
        }
        Intent::Remove => Some(Intent::Put("admin")),
        _ => None,
    };
    if let Some(gives) = gives.filter(|_| random.below(3) > 0) {
        let any = random.below(REPLICAS);
        cluster.change(any, member, gives, None).await;
    }
    intent
}
