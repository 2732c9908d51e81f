//! Databases with as many tokens as a section wants, written in bulk: the digests are computed here, through the domain,
//! and the rest of each row by the database itself.

use countersign::{
    domain::{database_url::DatabaseUrl, pepper::PepperRing, secret::TokenFormat},
    store,
};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as SeaOrm, DatabaseConnection, DbBackend, DbErr,
    Statement, TransactionTrait, Value,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use tempfile::TempDir;

use super::{
    Bench,
    tokens::{self, PEPPER, PER_MEMBER, PER_WORKSPACE},
};

/// Tokens written by one statement.
const CHUNK: u64 = 5_000;
/// The feed has no more events than these, as after the older ones were discarded.
const EVENTS: u64 = 10_000;
const HINT: usize = 4;

/// Where a number sequence comes from, pieces of bytes, two of them as text, and an event's id. The text is cut from bytes, as
/// to find a character in a long text is slow.
struct Dialect {
    numbers: &'static str,
    series: &'static str,
    digest: &'static str,
    hint: &'static str,
    token_id: &'static str,
    event_id: &'static str,
    no: &'static str,
}

const SQLITE: Dialect = Dialect {
    numbers: "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)",
    series: "n",
    digest: "substr(?3, 1 + 32 * (i - ?1), 32)",
    hint: "CAST(substr(?4, 1 + 4 * (i - ?1), 4) AS TEXT)",
    token_id: "CAST(substr(?5, 1 + 26 * (i - ?1), 26) AS TEXT)",
    event_id: "randomblob(16)",
    no: "0",
};
const POSTGRES: Dialect = Dialect {
    numbers: "WITH n AS (SELECT i FROM generate_series($1::bigint, $2::bigint) AS s(i))",
    series: "n",
    digest: "substring($3::bytea FROM (1 + 32 * (i - $1))::int FOR 32)",
    hint: "convert_from(substring($4::bytea FROM (1 + 4 * (i - $1))::int FOR 4), 'UTF8')",
    token_id: "convert_from(substring($5::bytea FROM (1 + 26 * (i - $1))::int FOR 26), 'UTF8')",
    event_id: "decode(md5(i::text), 'hex')",
    no: "false",
};

/// A database of a section's own.
pub(crate) struct Database {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Database {
    /// On SQLite, with so many live tokens and, after them, so many revoked ones.
    pub(crate) fn sqlite(bench: &Bench, live: u64, revoked: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/bench.db", folder.path().display());
        let filled = bench.runtime.block_on(fill(&url, live, revoked));
        filled.expect("the database is filled");
        Self {
            url,
            _folder: Some(folder),
        }
    }

    /// The same on the PostgreSQL at this port.
    pub(crate) fn postgres(bench: &Bench, port: u16, live: u64, revoked: u64) -> Self {
        let server = format!("postgres://postgres@127.0.0.1:{port}");
        let name = format!("bench_{}", tokens::Random(clock()).next());
        let made = bench.runtime.block_on(async {
            let admin = SeaOrm::connect(format!("{server}/postgres")).await?;
            let sql = format!("CREATE DATABASE {name}");
            admin.execute_unprepared(&sql).await?;
            admin.close().await?;
            fill(&format!("{server}/{name}"), live, revoked).await
        });
        made.expect("the database is made and filled");
        Self {
            url: format!("{server}/{name}"),
            _folder: None,
        }
    }

    /// Moves all members and their tokens into the workspace of the first one.
    pub(crate) fn gather(&self, bench: &Bench) {
        let (workspace_id, _) = tokens::owner(0);
        let moved = bench.runtime.block_on(async {
            let db = connect(&self.url).await?;
            for table in ["member", "token"] {
                let sql = format!(
                    "UPDATE {table} SET workspace_id = '{workspace_id}' \
                     WHERE workspace_id <> '{workspace_id}'"
                );
                db.execute_unprepared(&sql).await?;
            }
            db.execute_unprepared("ANALYZE").await?;
            db.close().await
        });
        moved.expect("they are moved");
    }

    /// How many transactions there were on it so far, on PostgreSQL.
    pub(crate) fn transactions(&self, bench: &Bench) -> i64 {
        let (server, name) = self.url.rsplit_once('/').expect("an address");
        let counted = bench.runtime.block_on(async {
            // From another database, so that the question is not counted.
            let admin = SeaOrm::connect(format!("{server}/postgres")).await?;
            let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1";
            let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [name.into()]);
            let row = admin.query_one_raw(statement).await?.expect("a row");
            let count: i64 = row.try_get_by_index(0)?;
            admin.close().await?;
            Ok::<_, DbErr>(count)
        });
        counted.expect("the database tells")
    }
}

fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0))
}

async fn fill(url: &str, live: u64, revoked: u64) -> Result<(), DbErr> {
    let address = DatabaseUrl::parse(url).expect("an address");
    let migrated = store::migrate(&address).await;
    migrated.expect("the database is migrated");
    let db = connect(url).await?;
    write_all(&db, live, revoked).await?;
    db.execute_unprepared("ANALYZE").await?;
    db.close().await
}

/// Without what keeps the data safe, which is not needed here.
async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(SqliteJournalMode::Off)
                .synchronous(SqliteSynchronous::Off)
                .foreign_keys(false)
                .pragma("cache_size", "-2000000")
        });
    let db = SeaOrm::connect(options).await?;
    if db.get_database_backend() == DbBackend::Postgres {
        // Neither are foreign keys looked at here.
        let sql = "SET session_replication_role = replica";
        db.execute_unprepared(sql).await?;
    }
    Ok(db)
}

async fn write_all(db: &DatabaseConnection, live: u64, revoked: u64) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let dialect = match backend {
        DbBackend::Postgres => POSTGRES,
        _ => SQLITE,
    };
    let total = live + revoked;
    let now = i64::try_from(clock() / 1_000_000).expect("this century");
    let tx = db.begin().await?;
    let run = |sql: String, values: Vec<Value>| {
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let tx = &tx;
        async move { tx.execute_raw(statement).await.map(|_| ()) }
    };
    let range = |from: u64, to: u64| vec![number(from), number(to)];
    let Dialect {
        numbers,
        series,
        event_id,
        ..
    } = dialect;
    let (workspaces, members) = (total / PER_WORKSPACE, total / PER_MEMBER);
    run(
        format!(
            "{numbers} INSERT INTO workspace (workspace_id, name, state, generation, version, created_at, updated_at) \
             SELECT 'w-' || i, 'Workspace', 'active', 1, 1, {now}, {now} FROM {series}"
        ),
        range(0, workspaces),
    )
    .await?;
    let per = PER_WORKSPACE / PER_MEMBER;
    run(
        format!(
            "{numbers} INSERT INTO member (workspace_id, member_id, role, state, generation, version, created_at, updated_at) \
             SELECT 'w-' || (i / {per}), 'm-' || i, 'member', 'active', 1, 1, {now}, {now} FROM {series}"
        ),
        range(0, members),
    )
    .await?;
    let sql = insert_tokens(&dialect, now, live);
    let format = TokenFormat::default();
    let ring = PepperRing::parse(PEPPER).expect("a pepper");
    for from in (0..total).step_by(usize::try_from(CHUNK).expect("a small number")) {
        let to = total.min(from + CHUNK);
        let (mut digests, mut hints, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for i in from..to {
            digests.extend_from_slice(&tokens::digest(&format, &ring, i).0);
            let text = tokens::text(i);
            hints.extend_from_slice(&text[tokens::LENGTH - HINT..]);
            ids.extend_from_slice(tokens::token_id(i).as_bytes());
        }
        let (from, to) = (number(from), number(to - 1));
        let values = vec![from, to, digests.into(), hints.into(), ids.into()];
        run(sql.clone(), values).await?;
    }
    if total > EVENTS {
        run("DELETE FROM event".to_owned(), vec![]).await?;
    }
    run(
        format!(
            "{numbers} INSERT INTO event (revision, event_id, at, kind, caller, workspace_id, member_id, token_id, details) \
             SELECT i, {event_id}, {now}, 'TOKEN_ISSUED', 'bench', 'w-' || ((i - 1) / {PER_WORKSPACE}), \
             'm-' || ((i - 1) / {PER_MEMBER}), 'tok_0', \
             '{{\"kind\":\"TOKEN_ISSUED\",\"name\":\"bench\",\"expires_at\":null}}' FROM {series}"
        ),
        range(total.saturating_sub(EVENTS) + 1, total),
    )
    .await?;
    run(
        "UPDATE feed_head SET revision = (SELECT max(revision) FROM event), \
         event_id = (SELECT event_id FROM event ORDER BY revision DESC LIMIT 1)"
            .to_owned(),
        vec![],
    )
    .await?;
    tx.commit().await
}

fn insert_tokens(dialect: &Dialect, now: i64, live: u64) -> String {
    let Dialect {
        numbers,
        series,
        digest,
        hint,
        token_id,
        no,
        ..
    } = dialect;
    format!(
        "{numbers} INSERT INTO token (token_id, workspace_id, member_id, workspace_generation, member_generation, \
         name, name_key, name_released, hint, digest, pepper_id, rules_version, created_at, revoked_at, \
         revoked_by_caller, revoke_reason) \
         SELECT {token_id}, 'w-' || (i / {PER_WORKSPACE}), 'm-' || (i / {PER_MEMBER}), 1, 1, \
         'token-' || (i % {PER_MEMBER}), 'token-' || (i % {PER_MEMBER}), {no}, {hint}, {digest}, 'p1', 1, {now}, \
         CASE WHEN i >= {live} THEN {now} END, CASE WHEN i >= {live} THEN 'bench' END, \
         CASE WHEN i >= {live} THEN 'bench' END FROM {series}"
    )
}

fn number(value: u64) -> Value {
    i64::try_from(value).expect("a small number").into()
}
