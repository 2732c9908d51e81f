//! No secret is anywhere but where it is shown once: not in the log at its most verbose, not in what a failed call answers,
//! not in a message's `Debug`, not in the database.

mod commands;
mod everything;
mod search;
mod session;

use std::fs;

use countersign::{domain::database_url::DatabaseUrl, pb, store};
use sea_orm::ConnectionTrait;

use crate::support::{
    client::issue_request,
    database::{Backend, TestDatabase, on_both},
    postgres,
    process::Process,
    server::{BOOKINGS, DASHBOARD, PEPPER, PLATFORM, key_of},
};

use self::{search::Search, session::Session};

/// Everything, and once more by name what is kept quiet whatever is asked for.
const VERBOSE: &str = "log = \"trace,sea_orm=trace,sea_orm::driver=trace,sqlx=trace,h2=trace\"";

/// Brings a shared database up to date, and has its server tell all it can, from the first moment of a connection on.
async fn prepare(database: &TestDatabase) {
    let url = DatabaseUrl::parse(database.url()).expect("an address");
    store::migrate(&url)
        .await
        .expect("the database is migrated");
    let (_, name) = database.url().rsplit_once('/').expect("a name");
    let connection = database.connect().await;
    let statement = format!("ALTER DATABASE {name} SET client_min_messages = debug5");
    let altered = connection.execute_unprepared(&statement).await;
    altered.expect("the database is altered");
    connection.close().await.expect("the connection closes");
}

/// Everything the database holds: the files of the embedded one, every row of the shared one.
async fn contents(database: &TestDatabase) -> Vec<u8> {
    let mut contents = database.dump().await.into_bytes();
    if database.backend() == Backend::Sqlite {
        let files = fs::read_dir(database.folder()).expect("the folder is there");
        for file in files {
            let path = file.expect("a file").path();
            contents.extend(fs::read(path).expect("the file is read"));
        }
    }
    contents
}

async fn a_session_at_the_most_verbose_level_leaves_no_secret_anywhere(database: TestDatabase) {
    if database.backend() == Backend::Postgres {
        prepare(&database).await;
    }
    let mut process = Process::serve(&database, VERBOSE);
    let mut search = Search::default();
    search.pepper(PEPPER);
    search.text("the database's password", postgres::PASSWORD);
    for caller in [PLATFORM, DASHBOARD, BOOKINGS] {
        search.text("a service key", &key_of(caller)["csn_key_".len()..]);
    }

    let mut session = Session::default();
    session.run(&process).await;
    session.require_every_rpc();
    for secret in &session.secrets {
        search.token(secret);
    }
    for key in &session.keys {
        search.text("a service key that is not known", &key["csn_key_".len()..]);
    }
    assert_eq!(
        search.find(&contents(&database).await),
        [],
        "in the database"
    );

    // What is searched is what there is: a secret that is put there is found.
    let client = process.client_with_key(Some(&key_of(PLATFORM)));
    let leaked = &session.secrets[0];
    client.create_workspace("leaky").await;
    client.put_member("leaky", "max", "member").await;
    let issued = client
        .tokens
        .clone()
        .issue_token(issue_request("leaky", "max", leaked, None))
        .await;
    issued.expect("a token may have any name");
    let found = search.find(&contents(&database).await);
    assert_eq!(found, [("a token".to_owned(), "text")], "the planted one");

    assert!(process.signal("TERM").success());
    assert_eq!(search.find(&session.heard), [], "in an answer");
    assert_eq!(search.find(&process.printed()), [], "on standard output");
    let log = process.log();
    for level in ["TRACE", "DEBUG", "INFO", "WARN"] {
        assert!(log.contains(level), "the log has no {level}");
    }
    let leaks = search.find(log.as_bytes());
    let leaky = |line: &&str| !leaks.is_empty() && !search.find(line.as_bytes()).is_empty();
    let lines: Vec<&str> = log.lines().filter(leaky).take(5).collect();
    assert_eq!(leaks, [], "in the log: {lines:#?}");
}

on_both![a_session_at_the_most_verbose_level_leaves_no_secret_anywhere];

#[test]
fn messages_that_hold_a_secret_do_not_print_it() {
    let secret = search::example();
    let mut search = Search::default();
    search.token(&secret);
    let text = || secret.clone();
    let by_secret = pb::revoke_token_request::Target::Secret(text());
    let get_by_secret = pb::get_token_request::Target::Secret(text());
    let authorize = pb::AuthorizeRequest {
        token: text(),
        ..Default::default()
    };
    let issued = pb::IssueTokenResponse {
        secret: text(),
        ..Default::default()
    };
    let revoke = pb::RevokeTokenRequest {
        target: Some(by_secret.clone()),
        ..Default::default()
    };
    let get = pb::GetTokenRequest {
        target: Some(get_by_secret.clone()),
        ..Default::default()
    };
    let printed = [
        format!("{authorize:?} {authorize:#?}"),
        format!("{issued:?} {issued:#?}"),
        format!("{revoke:?} {by_secret:?} {revoke:#?}"),
        format!("{get:?} {get_by_secret:?} {get:#?}"),
        format!("{:?}", tonic::Request::new(authorize)),
        format!("{:?}", tonic::Response::new(issued)),
        format!("{:?} {:?}", Some(vec![revoke]), Ok::<_, ()>(get)),
    ];
    for text in printed {
        assert_eq!(search.find(text.as_bytes()), [], "{text}");
    }
}
