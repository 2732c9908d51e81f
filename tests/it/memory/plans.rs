//! How PostgreSQL finds what memory lacks.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{issue, until, warm};
use crate::support::{
    database::{Backend, TestDatabase},
    server::{PLATFORM, Setup},
};

/// As many executions as PostgreSQL wants of a statement on each connection before it keeps the plan, and more.
const COLD: usize = 100;

/// How often a table was read by an index, and from its beginning to its end.
async fn scans(connection: &DatabaseConnection, table: &str) -> [i64; 2] {
    let sql = "SELECT coalesce(idx_scan, 0), coalesce(seq_scan, 0) FROM pg_stat_user_tables \
               WHERE schemaname = current_schema() AND relname = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [table.into()]);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("there is the table");
    [0, 1].map(|column| row.try_get_by_index(column).expect("a number"))
}

/// The times of use are written long after the first lookups, when the plan of these is kept already.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_reads_no_table_from_end_to_end_though_it_was_known_to_be_empty() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let server = Setup::default().start(&database).await;
    let client = server.client(PLATFORM);
    let secrets = issue(&client, COLD).await;
    let connection = database.connect().await;
    let analyzed = connection.execute_unprepared("ANALYZE").await;
    analyzed.expect("tables are analyzed");
    let tables = ["token", "token_use", "member", "workspace"];
    let mut before = Vec::new();
    for table in tables {
        before.push(scans(&connection, table).await);
    }
    warm(&client, &secrets).await;
    for (table, [by_index, whole]) in tables.into_iter().zip(before) {
        // PostgreSQL does so when a connection has been idle for ten seconds.
        until("the lookups are counted", || async {
            let [now_by_index, now_whole] = scans(&connection, table).await;
            let lookups = i64::try_from(COLD).expect("a small number");
            now_by_index + now_whole >= by_index + whole + lookups
        })
        .await;
        let [_, now_whole] = scans(&connection, table).await;
        assert!(now_whole - whole < 10, "{table}: {}", now_whole - whole);
    }
}
