//! An older backup that is restored under the running replicas, and what every replica must say afterwards.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::sleep;
use tonic::Code;

use super::{
    BOUND,
    changes::Target,
    check::{Fault, Report},
    cluster::{Cluster, Known, REPLICAS},
    faults::{burst, until_done},
    model::Model,
    record::{Answer, Ask, Intent},
    workers::members,
};
use crate::support::{history::History, proxy::Mode};

/// In an order in which rows may refer to earlier ones.
const TABLES: [&str; 6] = [
    "workspace",
    "member",
    "token",
    "revocation",
    "event",
    "feed_head",
];
/// How long a replica may take to decide again, and a mutation that nobody waits for to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many tokens the replicas are compared in.
const COMPARED: usize = 40;

/// Copies what there is now, as of one instant.
pub(super) async fn back_up(cluster: &Cluster) {
    let copies =
        TABLES.map(|table| format!("CREATE TABLE backup.{table} AS TABLE public.{table}; "));
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA backup; {} COMMIT",
        copies.concat()
    );
    assert!(cluster.sql(&sql).await, "the backup is made");
}

/// Sets everything back, and then writes until the feed is longer than it was. On every other seed the replicas are cut off
/// meanwhile, so that they can know it only by what they find afterwards.
pub(super) async fn restore(cluster: &Cluster, seed: u64, report: &mut Report) {
    let is_unseen = seed.is_multiple_of(2);
    let set_all = |mode: Mode| (0..REPLICAS).for_each(|replica| cluster.proxy(replica).set(mode));
    let old = Model::of(&History::read(&cluster.database).await.events);
    let copies = TABLES.map(|table| format!("INSERT INTO {table} SELECT * FROM backup.{table}; "));
    let sql = format!(
        "BEGIN; TRUNCATE {}; {} COMMIT",
        TABLES.join(", "),
        copies.concat()
    );
    if is_unseen {
        set_all(Mode::Stall);
    }
    until_done(cluster, &sql).await;
    let kept = Model::of(&History::read(&cluster.database).await.events).head();
    let missing = usize::try_from(old.head() - kept).expect("the backup is older");
    until_done(cluster, &burst(missing + 1)).await;
    set_all(Mode::Pass);
    let member: Target = members().next().expect("a member");
    for intent in [
        Intent::Put("admin"),
        Intent::Reactivate,
        Intent::Put("member"),
    ] {
        cluster.change(0, &member, intent, None).await;
    }
    let issued = cluster
        .change(1, &member.token("restored"), Intent::Issue, None)
        .await;
    if issued.is_none() {
        report.fault(
            Fault::UnsoundStore,
            "after the restore nothing can be issued".to_owned(),
        );
    }
    sleep(BOUND).await;
    compare(cluster, report).await;
    let Some(token) = issued else { return };
    for replica in 0..REPLICAS {
        let min_revision = Some(old.newest().to_owned());
        let answer = cluster
            .ask(replica, &token, &[Ask::Own], min_revision, None)
            .await;
        if !matches!(
            answer,
            Answer::Failed(Code::FailedPrecondition | Code::Unavailable)
        ) {
            let sentence = format!("{replica} takes a revision of before the restore: {answer:?}");
            report.fault(Fault::WrongError, sentence);
        }
    }
}

/// Fails the report unless every replica decides, and as the database's state says: nobody writes any more.
pub(super) async fn compare(cluster: &Cluster, report: &mut Report) -> Model {
    drain(cluster).await;
    let history = History::read(&cluster.database).await;
    for fault in history.faults(&[]) {
        report.fault(Fault::UnsoundStore, fault);
    }
    let model = Model::of(&history.events);
    let tokens = cluster.tokens();
    let tokens = &tokens[tokens.len().saturating_sub(COMPARED)..];
    for replica in 0..REPLICAS {
        for token in tokens {
            compare_one(cluster, replica, token, &model, report).await;
        }
    }
    model
}

async fn compare_one(
    cluster: &Cluster,
    replica: usize,
    token: &Known,
    model: &Model,
    report: &mut Report,
) {
    let asks = [Ask::Own, Ask::Users];
    let deadline = Instant::now() + PATIENCE;
    let (revision, allows) = loop {
        match cluster.ask(replica, token, &asks, None, None).await {
            Answer::Decided { revision, allows } => break (revision, allows),
            answer if Instant::now() > deadline => {
                let sentence = format!("{replica} does not decide again: {answer:?}");
                return report.fault(Fault::WrongError, sentence);
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    };
    let subject = token.target.subject();
    let expected = asks.map(|ask| model.allows(&subject, ask, model.head()));
    if allows != expected || revision != model.newest() {
        let fault = match allows
            .iter()
            .zip(expected)
            .any(|(is, should)| *is && !should)
        {
            true => Fault::StaleAllow,
            false => Fault::WrongDenial,
        };
        let newest = model.newest();
        let sentence = format!(
            "{replica} in the end on {subject}: {allows:?} at {revision}, not {expected:?} at {newest}"
        );
        report.fault(fault, sentence);
    }
}

/// Waits for the mutations that their clients left.
async fn drain(cluster: &Cluster) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND xact_start IS NOT NULL AND pid <> pg_backend_pid() \
               AND backend_type = 'client backend'";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = cluster.admin.query_one_raw(statement).await.ok().flatten();
        let open = row.and_then(|row| row.try_get_by_index::<i64>(0).ok());
        if open == Some(0) {
            return;
        }
        assert!(Instant::now() < deadline, "mutations do not end");
        sleep(Duration::from_millis(10)).await;
    }
}
