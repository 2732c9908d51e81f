//! Several who create, change or end the same thing at once.

use countersign::pb::{CreateWorkspaceRequest, MemberState, PutMemberRequest, TokenState};
use tonic::{Code, Response, Status};

use super::{acme, at_once, platforms, servers, tokens_in};
use crate::support::{
    client::{Client, revoke_request},
    clock::TestClock,
    database::{TestDatabase, on_both},
    history::History,
    status::assert_status,
};

/// How many meet.
const CROWD: usize = 20;

async fn of_many_who_create_a_workspace_one_succeeds(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    let create = async || {
        let calls = clients.iter().cycle().take(CROWD).map(|client| {
            let mut directory = client.directory.clone();
            let request = CreateWorkspaceRequest {
                workspace_id: "acme".to_owned(),
                name: "Acme".to_owned(),
            };
            async move { directory.create_workspace(request).await }
        });
        let answers = at_once(calls).await;
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        refused.for_each(|status| {
            assert_status(status, Code::AlreadyExists, "WORKSPACE_EXISTS", None);
        });
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    };
    create().await;
    clients[0].delete_workspace("acme").await;
    create().await;
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("WORKSPACE_CREATED"), 2);
}

async fn many_who_put_a_member_make_one(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    clients[0].create_workspace("acme").await;
    let put = async |member_id: &str| {
        let calls = clients.iter().cycle().take(CROWD).map(|client| {
            let mut directory = client.directory.clone();
            let request = PutMemberRequest {
                workspace_id: "acme".to_owned(),
                member_id: member_id.to_owned(),
                role: "member".to_owned(),
                ..Default::default()
            };
            async move { directory.put_member(request).await }
        });
        for answer in at_once(calls).await {
            let member = answer.expect("putting is no conflict").into_inner().member;
            let member = member.expect("the answer carries it");
            assert_eq!(member.role, "member");
            assert_eq!(member.state(), MemberState::Active);
        }
    };
    put("max").await;
    put("ada").await;
    clients[0].remove_member("acme", "max").await;
    put("max").await;
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("MEMBER_ADDED"), 3, "one event each time");
    assert_eq!(history.count("MEMBER_ROLE_CHANGED"), 0);
}

async fn many_who_revoke_a_token_all_succeed_and_one_did_it(database: TestDatabase) {
    let servers = servers(&database, &TestClock::default()).await;
    let clients = platforms(&servers);
    acme(&clients[0]).await;
    let issued = clients[0].issue("acme", "max", "deploy", None).await;
    let token_id = issued.token.expect("a token").token_id;
    let calls = clients.iter().cycle().take(CROWD).enumerate();
    let calls = calls.map(|(number, client)| revoke(client, &token_id, number));
    let answers = at_once(calls).await;
    let reasons: Vec<String> = answers
        .into_iter()
        .map(|answer| {
            let response = answer.expect("revoking a dead one succeeds").into_inner();
            response.token.expect("the answer carries it").revoke_reason
        })
        .collect();
    assert!(
        reasons.iter().all(|reason| reason == &reasons[0]),
        "all are told of the one that did it: {reasons:?}"
    );
    let revoked = tokens_in(&clients[0], "acme", TokenState::Revoked).await;
    assert_eq!(revoked[0].revoke_reason, reasons[0]);
    let history = History::read(&database).await;
    history.assert_sound(&[]);
    assert_eq!(history.count("TOKEN_REVOKED"), 1);
}

fn revoke(
    client: &Client,
    token_id: &str,
    number: usize,
) -> impl Future<Output = Result<Response<countersign::pb::RevokeTokenResponse>, Status>> + Send + use<>
{
    let mut tokens = client.tokens.clone();
    let mut request = revoke_request(token_id);
    request.reason = format!("reason {number}");
    async move { tokens.revoke_token(request).await }
}

on_both![
    of_many_who_create_a_workspace_one_succeeds,
    many_who_put_a_member_make_one,
    many_who_revoke_a_token_all_succeed_and_one_did_it,
];
