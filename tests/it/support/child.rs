//! The server in a process of its own, which does often what the real one does seldom: so that it can be killed while it does.
//! The process is this program again, at the one test below.

use std::{env, process::Command, time::Duration};

use countersign::server::Limits;

use super::{
    clock::TestClock,
    database::{Backend, TestDatabase},
    process::Process,
    server::{PLATFORM, Setup, key_of},
};

/// After how long it is written which tokens were used.
pub(crate) const USE_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked for tokens that expire.
const NOTICE_INTERVAL: Duration = Duration::from_millis(20);

/// The test that such a process is at.
const TEST: &str = "support::child::a_child_serves_until_it_is_killed";
/// Where such a process has its database.
const DATABASE: &str = "COUNTERSIGN_TEST_CHILD_DATABASE";

/// A server on this database, killed when dropped. It brings the database up to date.
pub(crate) fn start(database: &TestDatabase) -> Process {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command
        .args([TEST, "--exact", "--nocapture"])
        .current_dir(folder.path())
        // Nobody else clears away what it leaves behind.
        .env("TMPDIR", folder.path())
        .env(DATABASE, database.url());
    Process::spawn(command, folder, false)
}

/// Never ends.
async fn serve(url: String) {
    let setup = Setup::default();
    let setup = Setup {
        clock: TestClock::system(),
        limits: Limits {
            use_interval: USE_INTERVAL,
            notice_interval: NOTICE_INTERVAL,
            ..setup.limits
        },
        ..setup
    };
    let server = setup.start(&TestDatabase::at(url)).await;
    // As the real one logs them.
    eprintln!("metrics and probes at http://{}", server.metrics_address());
    eprintln!("gRPC listens on {}", server.address());
    let ended = server.ended().await;
    panic!("it ends: {:?}", ended.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_serves_until_it_is_killed() {
    if let Ok(url) = env::var(DATABASE) {
        return serve(url).await;
    }
    let Some(database) = TestDatabase::create(Backend::Sqlite).await else {
        return;
    };
    for workspace_id in ["acme", "globex"] {
        let mut child = tokio::task::block_in_place(|| start(&database));
        let client = child.client_with_key(Some(&key_of(PLATFORM)));
        client.create_workspace(workspace_id).await;
        let status = tokio::task::block_in_place(|| child.signal("KILL"));
        assert_eq!(status.code(), None, "{}", child.log());
    }
}
