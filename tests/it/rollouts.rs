//! Replicas are replaced while calls go on, as a rollout does it, behind a real load balancer: no caller notices, and nothing
//! that was acknowledged is lost. And old and new releases beside each other.
//!
//! `COUNTERSIGN_TEST_SEEDS=100` makes so many runs instead of a few, from the seed `COUNTERSIGN_TEST_FIRST_SEED` on; then
//! no server may be too slow either, which on a machine that is busy with other tests is no fault of a rollout.

mod envoy;
mod fleet;
mod load;
mod releases;

use std::time::Duration;

use self::{fleet::Fleet, load::Report};
use crate::support::{
    database::{Backend, TestDatabase},
    process::this_release,
    random::{FIRST_SEED, Random, SEEDS, seeds},
};

const DEFAULT_SEEDS: u64 = 3;
/// Half of the chart's, and as the example asks for twice as long as Envoy may take to notice: an interval and a timeout.
const DRAIN_DELAY: Duration = Duration::from_millis(2500);

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_is_replaced_and_no_caller_notices() {
    for seed in seeds(DEFAULT_SEEDS) {
        let Some(report) = roll(seed, DRAIN_DELAY).await else {
            return;
        };
        println!("{FIRST_SEED}={seed} {SEEDS}=1 {report}");
        assert!(report.errors.is_empty(), "seed {seed}: {report}");
        assert!(report.decisions > 100 && report.issues > 10, "{report}");
        let by_hand = std::env::var_os(SEEDS).is_some();
        let is_patient = !by_hand && report.is_mostly_in_time();
        assert!(
            report.too_slow.is_empty() || is_patient,
            "seed {seed}: {report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_drain_callers_notice() {
    if let Some(report) = roll(0, Duration::ZERO).await {
        println!("{report}");
        assert!(!report.errors.is_empty(), "{report}");
    }
}

/// Replaces each replica, by the timing that this seed says, and looks for what was acknowledged. None, which was said, where
/// tools are missing and not required.
async fn roll(seed: u64, drain_delay: Duration) -> Option<Report> {
    let mut random = Random::with_seed(seed);
    let database = TestDatabase::create(Backend::Postgres).await?;
    let mut fleet = Fleet::start(this_release(), &database, drain_delay).await?;
    let load = load::start(fleet.client(), fleet.since, &mut random).await;
    for number in 0..fleet::REPLICAS {
        fleet.replace(number, &mut random).await;
    }
    fleet.wait_for_the_ended().await;
    let (ledger, report) = load.stop().await;
    ledger.assert_kept(&database, &fleet.client()).await;
    Some(report)
}
