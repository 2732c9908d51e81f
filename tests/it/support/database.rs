//! A database of a test's own, and the macro that runs a test on both kinds.

use std::net::SocketAddr;

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};
use tempfile::TempDir;

use super::{postgres, tools};

/// Every table that the service writes, in an order that reads well.
const TABLES: [&str; 11] = [
    "workspace",
    "member",
    "token",
    "token_use",
    "revocation",
    "event",
    "feed_head",
    "feed_tail",
    "dropped_event",
    "staleness_bound",
    "request",
];

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The embedded one.
    Sqlite,
    /// The shared one.
    Postgres,
}

/// A fresh database, which nobody else uses.
pub(crate) struct TestDatabase {
    backend: Backend,
    url: String,
    folder: TempDir,
}

/// For each `async fn name(database: TestDatabase)`, a module of that name with the tests `sqlite` and `postgres`.
macro_rules! on_both {
    [$($name:ident),+ $(,)?] => {$(
        mod $name {
            use crate::support::database::{Backend, TestDatabase};

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                if let Some(database) = TestDatabase::create(Backend::Sqlite).await {
                    super::$name(database).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(database) = TestDatabase::create(Backend::Postgres).await {
                    super::$name(database).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;

impl TestDatabase {
    /// A new one. None, which was said, where PostgreSQL is not installed and not required.
    pub(crate) async fn create(backend: Backend) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = match backend {
            Backend::Sqlite => {
                format!(
                    "sqlite://{}",
                    folder.path().join("countersign.db").display()
                )
            }
            Backend::Postgres => postgres::create_database(tools::require_postgres()?).await,
        };
        Some(Self {
            backend,
            url,
            folder,
        })
    }

    /// A new one on a PostgreSQL of the test's own.
    pub(crate) async fn create_on(server: &postgres::Server) -> Self {
        Self {
            backend: Backend::Postgres,
            url: server.create_database().await,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// One that is there, made by somebody else.
    pub(crate) fn at(url: String) -> Self {
        let backend = match url.starts_with("sqlite:") {
            true => Backend::Sqlite,
            false => Backend::Postgres,
        };
        Self {
            backend,
            url,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The same database, reached at another address.
    pub(crate) fn through(&self, address: SocketAddr) -> Self {
        let (before, after) = self.url.split_once('@').expect("an address has a host");
        let (_, name) = after.split_once('/').expect("an address has a name");
        Self {
            backend: self.backend,
            url: format!("{before}@{address}/{name}"),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Its kind.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// Its address, as the configuration takes it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let (_, after) = self.url.split_once('@').expect("an address has a host");
        let (address, _) = after.split_once('/').expect("an address has a name");
        address.parse().expect("a numeric address")
    }

    /// A folder that lives as long as the database. An embedded one has its files in it.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A connection of the test's own, beside the service's.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        let url = match self.backend {
            Backend::Sqlite => format!("{}?mode=rwc", self.url),
            Backend::Postgres => self.url.clone(),
        };
        Database::connect(url)
            .await
            .expect("the database admits the test")
    }

    /// Every row of every table as text, to compare with what there was before.
    pub(crate) async fn dump(&self) -> String {
        let connection = self.connect().await;
        let dump = self.dump_over(&connection).await;
        connection.close().await.expect("the connection closes");
        dump
    }

    /// The same, over a connection that is there already.
    pub(crate) async fn dump_over(&self, connection: &DatabaseConnection) -> String {
        let mut dump = String::new();
        for table in TABLES {
            let query = match self.backend {
                Backend::Sqlite => sqlite_rows(connection, table).await,
                Backend::Postgres => {
                    format!("SELECT row_to_json(r)::text FROM \"{table}\" r ORDER BY 1")
                }
            };
            dump.push_str(&format!("-- {table}\n"));
            for row in texts(connection, query).await {
                dump.push_str(&row);
                dump.push('\n');
            }
        }
        dump
    }
}

/// Takes the feed's counter and keeps it, so that no mutation can end.
pub(crate) async fn hold_the_counter(connection: &DatabaseConnection) -> DatabaseTransaction {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let held = connection.begin_with_options(options).await;
    let held = held.expect("a transaction begins");
    held.execute_unprepared("UPDATE feed_head SET revision = revision")
        .await
        .expect("the counter is free");
    held
}

/// The query for a table's rows as SQL literals, in which binary values are hexadecimal.
async fn sqlite_rows(connection: &DatabaseConnection, table: &str) -> String {
    let columns = texts(
        connection,
        format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"),
    )
    .await;
    assert!(!columns.is_empty(), "there is no table {table}");
    let literals: Vec<String> = columns
        .iter()
        .map(|column| format!("'{column}=' || quote(\"{column}\")"))
        .collect();
    format!(
        "SELECT {} FROM \"{table}\" ORDER BY 1",
        literals.join(" || ' ' || ")
    )
}

/// The first column of every row.
async fn texts(connection: &DatabaseConnection, query: String) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    connection
        .query_all_raw(statement)
        .await
        .expect("the query runs")
        .iter()
        .map(|row| row.try_get_by_index(0).expect("the column is text"))
        .collect()
}

// The harness itself is under test here: a dump that missed something would make every "store unchanged" hold.
async fn a_dump_shows_every_row_and_changes_with_it(database: TestDatabase) {
    let connection = database.connect().await;
    let binary = match database.backend() {
        Backend::Sqlite => "blob",
        Backend::Postgres => "bytea",
    };
    for table in TABLES {
        connection
            .execute_unprepared(&format!(
                "CREATE TABLE \"{table}\" (id bigint, digest {binary}, name text)"
            ))
            .await
            .expect("a table is created");
    }
    let empty = database.dump().await;
    let literal = match database.backend() {
        Backend::Sqlite => "X'00FF'",
        Backend::Postgres => "'\\x00ff'",
    };
    connection
        .execute_unprepared(&format!(
            "INSERT INTO \"revocation\" VALUES (1, {literal}, NULL)"
        ))
        .await
        .expect("a row is inserted");
    let dump = database.dump().await;
    assert_ne!(dump, empty);
    assert!(dump.to_lowercase().contains("00ff"), "{dump}");
    assert!(database.folder().is_dir());
}

on_both![a_dump_shows_every_row_and_changes_with_it];
