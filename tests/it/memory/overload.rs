//! Far more than the database can do: what is refused is told so at once, and nothing else becomes of it.

use std::time::Duration;

use countersign::pb::{
    AuthorizeResponse, IssueTokenRequest, IssueTokenResponse, ListTokensRequest,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Response, Status};

use super::{
    FOR_NOW, WORKSPACE, allows, another_connection, ask, is_allowed, issue, must_be_for_now,
    question, start_behind_proxy, until, warm,
};
use crate::support::{
    call::unknown_secret,
    client::{Client, issue_request},
    database::TestDatabase,
    proxy::Mode,
    server::{BOOKINGS, DASHBOARD, PLATFORM, TestServer},
};

/// How long the slow database takes for each answer at least, there and back.
const SLOW: Duration = Duration::from_millis(10);
const VERY_SLOW: Duration = Duration::from_millis(300);
const BREATH: Duration = Duration::from_millis(5);
const WARM: usize = 20;
/// Tokens that are presented for the first time.
const COLD: usize = 60;
/// Tokens that nobody issued, of each of two callers, and new ones to be issued.
const INVENTED: usize = 150;
const ISSUES: usize = 250;
/// More than may wait for their turn.
const TOO_MANY_ISSUES: usize = 700;
const MEMBERS: usize = 20;
const CALLS_PER_CONNECTION: usize = 200;
/// What README tells operators that a server has, of connections to Postgres.
const MAX_CONNECTIONS: i64 = 24;

/// How many of a burst were carried out, and how many refused.
#[derive(Debug, Default)]
struct Count {
    done: usize,
    refused: usize,
}

impl Count {
    /// Counts the answers, all of which are good or tell to come again.
    async fn of<T: 'static>(
        what: &str,
        mut calls: JoinSet<Result<T, Status>>,
        is_good: fn(&T) -> bool,
    ) -> Self {
        let mut count = Self::default();
        while let Some(answer) = calls.join_next().await {
            match answer.expect("no panic") {
                Ok(answer) => {
                    assert!(is_good(&answer));
                    count.done += 1;
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{what}: {status:?}");
                    must_be_for_now(&status, &FOR_NOW[1..]);
                    count.refused += 1;
                }
            }
        }
        count
    }
}

/// How many connections there are to it beside the one that asks.
async fn connections_to(database: &TestDatabase) -> i64 {
    let connection = database.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query runs").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

/// Connections of a caller, as many as these calls take.
fn connections(server: &TestServer, caller: &str, calls: usize) -> Vec<Client> {
    let connections = calls.div_ceil(CALLS_PER_CONNECTION);
    (0..connections)
        .map(|_| another_connection(server, caller))
        .collect()
}

fn present(
    server: &TestServer,
    caller: &str,
    secrets: Vec<String>,
) -> JoinSet<Result<AuthorizeResponse, Status>> {
    let clients = connections(server, caller, secrets.len());
    let mut calls = JoinSet::new();
    for (secret, client) in secrets.into_iter().zip(clients.iter().cycle()) {
        let mut authorization = client.authorization.clone();
        calls.spawn(async move {
            let answer = authorization.authorize(question(&secret)).await;
            answer.map(Response::into_inner)
        });
    }
    calls
}

fn issue_many(server: &TestServer, issues: usize) -> JoinSet<Result<IssueTokenResponse, Status>> {
    let clients = connections(server, PLATFORM, issues);
    let mut calls = JoinSet::new();
    for (number, client) in (0..issues).zip(clients.iter().cycle()) {
        let mut tokens = client.tokens.clone();
        let member = format!("i{}", number % MEMBERS);
        calls.spawn(async move {
            let request = issue_request(WORKSPACE, &member, &format!("n{number}"), None);
            tokens.issue_token(request).await.map(Response::into_inner)
        });
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_while_others_are_answered_is_told_of_an_overload_and_else_of_an_outage() {
    let Some((_database, proxy, server)) = start_behind_proxy(Duration::from_secs(6)).await else {
        return;
    };
    let client = server.client(PLATFORM);
    let mut secrets = issue(&client, COLD).await;
    let last = secrets.pop().expect("a token");
    // So late that all calls have begun before the first answer.
    proxy.set(Mode::Delay(VERY_SLOW));
    let mut calls = present(&server, PLATFORM, secrets);
    let (mut done, mut refused) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer.expect("no panic") {
            Ok(answer) => {
                assert!(allows(&answer));
                // Those whose turn it is now are not answered any more.
                proxy.set(Mode::Stall);
                done += 1;
            }
            Err(status) => {
                must_be_for_now(&status, &FOR_NOW[1..]);
                refused += 1;
            }
        }
    }
    assert!(done > 0 && refused > 0, "{done} and {refused}");
    let status = ask(&client, &last).await.expect_err("nobody is answered");
    must_be_for_now(&status, &FOR_NOW[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_far_over_capacity_is_done_or_told_to_come_again() {
    let Some((database, proxy, server)) = start_behind_proxy(Duration::from_secs(10)).await else {
        return;
    };
    let client = server.client(PLATFORM);
    let secrets = issue(&client, WARM + COLD).await;
    let (known, cold) = secrets.split_at(WARM);
    for member in 0..MEMBERS {
        let member = format!("i{member}");
        client.put_member(WORKSPACE, &member, "member").await;
    }
    warm(&client, known).await;
    proxy.set(Mode::Delay(SLOW));

    let invented = || (0..INVENTED).map(|_| unknown_secret()).collect();
    let cold = Count::of("cold", present(&server, PLATFORM, cold.to_vec()), allows);
    let [first, second] = [BOOKINGS, DASHBOARD].map(|caller| {
        let calls = present(&server, caller, invented());
        Count::of("invented", calls, |answer| !allows(answer))
    });
    let issued = Count::of("issued", issue_many(&server, ISSUES), |answer| {
        !answer.secret.is_empty()
    });
    let burst = async { tokio::join!(cold, first, second, issued) };
    let burst = tokio::spawn(burst);
    let mut decided = 0;
    while !burst.is_finished() {
        let answer = ask(&client, &known[decided % WARM]).await;
        assert!(allows(&answer.expect("memory has all that it takes")));
        decided += 1;
        // What is to be shown is who waits for the database, not for the processor.
        sleep(BREATH).await;
    }
    let (cold, first, second, issued) = burst.await.expect("no panic");
    println!(
        "{decided} warm decisions; cold {cold:?}, invented {first:?} and {second:?}, issued {issued:?}"
    );
    assert!(decided > WARM);
    assert!(cold.done > 0 && issued.done > 0);
    assert!(issued.refused > 0, "it was no burst");
    let open = connections_to(&database).await;
    assert!((1..=MAX_CONNECTIONS).contains(&open), "{open} connections");
    // Nothing of it is left behind.
    let issued = client.issue(WORKSPACE, "m0", "after", None).await;
    assert!(is_allowed(&client, &issued.secret).await);
}

/// To prepare a change and then refuse it would cost a flood little, and its server much.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_too_many_is_refused_before_its_message_is_read() {
    let Some((_database, proxy, server)) = start_behind_proxy(Duration::from_secs(10)).await else {
        return;
    };
    let client = server.client(PLATFORM);
    client.create_workspace(WORKSPACE).await;
    proxy.set(Mode::Delay(SLOW));
    let nonsense = || async {
        let mut tokens = client.tokens.clone();
        let answer = tokens.issue_token(IssueTokenRequest::default()).await;
        answer.expect_err("it names no member")
    };
    assert_eq!(nonsense().await.code(), Code::InvalidArgument);
    let flood = issue_many(&server, TOO_MANY_ISSUES);
    until("too many changes wait", || async {
        nonsense().await.code() == Code::ResourceExhausted
    })
    .await;
    must_be_for_now(&nonsense().await, &FOR_NOW[1..]);
    let request = ListTokensRequest::default();
    let answer = client.tokens.clone().list_tokens(request).await;
    let status = answer.expect_err("it names no workspace");
    assert_eq!(status.code(), Code::InvalidArgument, "it changes nothing");
    flood.join_all().await;
    assert_eq!(nonsense().await.code(), Code::InvalidArgument);
}
