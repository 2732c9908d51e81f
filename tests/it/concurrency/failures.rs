//! A thousand mutations of all kinds, of which the database makes a fifth fail after they advanced the feed's counter:
//! the feed has no gap, what was acknowledged is in it, and what failed left nothing.

mod worker;

use countersign::pb::PutMemberRequest;
use sea_orm::ConnectionTrait;
use tonic::Code;

use self::worker::Worker;
use super::{at_once, platforms, servers};
use crate::support::{
    clock::TestClock,
    database::{Backend, TestDatabase, on_both},
    history::History,
    random::Random,
    server::{PLATFORM, TestServer},
    status::assert_status,
};

const WORKERS: usize = 20;
/// Mutations of each worker.
const EACH: usize = 50;

/// Event ids are random: of the first bytes, 51 of 256 are below 0x33.
const FAIL_SQLITE: &str = "\
    CREATE TRIGGER a_fifth_fails AFTER INSERT ON event \
    WHEN substr(hex(NEW.event_id), 1, 2) < '33' \
    BEGIN SELECT RAISE(ABORT, 'made to fail'); END";

const FAIL_POSTGRES: &str = "\
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ \
    BEGIN RAISE EXCEPTION 'made to fail'; END $$; \
    CREATE TRIGGER a_tenth_fails_at_once AFTER INSERT ON event FOR EACH ROW \
    WHEN (get_byte(NEW.event_id, 0) < 26) EXECUTE FUNCTION fail(); \
    CREATE CONSTRAINT TRIGGER a_tenth_fails_at_commit AFTER INSERT ON event \
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
    WHEN (get_byte(NEW.event_id, 0) BETWEEN 26 AND 50) EXECUTE FUNCTION fail()";

async fn a_fifth_of_a_thousand_mutations_fails_and_leaves_no_gap(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    let mut random = Random::seeded();
    for shared in worker::SHARED {
        clients[0].create_workspace(shared).await;
    }
    let before = History::read(&database).await;
    let connection = database.connect().await;
    let fail = match database.backend() {
        Backend::Sqlite => FAIL_SQLITE,
        Backend::Postgres => FAIL_POSTGRES,
    };
    let installed = connection.execute_unprepared(fail).await;
    installed.expect("the triggers are there");
    connection.close().await.expect("the connection closes");

    let workers = (0..WORKERS)
        .zip(clients.iter().cycle())
        .map(|(id, client)| {
            let mut worker = Worker::new(id, client.clone(), random.fork());
            async move {
                for _ in 0..EACH {
                    worker.step().await;
                }
                worker
            }
        });
    let workers = at_once(workers).await;

    let acknowledged: Vec<_> = workers
        .iter()
        .flat_map(|worker| worker.acknowledged().iter().cloned())
        .collect();
    let failed: usize = workers.iter().map(Worker::failed).sum();
    assert_eq!(acknowledged.len() + failed, WORKERS * EACH);
    // Ten times the standard deviation around a fifth.
    assert!((75..325).contains(&failed), "{failed} failed");
    let history = History::read(&database).await;
    history.assert_sound(&acknowledged);
    assert_eq!(
        history.events.len(),
        before.events.len() + acknowledged.len(),
        "what failed left no event"
    );
    for worker in &workers {
        // Through the other server, where there is one.
        worker.assert_state(&clients[clients.len() - 1]).await;
    }
}

/// What a pooler says that lost the server, and what the server says that is told to end: the commit may be on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_may_have_been_made_is_not_told_as_one_that_was_not() {
    for cause in [
        "RAISE EXCEPTION 'the server is gone' USING ERRCODE = '08006'",
        "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)",
    ] {
        let Some(database) = TestDatabase::create(Backend::Postgres).await else {
            return;
        };
        let server = TestServer::start(&database).await;
        let client = server.client(PLATFORM);
        client.create_workspace("acme").await;
        let connection = database.connect().await;
        let trigger = format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN {cause}; RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER fails_at_commit AFTER INSERT ON event \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
        );
        let installed = connection.execute_unprepared(&trigger).await;
        installed.expect("the trigger is there");
        connection.close().await.expect("the connection closes");
        let request = PutMemberRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            role: "member".to_owned(),
            ..Default::default()
        };
        let status = client.directory.clone().put_member(request).await;
        let status = status.expect_err("the commit fails");
        assert_status(&status, Code::Unavailable, "OUTCOME_UNKNOWN", None);
    }
}

on_both![a_fifth_of_a_thousand_mutations_fails_and_leaves_no_gap];
