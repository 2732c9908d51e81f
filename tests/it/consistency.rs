//! Three replicas on one PostgreSQL, while many clients change things and ask for decisions and while everything fails that
//! can: no allow is ever given that was not right within the staleness bound, and nothing that was acknowledged is lost.
//!
//! `COUNTERSIGN_TEST_SEEDS=200` makes so many runs instead of a few, from the seed `COUNTERSIGN_TEST_FIRST_SEED` on.

mod ambush;
mod changes;
mod check;
mod cluster;
mod drops;
mod faults;
mod hunters;
mod idlers;
mod model;
mod paused;
mod racers;
mod record;
mod restore;
mod timeline;
mod workers;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use self::{
    check::{Report, check},
    cluster::Cluster,
    record::Intent,
    workers::{ROLES, Stop, WORKSPACES},
};
use crate::support::{
    postgres::{self, Server},
    random::{FIRST_SEED, Random, SEEDS, seeds},
    tools,
};

/// The staleness bound of the replicas.
const BOUND: Duration = Duration::from_secs(1);
/// How long after a fault a replica may still be unable to decide.
const GRACE: Duration = Duration::from_millis(1500);
/// How long an answer may be on its way to its client, who may have to wait for a processor.
const DELIVERY: Duration = Duration::from_millis(500);
/// Whether some revocations ask to wait for the replicas.
const WAIT_FOR_REPLICAS: bool = true;

/// An even one and the next, which have every kind of fault together.
const DEFAULT_SEEDS: u64 = 2;

const MUTATORS: usize = 3;
const ASKERS: usize = 4;
const HUNTERS: usize = 2;
const RACERS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn no_allow_is_stale_and_no_write_is_lost_whatever_fails() {
    let Some(programs) = tools::require_postgres() else {
        return;
    };
    let mut server = postgres::start_own(programs).await;
    let (mut outside, mut decided) = (0, 0);
    for seed in seeds(DEFAULT_SEEDS) {
        let report = run(&mut server, seed).await;
        println!("{FIRST_SEED}={seed} {SEEDS}=1\n{report}");
        assert!(report.is_sound(), "seed {seed}: {report}");
        assert_ne!(report.calls["events dropped"], 0, "seed {seed}");
        outside += report.outside;
        decided += report.decided_outside;
    }
    assert_ne!(outside, 0, "there were calls outside of fault windows");
    assert!(
        decided * 100 >= outside * 99,
        "only {decided} of {outside} calls outside of fault windows were decided"
    );
}

/// One run, with all that this seed says.
async fn run(server: &mut Server, seed: u64) -> Report {
    let mut random = Random::with_seed(seed);
    let cluster = Arc::new(Cluster::start(server).await);
    prepare(&cluster).await;
    let stop = Stop::default();
    let mut workers = Vec::new();
    for id in 0..MUTATORS {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        let worker = workers::mutate(cluster, random.fork(), stop, id);
        workers.push(tokio::spawn(worker));
    }
    for _ in 0..ASKERS {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        workers.push(tokio::spawn(workers::ask(cluster, random.fork(), stop)));
    }
    for id in 0..HUNTERS {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        let worker = hunters::hunt(cluster, random.fork(), stop, id);
        workers.push(tokio::spawn(worker));
    }
    for id in 0..RACERS {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        let worker = racers::race(cluster, random.fork(), stop, id);
        workers.push(tokio::spawn(worker));
    }
    let worker = idlers::idle(Arc::clone(&cluster), random.fork(), Arc::clone(&stop));
    workers.push(tokio::spawn(worker));
    let dropping = drops::drop_old(Arc::clone(&cluster), random.fork(), Arc::clone(&stop));
    let dropping = tokio::spawn(dropping);
    faults::strike(&cluster, server, &mut random, seed).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("the worker does not panic");
    }
    let dropped = dropping.await.expect("it does not panic");
    drops::bring_back(&cluster).await;
    tokio::time::sleep(BOUND).await;
    let mut end = Report::default();
    let record = cluster.journal.take();
    let model = restore::compare(&cluster, &mut end).await;
    let mut report = check(&record, &model);
    report.calls.insert("events dropped".to_owned(), dropped);
    restore::restore(&cluster, seed, &mut end).await;
    for (fault, sentences) in end.faults {
        report.faults.entry(fault).or_default().extend(sentences);
    }
    report
}

/// The world that everybody works in, a backup of it, and what slows commits down.
async fn prepare(cluster: &Cluster) {
    let client = cluster.client(0);
    for workspace in WORKSPACES.iter().chain(&["burst", idlers::WORKSPACE]) {
        client.create_workspace(workspace).await;
    }
    assert!(
        cluster.sql(faults::SLOW_COMMITS).await,
        "the trigger is there"
    );
    drops::prepare(cluster).await;
    for (number, member) in workers::members().enumerate() {
        let role = Intent::Put(ROLES[number % ROLES.len()]);
        cluster.change(0, &member, role, None).await;
        for name in ["a", "b", "c"] {
            cluster
                .change(0, &member.token(name), Intent::Issue, None)
                .await;
        }
    }
    restore::back_up(cluster).await;
}
