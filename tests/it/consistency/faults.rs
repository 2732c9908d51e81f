//! What is made to fail while everybody works: which faults, where and when the seed says.

use std::{sync::Arc, time::Duration};

use tokio::{join, time::sleep};

use super::{
    ambush,
    cluster::{Cluster, REPLICAS},
    racers,
    record::Window,
    workers::pause,
};
use crate::support::{
    postgres::{Server, Stop},
    proxy::Mode,
    random::Random,
};

const BURST: usize = 10_000;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A replica is killed and another started.
    Kill,
    /// A replica is stopped where it is, and goes on.
    PauseReplica,
    /// Between a replica and PostgreSQL, everything takes longer.
    Delay,
    /// Some connections are slow and others are not.
    Uneven,
    /// Nothing gets through.
    Drop,
    /// Connections end in the middle of what they carry.
    Cut,
    /// PostgreSQL is stopped where it is, and goes on.
    PausePostgres,
    /// It is stopped and started.
    RestartPostgres,
    /// It ends the sessions that listen.
    LoseListen,
    /// Ten thousand events come at once.
    Burst,
    /// A quarter of the commits takes longer.
    SlowCommits,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::Kill,
        Self::PauseReplica,
        Self::Delay,
        Self::Uneven,
        Self::Drop,
        Self::Cut,
        Self::PausePostgres,
        Self::RestartPostgres,
        Self::LoseListen,
        Self::Burst,
        Self::SlowCommits,
    ];
    /// Those of one replica that need nothing from PostgreSQL: they can come beside any other, at another replica.
    const BESIDE: [Self; 5] = [
        Self::PauseReplica,
        Self::Delay,
        Self::Uneven,
        Self::Drop,
        Self::Cut,
    ];

    fn is_of_one_replica(self) -> bool {
        self == Self::Kill || Self::BESIDE.contains(&self)
    }
}

/// Every kind, in an order that a seed shares with the next odd one: of these two, each has one half.
fn kinds(seed: u64) -> Vec<Fault> {
    let mut random = Random::with_seed(seed / 2);
    let mut left = Fault::ALL.to_vec();
    let mut kinds = Vec::new();
    while !left.is_empty() {
        kinds.push(left.swap_remove(random.below(left.len())));
    }
    let second = kinds.split_off(kinds.len() / 2);
    if seed.is_multiple_of(2) {
        kinds
    } else {
        second
    }
}

/// One fault after the other; some have a second one beside them. In the end, ambushes.
pub(super) async fn strike(
    cluster: &Arc<Cluster>,
    server: &mut Server,
    random: &mut Random,
    seed: u64,
) {
    for fault in kinds(seed) {
        pause(random, 150, 500).await;
        let replica = random.below(REPLICAS);
        let beside = *random.pick(&Fault::BESIDE);
        let is_alone = random.below(3) > 0;
        let mut others = random.fork();
        let other = (replica + 1 + random.below(REPLICAS - 1)) % REPLICAS;
        let second = async {
            if !is_alone {
                at_replica(cluster, beside, other, &mut others).await;
            }
        };
        if fault.is_of_one_replica() {
            join!(at_replica(cluster, fault, replica, random), second);
        } else {
            join!(at_postgres(cluster, fault, server, random), second);
        }
    }
    racers::overtake(cluster, random).await;
    let stopped = random.below(REPLICAS);
    let delayed = (stopped + 1) % REPLICAS;
    let elsewhere = (stopped + 2) % REPLICAS;
    let start = cluster.journal.now();
    join!(
        ambush::stop(cluster, elsewhere, stopped, random),
        ambush::delay(cluster, elsewhere, delayed),
    );
    record(cluster, "StopInCalls", Some(stopped), start);
    record(cluster, "LongDelay", Some(delayed), start);
}

async fn at_replica(cluster: &Cluster, fault: Fault, replica: usize, random: &mut Random) {
    let start = cluster.journal.now();
    match fault {
        Fault::PauseReplica => {
            cluster.send(replica, "STOP");
            pause(random, 300, 2200).await;
            cluster.send(replica, "CONT");
        }
        Fault::Kill => cluster.restart(replica),
        _ => {
            let mode = match fault {
                Fault::Delay => Mode::Delay(Duration::from_millis(5 + random.below(60) as u64)),
                Fault::Uneven => {
                    let delay = Duration::from_millis(20 + random.below(180) as u64);
                    Mode::Uneven(delay, random.below(1 << 30) as u64)
                }
                Fault::Drop => Mode::Stall,
                _ => Mode::CutAfter(random.below(3000)),
            };
            cluster.proxy(replica).set(mode);
            pause(random, 200, 1500).await;
            cluster.proxy(replica).set(Mode::Pass);
        }
    }
    record(cluster, &format!("{fault:?}"), Some(replica), start);
}

async fn at_postgres(cluster: &Cluster, fault: Fault, server: &mut Server, random: &mut Random) {
    let start = cluster.journal.now();
    match fault {
        Fault::PausePostgres => {
            server.pause();
            pause(random, 200, 1800).await;
            server.resume();
        }
        Fault::RestartPostgres => {
            let how = *random.pick(&[Stop::Fast, Stop::Immediate]);
            tokio::task::block_in_place(|| {
                server.stop(how);
                server.start();
            });
        }
        Fault::LoseListen => {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
            until_done(cluster, sql).await;
        }
        Fault::Burst => until_done(cluster, &burst(BURST)).await,
        _ => {
            let seconds = 0.05 + random.below(30) as f64 / 100.0;
            until_done(
                cluster,
                &format!("UPDATE slow_commits SET seconds = {seconds}"),
            )
            .await;
            pause(random, 300, 1200).await;
            until_done(cluster, "UPDATE slow_commits SET seconds = 0").await;
        }
    }
    record(cluster, &format!("{fault:?}"), None, start);
}

pub(super) fn record(cluster: &Cluster, fault: &str, replica: Option<usize>, start: Duration) {
    let end = cluster.journal.now();
    cluster.journal.write(|record| {
        record.windows.push(Window {
            fault: fault.to_owned(),
            replica,
            start,
            end,
        });
    });
}

/// A session may have ended with a restart, and the next is there soon.
pub(super) async fn until_done(cluster: &Cluster, sql: &str) {
    for _ in 0..100 {
        if cluster.sql(sql).await {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("it fails again and again: {sql}");
}

/// What makes a quarter of the commits slow while [`Fault::SlowCommits`] lasts.
pub(super) const SLOW_COMMITS: &str = "\
    CREATE TABLE slow_commits (seconds float NOT NULL); \
    INSERT INTO slow_commits VALUES (0); \
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$ \
    BEGIN PERFORM pg_sleep(seconds) FROM slow_commits WHERE seconds > 0; RETURN NULL; END $$; \
    CREATE CONSTRAINT TRIGGER slow_commits AFTER INSERT ON event \
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
    WHEN (get_byte(NEW.event_id, 0) < 64 AND NEW.workspace_id <> 'burst') \
    EXECUTE FUNCTION be_slow()";

/// So many events at once, about a workspace that nobody uses.
pub(super) fn burst(events: usize) -> String {
    format!(
        "WITH head AS (\
             UPDATE feed_head SET revision = revision + {events}, \
                 event_id = decode(replace(gen_random_uuid()::text, '-', ''), 'hex') \
             RETURNING revision, event_id\
         ), inserted AS (\
             INSERT INTO event (revision, event_id, at, kind, caller, workspace_id, details) \
             SELECT head.revision - {events} + n, \
                 CASE WHEN n = {events} THEN head.event_id \
                      ELSE decode(replace(gen_random_uuid()::text, '-', ''), 'hex') END, \
                 (extract(epoch FROM now()) * 1000)::bigint, 'WORKSPACE_UPDATED', 'platform', \
                 'burst', '{{\"kind\":\"WORKSPACE_UPDATED\",\"name\":\"burst\",\"state\":null}}' \
             FROM head, generate_series(1, {events}) n\
         ) \
         SELECT pg_notify('countersign_feed', '')"
    )
}

#[test]
fn two_seeds_have_every_kind_of_fault() {
    for seed in [0, 2, 10] {
        let both = [kinds(seed), kinds(seed + 1)].concat();
        assert!(
            Fault::ALL.iter().all(|kind| both.contains(kind)),
            "{both:?}"
        );
    }
}
