//! Starting while the database breaks off.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::migrate;
use crate::support::{
    database::{Backend, TestDatabase},
    http,
    process::Process,
    proxy::{Mode, Proxy},
    server::{PLATFORM, key_of},
};

/// After how many bytes each connection is cut, at the first word, in the greeting, and while it is looked at what there is;
/// and whether only those are by which the database is followed once it is open.
const CUTS: [(usize, bool); 5] = [
    (0, false),
    (600, false),
    (1000, false),
    (0, true),
    (600, true),
];
const TRIED_AGAIN: &str = "not started yet, and tried again";
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_breaks_off_is_tried_again() {
    for (cut, when_open) in CUTS {
        let Some(database) = TestDatabase::create(Backend::Postgres).await else {
            return;
        };
        migrate(&database).await;
        let proxy = Proxy::start(database.address(), Mode::CutAfter(cut)).await;
        let through = database.through(proxy.address());
        let process = tokio::task::block_in_place(|| match when_open {
            false => Process::serve(&through, ""),
            true => {
                let direct = format!("database_direct_url = \"{}\"", through.url());
                Process::serve(&database, &direct)
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while !process.log().contains(TRIED_AGAIN) {
            assert!(Instant::now() < deadline, "{cut}: {}", process.log());
            sleep(Duration::from_millis(5)).await;
        }
        let metrics = process.metrics_address();
        assert_eq!(http::status(metrics, "/readyz").await, 503, "{cut}");
        proxy.set(Mode::Pass);
        http::wait_for_status(metrics, "/readyz", 200).await;
        let client = process.client_with_key(Some(&key_of(PLATFORM)));
        client.create_workspace("acme").await;
    }
}
