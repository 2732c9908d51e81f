//! Who changes things and who asks, all at once, until they are told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{
    changes::Target,
    cluster::{Cluster, REPLICAS},
    record::{Ask, Intent},
};
use crate::support::random::Random;

pub(super) const WORKSPACES: [&str; 2] = ["acme", "beta"];
/// Of each workspace.
const MEMBERS: usize = 3;
pub(super) const ROLES: [&str; 2] = ["member", "admin"];
/// One call in so many is given up.
const GIVEN_UP: usize = 10;

/// Told to all workers.
pub(super) type Stop = Arc<AtomicBool>;

/// A pause of up to so many milliseconds.
pub(super) async fn pause(random: &mut Random, from: u64, to: u64) {
    let span = usize::try_from(to - from).expect("a short pause");
    let millis = from + u64::try_from(random.below(span)).expect("a short pause");
    sleep(Duration::from_millis(millis)).await;
}

fn give_up(random: &mut Random) -> Option<Duration> {
    let gives_up = random.below(GIVEN_UP) == 0;
    gives_up.then(|| Duration::from_micros(random.below(25_000) as u64))
}

pub(super) fn members() -> impl Iterator<Item = Target> {
    WORKSPACES.iter().flat_map(|workspace| {
        (0..MEMBERS).map(move |member| Target::member(workspace, &format!("m{member}")))
    })
}

/// Makes one mutation after the other.
pub(super) async fn mutate(cluster: Arc<Cluster>, mut random: Random, stop: Stop, id: usize) {
    let members: Vec<Target> = members().collect();
    let mut issued = 0;
    while !stop.load(Ordering::Relaxed) {
        let member = random.pick(&members).clone();
        let role = *random.pick(&ROLES);
        let (target, intent) = match random.below(100) {
            0..34 => {
                issued += 1;
                (member.token(&format!("token {id} {issued}")), Intent::Issue)
            }
            34..54 => {
                let token = cluster
                    .pick_token(&mut random)
                    .expect("some are there from the start");
                (token.target, end_or_rotate(&mut random))
            }
            54..59 => (member, Intent::RevokeAll),
            59 => (Target::workspace(&member.workspace), Intent::RevokeAll),
            60..63 => {
                let workspace = Target::workspace(&member.workspace);
                (workspace, Intent::RequireExpiry(true))
            }
            63..70 => (member, Intent::SetRole(role)),
            70..76 => (member, Intent::Suspend),
            76..84 => (member, Intent::Reactivate),
            84..88 => (member, Intent::Remove),
            _ => (member, Intent::Put(role)),
        };
        let give_up = give_up(&mut random);
        let replica = random.below(REPLICAS);
        cluster.change(replica, &target, intent, give_up).await;
        pause(&mut random, 5, 30).await;
        if intent == Intent::RequireExpiry(true) {
            pause(&mut random, 20, 200).await;
            let intent = Intent::RequireExpiry(false);
            cluster.loosen(&target, intent, &mut random).await;
        }
    }
}

/// What is done to a token: it is ended, or another takes its place.
fn end_or_rotate(random: &mut Random) -> Intent {
    match random.below(2) {
        0 => Intent::Revoke,
        _ => Intent::Rotate {
            overlaps: random.below(2) == 0,
            expires: random.below(2) == 0,
        },
    }
}

/// Asks one thing after the other.
pub(super) async fn ask(cluster: Arc<Cluster>, mut random: Random, stop: Stop) {
    while !stop.load(Ordering::Relaxed) {
        pause(&mut random, 1, 8).await;
        let token = cluster
            .pick_token(&mut random)
            .expect("some are there from the start");
        let asks = pick_asks(&mut random);
        let min_revision = match random.below(100) {
            0..20 => cluster.newest_revision(),
            20 => cluster.any_revision(&mut random),
            _ => None,
        };
        let give_up = give_up(&mut random);
        let replica = random.below(REPLICAS);
        cluster
            .ask(replica, &token, asks, min_revision, give_up)
            .await;
    }
}

pub(super) fn pick_asks(random: &mut Random) -> &'static [Ask] {
    random.pick::<&[Ask]>(&[
        &[Ask::Own],
        &[Ask::Others],
        &[Ask::Users],
        &[Ask::Own, Ask::Others, Ask::Users],
    ])
}
