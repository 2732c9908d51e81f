//! A server that ends in the middle of whatever it does.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::until;
use crate::support::{
    database::{Backend, TestDatabase},
    server::TestServer,
};

/// How many connections listen for notices.
async fn listeners(connection: &DatabaseConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_suddenly_listens_no_more() {
    let Some(database) = TestDatabase::create(Backend::Postgres).await else {
        return;
    };
    let server = TestServer::start(&database).await;
    let connection = database.connect().await;
    until("it listens", || async { listeners(&connection).await == 1 }).await;
    server.abandon().await;
    until("it does not", || async {
        listeners(&connection).await == 0
    })
    .await;
}
