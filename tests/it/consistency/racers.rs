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
    faults,
    record::{Ask, Intent},
    workers::{Stop, WORKSPACES, pause},
};
use crate::support::{proxy::Mode, random::Random};

const TOKENS: usize = 8;
const OVERTAKINGS: usize = 5;
/// What is remembered too long must be so past the bound.
const MARGIN: Duration = Duration::from_millis(50);
const ASKS: &[Ask] = &[Ask::Own, Ask::Others, Ask::Users];

/// What is done to the tokens while they are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Race {
    Revoke,
    StopMember,
    RevokeAndPromote,
    Rotate,
    RequireExpiry,
}

impl Race {
    /// What everybody in the workspace feels is seldom.
    const SHARES: [Self; 9] = [
        Self::Revoke,
        Self::Revoke,
        Self::StopMember,
        Self::StopMember,
        Self::RevokeAndPromote,
        Self::RevokeAndPromote,
        Self::Rotate,
        Self::Rotate,
        Self::RequireExpiry,
    ];
}

/// Rounds with a member that no other worker changes, except with its whole workspace.
pub(super) async fn race(cluster: Arc<Cluster>, mut random: Random, stop: Stop, id: usize) {
    let workspace = WORKSPACES[id % WORKSPACES.len()];
    let member = Target::member(workspace, &format!("raced-{id}"));
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let race = *random.pick(&Race::SHARES);
        let role = match race {
            Race::RevokeAndPromote => "member",
            _ => "admin",
        };
        let shared = Target::workspace(workspace);
        let tokens = prepare(&cluster, &member, role, round, &mut random).await;
        if tokens.is_empty() {
            pause(&mut random, 20, 60).await;
            continue;
        }
        match race {
            Race::Revoke => end_each(&cluster, &tokens, Intent::Revoke, &mut random).await,
            Race::StopMember => {
                let intents = [Intent::Suspend, Intent::SetRole("member"), Intent::Remove];
                let intent = *random.pick(&intents);
                stop_all(&cluster, &member, intent, &tokens, &mut random).await;
            }
            Race::RevokeAndPromote => {
                revoke_and_promote(&cluster, &member, &tokens, &mut random).await;
            }
            Race::Rotate => end_each(&cluster, &tokens, Intent::REPLACE, &mut random).await,
            Race::RequireExpiry => {
                let intent = Intent::RequireExpiry(true);
                stop_all(&cluster, &shared, intent, &tokens, &mut random).await;
            }
        }
        sleep(BOUND + MARGIN).await;
        let mut calls = JoinSet::new();
        for token in &tokens {
            for replica in 0..REPLICAS {
                ask(&mut calls, &cluster, replica, token, 0);
            }
        }
        calls.join_all().await;
        if race == Race::RequireExpiry {
            let intent = Intent::RequireExpiry(false);
            cluster.loosen(&shared, intent, &mut random).await;
        }
        // A member has no room for ever more of those that outlive their race.
        let any = random.below(REPLICAS);
        cluster.change(any, &member, Intent::RevokeAll, None).await;
    }
}

/// Rounds of the race that needs it most that some connections are slow, when nothing else fails.
pub(super) async fn overtake(cluster: &Arc<Cluster>, random: &mut Random) {
    let member = Target::member(WORKSPACES[0], "overtaken");
    for round in 0..OVERTAKINGS {
        let tokens = prepare(cluster, &member, "member", round, random).await;
        revoke_and_promote(cluster, &member, &tokens, random).await;
    }
}

/// New tokens of this member, of which nobody but their issuer knows.
async fn prepare(
    cluster: &Cluster,
    member: &Target,
    role: &'static str,
    round: usize,
    random: &mut Random,
) -> Vec<Known> {
    let any = random.below(REPLICAS);
    cluster.change(any, member, Intent::Put(role), None).await;
    cluster.change(any, member, Intent::Reactivate, None).await;
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let target = member.token(&format!("race {round} {number}"));
        let any = random.below(REPLICAS);
        tokens.extend(cluster.change(any, &target, Intent::Issue, None).await);
    }
    tokens
}

/// Each token is revoked, or has its place taken, while it is asked about.
async fn end_each(cluster: &Arc<Cluster>, tokens: &[Known], intent: Intent, random: &mut Random) {
    let mut calls = JoinSet::new();
    for token in tokens {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, random.below(15));
        }
        let (serving, after) = (random.below(REPLICAS), random.below(10));
        change(&mut calls, cluster, serving, &token.target, intent, after);
        pause(random, 0, 4).await;
    }
    calls.join_all().await;
}

/// Their member is suspended or loses its role, or their workspace requires more of them, while they are asked about.
async fn stop_all(
    cluster: &Arc<Cluster>,
    target: &Target,
    intent: Intent,
    tokens: &[Known],
    random: &mut Random,
) {
    let mut calls = JoinSet::new();
    let serving = random.below(REPLICAS);
    change(&mut calls, cluster, serving, target, intent, 5);
    for token in tokens {
        for replica in 0..REPLICAS {
            ask(&mut calls, cluster, replica, token, random.below(25));
        }
    }
    calls.join_all().await;
}

/// Half of them are remembered, and are revoked; then their member gets a role of which only the others have the use. Who
/// reads those learns of the role, which must not reach the first half: not even where the feed is slower than they are.
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
    calls.join_all().await;
    let serving = random.below(REPLICAS);
    let start = cluster.journal.now();
    let slow = (0..REPLICAS).filter_map(|replica| {
        let delay = Duration::from_millis(60 + random.below(90) as u64);
        let uneven = Mode::Uneven(delay, random.below(1 << 30) as u64);
        let is_slow = replica != serving && cluster.proxy(replica).set_if(Mode::Pass, uneven);
        is_slow.then_some((replica, uneven))
    });
    let slow: Vec<_> = slow.collect();
    let mut calls = JoinSet::new();
    for token in remembered {
        change(
            &mut calls,
            cluster,
            serving,
            &token.target,
            Intent::Revoke,
            0,
        );
    }
    calls.join_all().await;
    let mut calls = JoinSet::new();
    let admin = Intent::SetRole("admin");
    change(&mut calls, cluster, serving, member, admin, 0);
    for replica in 0..REPLICAS {
        for (number, token) in others.iter().enumerate() {
            ask(&mut calls, cluster, replica, token, 5 + 12 * number);
        }
        for token in remembered {
            for number in 1..7 {
                let after = number * (6 + random.below(14));
                ask(&mut calls, cluster, replica, token, after);
            }
        }
    }
    calls.join_all().await;
    for (replica, uneven) in slow {
        cluster.proxy(replica).set_if(uneven, Mode::Pass);
        faults::record(cluster, "UnevenRace", Some(replica), start);
    }
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
