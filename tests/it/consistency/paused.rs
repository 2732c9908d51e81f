//! A replica that is stopped in the middle of a mutation.

use std::time::{Duration, Instant};

use countersign::{domain::database_url::DatabaseUrl, store};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::sleep;

use crate::support::{
    client::issue_request,
    database::{Backend, TestDatabase},
    history::History,
    process::Process,
    server::{PLATFORM, key_of},
};

const LIMIT: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough to be seen, so that the replica can be stopped meanwhile. Then the counter is held by nobody that goes on.
const SLOW_APPEND: &str = "\
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$ \
    BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$; \
    CREATE TRIGGER slow_append AFTER INSERT ON event FOR EACH ROW \
    WHEN (NEW.member_id = 'paused') EXECUTE FUNCTION be_slow()";

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_replica_that_holds_the_counter_frees_the_others_within_3_seconds() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url)
        .await
        .expect("the database is migrated");
    let serve = || tokio::task::block_in_place(|| Process::serve(&database, ""));
    let (paused, other) = (serve(), serve());
    let client = |process: &Process| process.client_with_key(Some(&key_of(PLATFORM)));
    let (at_paused, at_other) = (client(&paused), client(&other));
    at_other.create_workspace("acme").await;
    at_other.put_member("acme", "max", "member").await;
    let admin = database.connect().await;
    let installed = admin.execute_unprepared(SLOW_APPEND).await;
    installed.expect("the trigger is there");

    let held = tokio::spawn(async move {
        let request = countersign::pb::PutMemberRequest {
            workspace_id: "acme".to_owned(),
            member_id: "paused".to_owned(),
            role: "member".to_owned(),
            ..Default::default()
        };
        at_paused.directory.clone().put_member(request).await
    });
    let appends = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let statement = Statement::from_string(DbBackend::Postgres, appends);
        let row = admin.query_one_raw(statement).await.expect("it is asked");
        let row = row.expect("a row");
        if row.try_get_by_index::<i64>(0).expect("a count") == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "it never came so far");
    }
    paused.send("STOP");
    let since = Instant::now();
    loop {
        let request = issue_request("acme", "max", "deploy", None);
        if at_other.tokens.clone().issue_token(request).await.is_ok() {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "it holds everybody up");
        sleep(Duration::from_millis(10)).await;
    }
    let waited = since.elapsed();
    paused.send("CONT");
    let answer = held.await.expect("the call does not panic");
    assert!(answer.is_err(), "its transaction was ended");
    assert!(waited < LIMIT, "it took {waited:?}");
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("MEMBER_ADDED"), 1);
}
