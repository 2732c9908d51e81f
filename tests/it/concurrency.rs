//! Calls that meet: limits stay exact, whoever is first wins, nothing is left half done. Against one server, and on Postgres
//! against two that share the database as well.

mod failures;
mod interruption;
mod races;
mod removal;

use std::time::Duration;

use countersign::pb::{
    IssueTokenResponse, ListTokensRequest, Member, Token, TokenState, Workspace,
};
use tonic::{Code, Response, Status};

use crate::support::{
    client::{Client, issue_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
    history::History,
    server::{PLATFORM, TestServer, servers},
    status::assert_status,
};

/// The live tokens that a member may have.
const CAP: usize = 50;

type Issued = Result<Response<IssueTokenResponse>, Status>;

/// The platform, at each of these servers.
fn platforms(servers: &[TestServer]) -> Vec<Client> {
    let servers = servers.iter();
    servers.map(|server| server.client(PLATFORM)).collect()
}

/// Makes all of these calls at once. Their answers, in the calls' order.
async fn at_once<F>(calls: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let running: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for call in running {
        answers.push(call.await.expect("the call does not panic"));
    }
    answers
}

/// Issues a token of each of these names to `acme`'s `max` at once, through these clients in turn.
async fn issue_at_once(
    clients: &[Client],
    names: impl IntoIterator<Item = String>,
    ttl: Option<Duration>,
) -> Vec<Issued> {
    let clients = clients.iter().cycle();
    let calls = names.into_iter().zip(clients).map(|(name, client)| {
        let mut tokens = client.tokens.clone();
        async move {
            tokens
                .issue_token(issue_request("acme", "max", &name, ttl))
                .await
        }
    });
    at_once(calls).await
}

/// `acme` with its member `max`.
async fn acme(client: &Client) -> (Workspace, Member) {
    let workspace = client.create_workspace("acme").await;
    (workspace, client.put_member("acme", "max", "member").await)
}

/// The tokens of a workspace in this state, at most 500.
async fn tokens_in(client: &Client, workspace_id: &str, state: TokenState) -> Vec<Token> {
    let request = ListTokensRequest {
        workspace_id: workspace_id.to_owned(),
        states: vec![state.into()],
        page_size: 500,
        ..Default::default()
    };
    let response = client.tokens.clone().list_tokens(request).await;
    response.expect("the tokens are listed").into_inner().tokens
}

/// Fails unless exactly this many were issued and all the others refused like this.
#[track_caller]
fn assert_issued(answers: &[Issued], expected: usize, code: Code, reason: &str) {
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    refused.for_each(|status| assert_status(status, code, reason, None));
    let issued = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(issued, expected);
}

async fn of_a_hundred_issues_with_one_name_one_succeeds(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    for used in 1..=clients.len() {
        let names = (0..100).map(|_| format!("deploy {used}"));
        let answers = issue_at_once(&clients[..used], names, None).await;
        assert_issued(&answers, 1, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
        let live = tokens_in(&clients[0], "acme", TokenState::Active).await;
        assert_eq!(live.len(), used);
    }
    History::read(&database).await.assert_sound(&[]);
}

async fn spellings_of_one_name_are_one_name(database: TestDatabase) {
    const SPELLINGS: [&str; 4] = [
        "Deploy",
        " deploy ",
        "ｄｅｐｌｏｙ",
        "\u{3000}ＤＥＰＬＯＹ\t",
    ];
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    let names = SPELLINGS.iter().cycle().take(40);
    let names = names.map(|name| (*name).to_owned());
    let answers = issue_at_once(&clients, names, None).await;
    assert_issued(&answers, 1, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
    // And one by one: each is free after the one before was revoked, and only then.
    let mut live = tokens_in(&clients[0], "acme", TokenState::Active).await;
    for spelling in SPELLINGS {
        let answers = issue_at_once(&clients, [spelling.to_owned()], None).await;
        assert_issued(&answers, 0, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
        clients[0].revoke(&live[0].token_id).await;
        clients[0].issue("acme", "max", spelling, None).await;
        live = tokens_in(&clients[0], "acme", TokenState::Active).await;
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].name, spelling.trim(), "it is shown as it was given");
    }
}

async fn the_cap_is_exact_and_a_place_freed_is_a_place(database: TestDatabase) {
    let clock = TestClock::default();
    let servers = servers(&database, &clock).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    let hour = Duration::from_secs(3600);
    let fill = async |prefix: &str, ttl, room| {
        let names = (0..100).map(|number| format!("{prefix} {number}"));
        let answers = issue_at_once(&clients, names, ttl).await;
        assert_issued(
            &answers,
            room,
            Code::FailedPrecondition,
            "TOKEN_LIMIT_REACHED",
        );
        let live = tokens_in(&clients[0], "acme", TokenState::Active).await;
        assert_eq!(live.len(), CAP);
        live
    };
    fill("first", Some(hour), CAP).await;
    clock.advance(hour);
    let live = fill("second", None, CAP).await;
    for token in &live[..7] {
        clients[0].revoke(&token.token_id).await;
    }
    fill("third", None, 7).await;
    History::read(&database).await.assert_sound(&[]);
}

async fn the_name_of_an_expired_token_is_free_to_one(database: TestDatabase) {
    let clock = TestClock::default();
    let servers = servers(&database, &clock).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    let minute = Duration::from_secs(60);
    let first = clients[0]
        .issue("acme", "max", "deploy", Some(minute))
        .await;
    let first = first.token.expect("a token");
    clock.advance(minute - Duration::from_millis(1));
    let again = issue_at_once(&clients, ["deploy".to_owned()], None).await;
    assert_issued(&again, 0, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
    clock.advance(Duration::from_millis(1));
    let names = (0..20).map(|_| "Deploy".to_owned());
    let answers = issue_at_once(&clients, names, None).await;
    assert_issued(&answers, 1, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
    let expired = tokens_in(&clients[0], "acme", TokenState::Expired).await;
    assert_eq!(expired.len(), 1, "the expired one is still listed");
    assert_eq!(expired[0].token_id, first.token_id);
    assert_eq!(expired[0].name, "deploy");
}

async fn the_name_of_a_revoked_token_is_free_to_one(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    let first = clients[0].issue("acme", "max", "deploy", None).await;
    let first = first.token.expect("a token");
    clients[0].revoke(&first.token_id).await;
    let names = (0..20).map(|_| "deploy".to_owned());
    let answers = issue_at_once(&clients, names, None).await;
    assert_issued(&answers, 1, Code::AlreadyExists, "TOKEN_NAME_TAKEN");
    let revoked = tokens_in(&clients[0], "acme", TokenState::Revoked).await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].token_id, first.token_id);
}

on_both![
    of_a_hundred_issues_with_one_name_one_succeeds,
    spellings_of_one_name_are_one_name,
    the_cap_is_exact_and_a_place_freed_is_a_place,
    the_name_of_an_expired_token_is_free_to_one,
    the_name_of_a_revoked_token_is_free_to_one,
];
