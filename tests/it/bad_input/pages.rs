//! Pages: whoever follows the page tokens sees each item exactly once, however the pages are cut.

use std::{collections::BTreeSet, time::Duration};

use countersign::pb::{
    ListEventsRequest, ListMembersRequest, ListTokensRequest, ListTokensResponse,
    ListWorkspacesRequest, RevokeTokenRequest,
};
use prost::Message;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::Call;
use crate::support::{
    call::{Answer, as_caller},
    client::{Client, issue_request, revoke_request},
    database::{TestDatabase, on_both},
    server::{PLATFORM, TestServer},
};

/// The ids on each page, in order, until there is no next one.
async fn walk(channel: &Channel, list: impl Fn(String) -> Call) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let call = list(page_token);
        let answer = call.send(channel, &as_caller(PLATFORM)).await;
        let (ids, next) = ids(answer.expect("a page"));
        pages.push(ids);
        if next.is_empty() {
            return pages;
        }
        page_token = next;
        assert!(pages.len() < 100, "{} has an end", call.rpc());
    }
}

fn ids(answer: Answer) -> (Vec<String>, String) {
    match answer {
        Answer::ListTokens(page) => {
            let ids = page.tokens.into_iter().map(|token| token.token_id);
            (ids.collect(), page.next_page_token)
        }
        Answer::ListMembers(page) => {
            let ids = page.members.into_iter().map(|member| member.member_id);
            (ids.collect(), page.next_page_token)
        }
        Answer::ListWorkspaces(page) => {
            let ids = page.workspaces.into_iter().map(|found| found.workspace_id);
            (ids.collect(), page.next_page_token)
        }
        Answer::ListEvents(page) => {
            let ids = page.events.into_iter().map(|event| event.revision);
            (ids.collect(), page.next_page_token)
        }
        _ => panic!("the answer is a page"),
    }
}

/// 50, 50 and what is left, each item once.
fn assert_walked(what: &str, pages: &[Vec<String>], expected: &BTreeSet<String>) {
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    let all: Vec<&String> = pages.iter().flatten().collect();
    let distinct: BTreeSet<String> = pages.iter().flatten().cloned().collect();
    assert_eq!(all.len(), distinct.len(), "{what}: each once, {sizes:?}");
    assert_eq!(&distinct, expected, "{what}: all of them, {sizes:?}");
    let mut left = expected.len();
    let mut full = Vec::new();
    while left > 50 {
        full.push(50);
        left -= 50;
    }
    full.push(left);
    assert_eq!(sizes, full, "{what}");
}

async fn a_walk_over_all_pages_meets_each_item_once(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let channel = server.channel();
    client.create_workspace("acme").await;
    let mut workspaces = BTreeSet::from(["acme".to_owned()]);
    let mut members = BTreeSet::new();
    let mut tokens = BTreeSet::new();
    for number in 0..120 {
        // Some share an instant, so that the order within one counts; ids of both cases, so that collation does.
        let letter = ["a", "B", "c", "_", "-", ":"][number % 6];
        let (workspace_id, member_id) =
            (format!("w{letter}{number}"), format!("m{letter}{number}"));
        client.create_workspace(&workspace_id).await;
        client.put_member("acme", &member_id, "member").await;
        let issued = client.issue("acme", &member_id, "a", None).await;
        tokens.insert(issued.token.expect("a token").token_id);
        workspaces.insert(workspace_id);
        members.insert(member_id);
        if number % 7 == 0 {
            server.clock().advance(Duration::from_millis(1));
        }
    }

    let walked = walk(&channel, |page_token| {
        let list = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            page_size: 50,
            page_token,
            ..Default::default()
        };
        list.into()
    });
    assert_walked("tokens", &walked.await, &tokens);
    let walked = walk(&channel, |page_token| {
        let list = ListMembersRequest {
            workspace_id: "acme".to_owned(),
            page_size: 50,
            page_token,
        };
        list.into()
    });
    assert_walked("members", &walked.await, &members);
    let walked = walk(&channel, |page_token| {
        let list = ListWorkspacesRequest {
            page_size: 50,
            page_token,
        };
        list.into()
    });
    assert_walked("workspaces", &walked.await, &workspaces);

    // Events: the one of `acme`, its members and their tokens; and with those of the others, and the first, all.
    for (workspace_id, count) in [("acme", 241), ("", 362)] {
        let walked = walk(&channel, |page_token| {
            let list = ListEventsRequest {
                workspace_id: workspace_id.to_owned(),
                page_size: 50,
                page_token,
                ..Default::default()
            };
            list.into()
        });
        let walked = walked.await;
        let all: BTreeSet<String> = walked.iter().flatten().cloned().collect();
        assert_eq!(all.len(), count, "events of {workspace_id:?}");
        assert_walked("events", &walked, &all);
    }
}

async fn a_page_that_would_exceed_a_mebibyte_ends_early_and_goes_on(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let client = server.client(PLATFORM);
    let workspace_id = "w".repeat(64);
    client.create_workspace(&workspace_id).await;
    let mut issued = BTreeSet::new();
    let mut tasks = JoinSet::new();
    for member in 0..9 {
        let (client, workspace_id) = (client.clone(), workspace_id.clone());
        tasks.spawn(async move { fill(&client, &workspace_id, &format!("{member:m<64}")).await });
    }
    while let Some(ids) = tasks.join_next().await {
        issued.extend(ids.expect("a member's tokens are issued and revoked"));
    }
    assert_eq!(issued.len(), 450);

    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = ListTokensRequest {
            workspace_id: workspace_id.clone(),
            page_size: 500,
            page_token,
            ..Default::default()
        };
        let page = client.tokens.clone().list_tokens(list).await;
        let page: ListTokensResponse = page.expect("a page").into_inner();
        sizes.push((page.tokens.len(), page.encoded_len()));
        assert!(page.encoded_len() <= 1 << 20, "{sizes:?}");
        assert!(sizes.len() < 10, "{sizes:?}");
        seen.extend(page.tokens.into_iter().map(|token| token.token_id));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(sizes.len(), 2, "the first page was cut: {sizes:?}");
    assert!(sizes[0].1 > 1_000_000, "and not too early: {sizes:?}");
    assert_eq!(seen.len(), 450, "{sizes:?}");
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>(),
        issued,
        "each once"
    );
}

/// Fifty tokens of a member, as large as they get: long names, and revoked for long reasons.
async fn fill(client: &Client, workspace_id: &str, member_id: &str) -> Vec<String> {
    client.put_member(workspace_id, member_id, "member").await;
    let mut ids = Vec::new();
    for number in 0..50 {
        let name = format!("{}{number:02}", "😀".repeat(98));
        let request = issue_request(workspace_id, member_id, &name, None);
        let issued = client.tokens.clone().issue_token(request).await;
        let token = issued.expect("a token is issued").into_inner().token;
        let token_id = token.expect("a token").token_id;
        let request = RevokeTokenRequest {
            reason: "😀".repeat(500),
            ..revoke_request(&token_id)
        };
        let revoked = client.tokens.clone().revoke_token(request).await;
        revoked.expect("it is revoked");
        ids.push(token_id);
    }
    ids
}

on_both![
    a_walk_over_all_pages_meets_each_item_once,
    a_page_that_would_exceed_a_mebibyte_ends_early_and_goes_on,
];
