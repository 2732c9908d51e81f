//! TLS to PostgreSQL, verified.

use countersign::{domain::database_url::DatabaseUrl, store};
use sea_orm::{ConnectionTrait, Database, Statement};

use super::World;
use crate::support::{
    certificates::Authority,
    database::{Backend, TestDatabase},
    postgres::{self, PASSWORD},
    process::Process,
    server::{PLATFORM, key_of},
    tools,
};

/// Who is connected to the database, and whether by TLS.
const CONNECTIONS: &str = "SELECT count(*) AS all, count(*) FILTER (WHERE ssl) AS safe FROM pg_stat_ssl \
     JOIN pg_stat_activity USING (pid) WHERE datname = 'safe'";

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_verified_by_name_and_authority() {
    let Some(programs) = tools::require_postgres() else {
        return;
    };
    let world = World::create().await;
    let server = postgres::start_with_tls(programs, world.authority.server("database")).await;
    let place = format!("postgres://postgres:{PASSWORD}@localhost:{}", server.port);
    let admin = Database::connect(format!("{place}/postgres?sslmode=disable")).await;
    let admin = admin.expect("postgres admits the test");
    let created = admin.execute_unprepared("CREATE DATABASE safe").await;
    created.expect("a database is created");

    let ca = world.path("ca.pem");
    let url = format!("{place}/safe?sslmode=verify-full&sslrootcert={ca}");
    let parsed = DatabaseUrl::parse(&url).expect("an address");
    store::migrate(&parsed)
        .await
        .expect("it is migrated over TLS");
    let process = Process::serve_with(&world.database, "", &[("COUNTERSIGN_DATABASE_URL", &url)]);
    let client = process.client_with_key(Some(&key_of(PLATFORM)));
    client.create_workspace("acme").await;
    let statement = Statement::from_string(admin.get_database_backend(), CONNECTIONS);
    let row = admin.query_one_raw(statement).await.expect("it is told");
    let row = row.expect("one row");
    let count = |column: &str| row.try_get::<i64>("", column).expect("a number");
    assert!(count("all") >= 2, "the service is connected");
    assert_eq!(count("safe"), count("all"), "all of it over TLS");
    admin.close().await.expect("the connection closes");

    let other = Authority::new("authority");
    world.write("other.pem", &other.certificate());
    let other = world.path("other.pem");
    let plain = TestDatabase::create(Backend::Postgres)
        .await
        .expect("postgres is there");
    let cases = [
        (
            format!("{place}/safe?sslmode=verify-full&sslrootcert={other}"),
            "certificate",
        ),
        (
            format!("{place}/safe?sslmode=verify-ca&sslrootcert={other}"),
            "certificate",
        ),
        (format!("{place}/safe?sslmode=verify-full"), "certificate"),
        (
            format!("{}?sslmode=verify-full&sslrootcert={ca}", plain.url()),
            "TLS",
        ),
    ];
    for (url, reason) in cases {
        let (code, _, stderr) = world.run(&["migrate", "--database-url", &url]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            stderr.starts_with("error: the database `postgres://"),
            "{stderr}"
        );
        assert!(stderr.contains(reason), "{reason}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "one sentence: {stderr}");
        assert!(!stderr.contains(PASSWORD), "{stderr}");
    }
}
