//! A hundred who rotate one token at once: there is one successor, and nobody's token is burnt.

use std::{collections::BTreeSet, time::Duration};

use countersign::pb::{RotateTokenRequest, RotateTokenResponse, TokenState};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{MINUTE, get, issue, overlapping, refusal, rotate};
use crate::support::{
    client::{Client, rotate_request},
    clock::TestClock,
    database::{TestDatabase, hold_the_counter, on_both},
    history::History,
    server::{PLATFORM, TestServer, servers},
    status::assert_status,
};

const CROWD: usize = 100;

/// The servers of a crowd, and the platform at each.
async fn crowded(database: &TestDatabase) -> (Vec<TestServer>, Vec<Client>) {
    let servers = servers(database, &TestClock::default()).await;
    let clients: Vec<Client> = servers
        .iter()
        .map(|server| server.client(PLATFORM))
        .collect();
    clients[0].create_workspace("acme").await;
    clients[0].put_member("acme", "max", "member").await;
    (servers, clients)
}

/// Rotates a token a hundred times at once, under the request ids that are made for each number.
async fn crowd(
    clients: &[Client],
    token_id: &str,
    request_id: impl Fn(usize) -> String,
) -> Vec<Result<RotateTokenResponse, Status>> {
    let clients = clients.iter().cycle().take(CROWD).cloned().enumerate();
    let calls = clients.map(|(number, client)| {
        let request = RotateTokenRequest {
            request_id: request_id(number),
            ..overlapping(token_id, MINUTE)
        };
        tokio::spawn(async move { rotate(&client, request).await })
    });
    let running: Vec<_> = calls.collect();
    let mut answers = Vec::new();
    for call in running {
        answers.push(call.await.expect("it does not panic"));
    }
    answers
}

async fn of_a_hundred_rotations_one_is_made_and_the_others_are_told(database: TestDatabase) {
    let (_servers, clients) = crowded(&database).await;
    let (old_id, old_secret) = issue(&clients[0], "deploy", None).await;
    let answers = crowd(&clients, &old_id, |number| format!("rotation-{number}")).await;
    let made: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    let [made] = made[..] else {
        panic!("{} were made", made.len());
    };
    assert!(!made.replayed);
    let successor = made.token.as_ref().expect("a token");
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_status(status, Code::FailedPrecondition, "TOKEN_ROTATED", None);
        let details = status.get_error_details();
        let told = &details.error_info().expect("it has one").metadata["successor_id"];
        assert_eq!(told, &successor.token_id);
    }
    for secret in [&old_secret, &made.secret] {
        assert_eq!(refusal(&clients[0], secret).await, None);
    }
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_ROTATED"), 1);
    assert_eq!(history.tokens.len(), 2);
}

async fn a_hundred_rotations_under_one_id_are_one(database: TestDatabase) {
    let (_servers, clients) = crowded(&database).await;
    let (old_id, _) = issue(&clients[0], "deploy", None).await;
    let answers = crowd(&clients, &old_id, |_| "rotation".to_owned()).await;
    let answers: Vec<RotateTokenResponse> = answers
        .into_iter()
        .map(|answer| answer.expect("all are answered"))
        .collect();
    let successors: BTreeSet<&str> = answers
        .iter()
        .map(|answer| answer.token.as_ref().expect("a token").token_id.as_str())
        .collect();
    assert_eq!(successors.len(), 1);
    let (first, replayed): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| !answer.secret.is_empty());
    let [first] = first[..] else {
        panic!("{} answers have the secret", first.len());
    };
    assert!(!first.replayed);
    assert_eq!(replayed.len(), CROWD - 1);
    for answer in &replayed {
        assert!(answer.replayed);
        assert_eq!(answer.warnings, first.warnings);
        assert_eq!(answer.predecessor, first.predecessor);
        assert_eq!(answer.token, first.token);
    }
    assert_eq!(refusal(&clients[0], &first.secret).await, None);
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_ROTATED"), 1);
    assert_eq!(history.tokens.len(), 2);

    // Much later, when the successor was rotated itself, it is still no second successor.
    let successor_id = &first.token.as_ref().expect("a token").token_id;
    rotate(&clients[0], overlapping(successor_id, MINUTE))
        .await
        .expect("it is rotated");
    let again = crowd(&clients, &old_id, |_| "rotation".to_owned()).await;
    for answer in again {
        let answer = answer.expect("all are answered");
        assert!(answer.replayed);
        let token = answer.token.expect("a token");
        assert_eq!(&token.token_id, successor_id);
        assert_eq!(token.state(), TokenState::Active);
        assert_eq!(get(&clients[0], successor_id).await, token);
    }
    assert_eq!(History::read(&database).await.tokens.len(), 3);
}

async fn a_rotation_whose_answer_was_lost_is_tried_again_and_burns_nothing(database: TestDatabase) {
    let (servers, clients) = crowded(&database).await;
    let client = &clients[0];
    let (old_id, old_secret) = issue(client, "deploy", None).await;
    let connection = database.connect().await;
    let held = hold_the_counter(&connection).await;
    let request = RotateTokenRequest {
        request_id: "rotation".to_owned(),
        ..overlapping(&old_id, MINUTE)
    };
    let call = rotate(client, request.clone());
    let given_up = tokio::time::timeout(Duration::from_millis(300), call).await;
    assert!(given_up.is_err(), "it is held up until the client gives up");
    held.rollback().await.expect("it is let go");
    connection.close().await.expect("the connection closes");

    // Whether it was made by then or not: it is made once, and the token works on.
    let again = rotate(client, request).await.expect("an answer");
    assert_eq!(again.replayed, again.secret.is_empty());
    let successor = again.token.expect("a token");
    assert_eq!(successor.predecessor_id, old_id);
    assert_eq!(refusal(client, &old_secret).await, None);
    assert_eq!(History::read(&database).await.tokens.len(), 2);
    // Nobody has its secret, so it is rotated itself.
    let next = rotate(client, rotate_request(&successor.token_id)).await;
    let next = next.expect("it is rotated").secret;
    for secret in [&old_secret, &next] {
        assert_eq!(refusal(client, secret).await, None);
    }
    History::read(&database).await.assert_sound(&[]);
    drop(servers);
}

on_both![
    a_rotation_whose_answer_was_lost_is_tried_again_and_burns_nothing,
    of_a_hundred_rotations_one_is_made_and_the_others_are_told,
    a_hundred_rotations_under_one_id_are_one,
];
