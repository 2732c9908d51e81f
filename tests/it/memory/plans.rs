//! How PostgreSQL finds what memory lacks.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{issue, until, warm};
use crate::support::{
    database::{Backend, TestDatabase},
    server::{PLATFORM, Setup},
};

/// As many executions as PostgreSQL wants of a statement on each connection before it keeps the plan, and more.
const COLD: usize = 100;

/// Uses of other tokens.
const USES: i64 = 5000;
/// Told of a table: how often it was read by an index, how often from its beginning to its end, and how many rows that came to.
const SCANS: &str = "\
    SELECT coalesce(idx_scan, 0), coalesce(seq_scan, 0), coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) \
    FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = $1";

async fn scans(connection: &DatabaseConnection, table: &str) -> [i64; 3] {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, SCANS, [table.into()]);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("there is the table");
    [0, 1, 2].map(|column| row.try_get_by_index(column).expect("a number"))
}

async fn run(connection: &DatabaseConnection, sql: &str) {
    let done = connection.execute_unprepared(sql).await;
    done.expect("the statement runs");
}

/// The times of use are written long after the first lookups, when the plan of these is kept already.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_reads_no_table_from_end_to_end_though_it_was_known_to_be_empty() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let server = Setup::default().start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, 2 * COLD).await;
    let (first, second) = secrets.split_at(COLD);
    let connection = database.connect().await;
    run(&connection, "ANALYZE").await;
    let before = scans(&connection, "token_use").await;
    warm(&client, first).await;
    let uses = format!(
        "INSERT INTO token_use (token_id, last_used_at) SELECT 'other' || n, n FROM generate_series(1, {USES}) n"
    );
    run(&connection, &uses).await;
    warm(&client, second).await;
    let lookups = i64::try_from(secrets.len()).expect("a small number");
    let count = async || {
        let now = scans(&connection, "token_use").await;
        [0, 1, 2].map(|what| now[what] - before[what])
    };
    // PostgreSQL counts when a connection has been idle for ten seconds.
    until("the lookups are counted", || async {
        let [by_index, whole, _] = count().await;
        by_index + whole >= lookups
    })
    .await;
    let [_, whole, rows] = count().await;
    assert!(whole < 10, "it was read from end to end {whole} times");
    assert!(rows < 2 * USES, "{rows} rows were read");
}
