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
const COMPARED_IN: [Ask; 2] = [Ask::Own, Ask::Users];
/// How many events may be recorded by themselves while an older state is restored.
const MARGIN: usize = 200;

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
    until_done(cluster, &burst(missing + MARGIN)).await;
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

/// Fails the report unless every replica decides, and as the database's state says: nobody changes it any more. That a
/// rotated token is presented may be recorded meanwhile, and that one expires, which changes nothing.
pub(super) async fn compare(cluster: &Cluster, report: &mut Report) -> Model {
    drain(cluster).await;
    let tokens = cluster.tokens();
    let tokens = &tokens[tokens.len().saturating_sub(COMPARED)..];
    let mut answers = Vec::new();
    for replica in 0..REPLICAS {
        for token in tokens {
            match decided(cluster, replica, token).await {
                Ok(answer) => answers.push((replica, token, answer)),
                Err(answer) => {
                    let sentence = format!("{replica} does not decide again: {answer:?}");
                    report.fault(Fault::WrongError, sentence);
                }
            }
        }
    }
    let history = History::read(&cluster.database).await;
    for fault in history.faults(&[]) {
        report.fault(Fault::UnsoundStore, fault);
    }
    let model = Model::of(&history.events);
    for (replica, token, answer) in answers {
        compare_one(replica, token, answer, &model, report);
    }
    model
}

/// The revision that this replica decides from, and for each of [`COMPARED_IN`] whether it is allowed.
async fn decided(
    cluster: &Cluster,
    replica: usize,
    token: &Known,
) -> Result<(String, Vec<bool>), Answer> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match cluster.ask(replica, token, &COMPARED_IN, None, None).await {
            Answer::Decided { revision, allows } => return Ok((revision, allows)),
            answer if Instant::now() > deadline => return Err(answer),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

fn compare_one(
    replica: usize,
    token: &Known,
    (revision, allows): (String, Vec<bool>),
    model: &Model,
    report: &mut Report,
) {
    let subject = token.target.subject();
    let expected = COMPARED_IN.map(|ask| model.allows(&subject, ask, model.head()));
    let is_new = model
        .number_of(&revision)
        .is_some_and(|number| number >= model.newest_change());
    if allows != expected || !is_new {
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
