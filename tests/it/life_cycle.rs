//! What becomes of tokens while their members and workspaces live: demoted and promoted, suspended and reactivated,
//! removed and added anew, deleted and created anew.

mod audit;
mod events;
mod expiry;
mod model;
mod presentation;
mod records;
mod restart;
mod sequences;
mod token_policy;
mod writes;

use countersign::pb::{
    AuthorizeResponse, DenyReason, ListTokensRequest, Outcome, Token, TokenState, resource::Owner,
};

use crate::support::{
    client::{Client, get},
    clock::instant,
    database::TestDatabase,
    server::{PLATFORM, TestServer},
};

/// A server with the workspace `acme` and its members `ada` (admin) and `max` (member).
async fn acme(database: &TestDatabase) -> (TestServer, Client) {
    let server = TestServer::start(database).await;
    let platform = server.client(PLATFORM);
    platform.create_workspace("acme").await;
    platform.put_member("acme", "ada", "admin").await;
    platform.put_member("acme", "max", "member").await;
    (server, platform)
}

/// Whether the bearer may read its own bookings: allowed, or why not.
async fn ask_own(client: &Client, secret: &str) -> Result<AuthorizeResponse, DenyReason> {
    let owner = Some(Owner::Bearer(true));
    let answer = client.authorize(secret, "bookings.read", "", owner).await;
    let decision = answer.decision.as_ref().expect("a decision");
    match decision.outcome() {
        Outcome::Allow => Ok(answer),
        _ => Err(decision.reason()),
    }
}

/// Every token of `acme` in these states, page by page.
async fn list(
    client: &Client,
    member_id: &str,
    states: &[TokenState],
    page_size: i32,
) -> Vec<Token> {
    let mut request = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        member_id: member_id.to_owned(),
        states: states.iter().map(|state| i32::from(*state)).collect(),
        page_size,
        ..Default::default()
    };
    let mut tokens = Vec::new();
    loop {
        let page = client.tokens.clone().list_tokens(request.clone()).await;
        let page = page.expect("a page").into_inner();
        tokens.extend(page.tokens);
        if page.next_page_token.is_empty() {
            return tokens;
        }
        request.page_token = page.next_page_token;
    }
}
