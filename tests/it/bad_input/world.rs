//! What the requests of the table are about: members and workspaces in every state, and tokens alive and dead.

use std::time::Duration;

use countersign::{
    domain::time::Timestamp,
    pb::{
        self, AuthorizeRequest, IssueTokenRequest, ListTokensRequest, MemberState, WorkspaceState,
        issue_token_request::Expiry, resource::Owner,
    },
};
use tonic::transport::Channel;

use crate::support::{
    call::{Answer, Call, as_caller},
    client::{Client, authorize_request, issue_request},
    clock,
    database::TestDatabase,
    server::{PLATFORM, TestServer},
};

/// Workspaces `acme`, `other` (active), `frozen` (suspended), `gone` (deleted). In `acme` the admin `ada`, and `max`,
/// `hoarder` at the limit of tokens, `sue` (suspended) and `rem` (removed). `fred` is in `frozen`, `gus` was in `gone`.
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) channel: Channel,
    pub(super) client: Client,
    /// A live token of `max`, named `taken`.
    pub(super) token_id: String,
    pub(super) secret: String,
    /// Live tokens of `max` to spare.
    pub(super) spare: Vec<String>,
    /// Page tokens: of `acme`'s tokens, of those of `max`, of `acme`'s members, of workspaces, of all events.
    pub(super) tokens_page: String,
    pub(super) max_page: String,
    pub(super) members_page: String,
    pub(super) workspaces_page: String,
    pub(super) events_page: String,
}

impl World {
    pub(super) async fn create(database: &TestDatabase) -> Self {
        let server = TestServer::start(database).await;
        let client = server.client(PLATFORM);
        for workspace_id in ["acme", "other", "frozen", "gone"] {
            client.create_workspace(workspace_id).await;
        }
        client.put_member("acme", "ada", "admin").await;
        for member_id in ["max", "hoarder", "sue", "rem"] {
            client.put_member("acme", member_id, "member").await;
        }
        client.put_member("frozen", "fred", "member").await;
        client.put_member("gone", "gus", "member").await;
        let issued = client.issue("acme", "max", "taken", None).await;
        let mut spare = Vec::new();
        for name in ["second", "third"] {
            let issued = client.issue("acme", "max", name, None).await;
            spare.push(issued.token.expect("a token").token_id);
        }
        let dead = client.issue("acme", "max", "dead", None).await;
        client.revoke(&dead.token.expect("a token").token_id).await;
        for number in 0..50 {
            let name = format!("hoarded {number}");
            client.issue("acme", "hoarder", &name, None).await;
        }
        let suspended = MemberState::Suspended;
        client.set_member_state("acme", "sue", suspended).await;
        client.remove_member("acme", "rem").await;
        let suspended = WorkspaceState::Suspended;
        client.set_workspace_state("frozen", suspended).await;
        client.delete_workspace("gone").await;
        server.clock().advance(Duration::from_secs(1));
        let channel = server.channel();
        let tokens = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            page_size: 1,
            ..Default::default()
        };
        let of_max = ListTokensRequest {
            member_id: "max".to_owned(),
            ..tokens.clone()
        };
        let members = pb::ListMembersRequest {
            workspace_id: "acme".to_owned(),
            page_size: 1,
            ..Default::default()
        };
        let workspaces = pb::ListWorkspacesRequest {
            page_size: 1,
            ..Default::default()
        };
        let events = pb::ListEventsRequest {
            page_size: 1,
            ..Default::default()
        };
        Self {
            tokens_page: next_page(&channel, tokens).await,
            max_page: next_page(&channel, of_max).await,
            members_page: next_page(&channel, members).await,
            workspaces_page: next_page(&channel, workspaces).await,
            events_page: next_page(&channel, events).await,
            token_id: issued.token.expect("a token").token_id,
            secret: issued.secret,
            spare,
            server,
            channel,
            client,
        }
    }

    /// A good request, to spoil: a token for `max`.
    pub(super) fn issue(&self, spoil: impl FnOnce(&mut IssueTokenRequest)) -> IssueTokenRequest {
        let mut request = issue_request("acme", "max", "fresh", None);
        spoil(&mut request);
        request
    }

    /// A good request to issue, with this expiry.
    pub(super) fn issue_until(&self, expiry: Expiry) -> IssueTokenRequest {
        self.issue(|request| request.expiry = Some(expiry))
    }

    /// A good request, to spoil: may `max` read a booking of their own?
    pub(super) fn ask(&self, spoil: impl FnOnce(&mut AuthorizeRequest)) -> AuthorizeRequest {
        let owner = Some(Owner::OwnerId("max".to_owned()));
        let mut request = authorize_request(&self.secret, "bookings.read", "acme", owner);
        spoil(&mut request);
        request
    }
}

/// The token of the page after the one that is asked for.
async fn next_page(channel: &Channel, request: impl Into<Call>) -> String {
    let call = request.into();
    let answer = call.send(channel, &as_caller(PLATFORM)).await;
    let token = match answer.expect("a page") {
        Answer::ListTokens(page) => page.next_page_token,
        Answer::ListMembers(page) => page.next_page_token,
        Answer::ListWorkspaces(page) => page.next_page_token,
        Answer::ListEvents(page) => page.next_page_token,
        _ => panic!("{} is no list", call.rpc()),
    };
    assert!(!token.is_empty(), "{} has a second page", call.rpc());
    token
}

/// An instant of this many milliseconds since the epoch.
pub(super) fn instant(millis: i64) -> prost_types::Timestamp {
    clock::instant(Timestamp(millis))
}

/// A hundred years, the longest lifetime, in seconds.
pub(super) const HUNDRED_YEARS: i64 = 36_500 * 24 * 60 * 60;
