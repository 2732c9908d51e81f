//! The audit trail of a life: each step once, in order, with who did it to whom, and the revision that its call returned.

use std::time::Duration;

use countersign::pb::{
    Actor, CreateWorkspaceRequest, DeleteWorkspaceRequest, Event, IssueTokenRequest,
    ListEventsRequest, MemberAdded, MemberRemoved, MemberRoleChanged, MemberState,
    MemberStateChanged, PutMemberRequest, RemoveMemberRequest, RevokeTokenRequest,
    SetMemberRoleRequest, SetMemberStateRequest, TokenIssued, TokenRevoked, UpdateWorkspaceRequest,
    WorkspaceCreated, WorkspaceDeleted, WorkspaceState, WorkspaceUpdated, event::Details,
    revoke_token_request::Target,
};

use super::instant;
use crate::support::{
    client::{Client, authorize_request, issue_request, list_events},
    database::{TestDatabase, on_both},
    server::{DASHBOARD, PLATFORM, TestServer},
};

/// What has been done, with the events that must tell of it.
struct Story {
    server: TestServer,
    platform: Client,
    /// Oldest first, without event ids.
    expected: Vec<Event>,
}

impl Story {
    /// Expects the event of what has just been done, and that the next decision knows of it.
    async fn tell(&mut self, member_id: &str, revision: String, details: Details) {
        let request = authorize_request("", "bookings.read", "acme", None);
        let malformed = self.platform.authorization.clone().authorize(request).await;
        assert_eq!(malformed.expect("a decision").into_inner().revision, "");
        let unknown = countersign::domain::secret::Secret::random().expect("random bytes");
        let format = countersign::domain::secret::TokenFormat::default();
        let token = format.print(&unknown);
        let answer = self
            .platform
            .authorize(token.expose(), "bookings.read", "acme", None)
            .await;
        assert_eq!(answer.revision, revision, "{details:?}");
        self.expected.push(Event {
            revision,
            occurred_at: Some(instant(self.server.clock().now())),
            caller: PLATFORM.to_owned(),
            workspace_id: "acme".to_owned(),
            member_id: member_id.to_owned(),
            details: Some(details),
            ..Default::default()
        });
        self.server.clock().advance(Duration::from_millis(7));
    }

    fn last(&mut self) -> &mut Event {
        self.expected.last_mut().expect("something was told")
    }

    async fn create(&mut self, name: &str, recreated: bool) {
        let request = CreateWorkspaceRequest {
            workspace_id: "acme".to_owned(),
            name: name.to_owned(),
        };
        let done = self
            .platform
            .directory
            .clone()
            .create_workspace(request)
            .await;
        let details = WorkspaceCreated {
            name: name.to_owned(),
            recreated,
        };
        let revision = done.expect("it is created").into_inner().revision;
        self.tell("", revision, Details::WorkspaceCreated(details))
            .await;
    }

    async fn update(&mut self, paths: &[&str], name: &str, state: WorkspaceState) {
        let request = UpdateWorkspaceRequest {
            workspace_id: "acme".to_owned(),
            name: name.to_owned(),
            state: state.into(),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|&path| path.to_owned()).collect(),
            }),
            ..Default::default()
        };
        let done = self
            .platform
            .directory
            .clone()
            .update_workspace(request)
            .await;
        let details = WorkspaceUpdated {
            name: paths.contains(&"name").then(|| name.to_owned()),
            state: paths.contains(&"state").then_some(state.into()),
            token_policy: None,
        };
        let revision = done.expect("it is updated").into_inner().revision;
        self.tell("", revision, Details::WorkspaceUpdated(details))
            .await;
    }

    async fn delete(&mut self) {
        let request = DeleteWorkspaceRequest {
            workspace_id: "acme".to_owned(),
            ..Default::default()
        };
        let done = self
            .platform
            .directory
            .clone()
            .delete_workspace(request)
            .await;
        let revision = done.expect("it is deleted").into_inner().revision;
        self.tell("", revision, Details::WorkspaceDeleted(WorkspaceDeleted {}))
            .await;
    }

    /// Puts a member, who is added, returns, or gets another role.
    async fn put(&mut self, role: &str, details: Details) {
        let request = PutMemberRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            role: role.to_owned(),
            ..Default::default()
        };
        let done = self.platform.directory.clone().put_member(request).await;
        let revision = done.expect("it is put").into_inner().revision;
        self.tell("max", revision, details).await;
    }

    async fn set_role(&mut self, from: &str, to: &str) {
        let request = SetMemberRoleRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            role: to.to_owned(),
            ..Default::default()
        };
        let done = self
            .platform
            .directory
            .clone()
            .set_member_role(request)
            .await;
        let revision = done.expect("it is changed").into_inner().revision;
        self.tell("max", revision, role_changed(from, to)).await;
    }

    async fn set_state(&mut self, state: MemberState) {
        let request = SetMemberStateRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            state: state.into(),
            ..Default::default()
        };
        let done = self
            .platform
            .directory
            .clone()
            .set_member_state(request)
            .await;
        let state = state.into();
        let revision = done.expect("it is changed").into_inner().revision;
        let details = Details::MemberStateChanged(MemberStateChanged { state });
        self.tell("max", revision, details).await;
    }

    async fn remove(&mut self) {
        let request = RemoveMemberRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            ..Default::default()
        };
        let done = self.platform.directory.clone().remove_member(request).await;
        let revision = done.expect("it is removed").into_inner().revision;
        self.tell("max", revision, Details::MemberRemoved(MemberRemoved {}))
            .await;
    }

    /// Issues a token by this caller, for max himself if it acts for members; one that expires is limited as well. Its id and
    /// its secret.
    async fn issue(&mut self, caller: &str, name: &str, ttl: Option<Duration>) -> (String, String) {
        let actor = actor_for(caller);
        let limited = |texts: &[&str]| -> Vec<String> {
            let texts = texts.iter().filter(|_| ttl.is_some());
            texts.map(|text| (*text).to_owned()).collect()
        };
        let request = IssueTokenRequest {
            actor: actor.clone(),
            scopes: limited(&["bookings.*", "*.list"]),
            allowed_cidrs: limited(&["192.0.2.0/24", "2001:db8::1"]),
            ..issue_request("acme", "max", name, ttl)
        };
        let done = self
            .server
            .client(caller)
            .tokens
            .clone()
            .issue_token(request)
            .await;
        let done = done.expect("it is issued").into_inner();
        let details = TokenIssued {
            name: name.to_owned(),
            expires_at: ttl.map(|ttl| instant(self.server.clock().now().plus(ttl))),
            scopes: limited(&["bookings.*", "*.list"]),
            allowed_cidrs: limited(&["192.0.2.0/24", "2001:db8::1/128"]),
            predecessor_id: String::new(),
        };
        let token_id = done.token.expect("the answer carries it").token_id;
        self.tell("max", done.revision, Details::TokenIssued(details))
            .await;
        self.last().token_id.clone_from(&token_id);
        self.last().actor = actor;
        self.last().caller = caller.to_owned();
        (token_id, done.secret)
    }

    async fn revoke(&mut self, caller: &str, token_id: &str, target: Target) {
        let actor = actor_for(caller);
        let by_secret = matches!(target, Target::Secret(_));
        let request = RevokeTokenRequest {
            target: Some(target),
            reason: "rotated".to_owned(),
            actor: actor.clone(),
            ..Default::default()
        };
        let done = self
            .server
            .client(caller)
            .tokens
            .clone()
            .revoke_token(request)
            .await;
        let details = TokenRevoked {
            reason: "rotated".to_owned(),
            by_secret,
            leak_source: None,
        };
        let revision = done.expect("it is revoked").into_inner().revision;
        self.tell("max", revision, Details::TokenRevoked(details))
            .await;
        token_id.clone_into(&mut self.last().token_id);
        self.last().actor = actor;
        self.last().caller = caller.to_owned();
    }
}

fn actor_for(caller: &str) -> Option<Actor> {
    (caller == DASHBOARD).then(|| Actor {
        workspace_id: "acme".to_owned(),
        member_id: "max".to_owned(),
    })
}

fn role_changed(from: &str, to: &str) -> Details {
    Details::MemberRoleChanged(MemberRoleChanged {
        from_role: from.to_owned(),
        to_role: to.to_owned(),
    })
}

fn added(role: &str, returned: bool) -> Details {
    Details::MemberAdded(MemberAdded {
        role: role.to_owned(),
        returned,
    })
}

/// Every event of a workspace, or of all, in pages of this size.
async fn list(client: &Client, workspace_id: &str, page_size: i32) -> Vec<Event> {
    let request = ListEventsRequest {
        workspace_id: workspace_id.to_owned(),
        page_size,
        ..Default::default()
    };
    list_events(client, request).await
}

async fn every_step_is_told_once_in_order_with_the_revision_its_call_returned(
    database: TestDatabase,
) {
    let server = TestServer::start(&database).await;
    let mut story = Story {
        platform: server.client(PLATFORM),
        server,
        expected: Vec::new(),
    };
    let (active, suspended) = (WorkspaceState::Active, WorkspaceState::Suspended);
    story.create("Acme", false).await;
    story.put("member", added("member", false)).await;
    let (first, _) = story.issue(PLATFORM, "first", None).await;
    let ttl = Some(Duration::from_secs(60));
    let (second, secret) = story.issue(DASHBOARD, "second", ttl).await;
    story
        .revoke(DASHBOARD, &first, Target::TokenId(first.clone()))
        .await;
    story
        .revoke(PLATFORM, &second, Target::Secret(secret))
        .await;
    story.set_role("member", "admin").await;
    story.put("member", role_changed("admin", "member")).await;
    story.set_state(MemberState::Suspended).await;
    story.set_state(MemberState::Active).await;
    story.update(&["name"], "Acme Limited", active).await;
    story.update(&["state"], "", suspended).await;
    story.update(&["name", "state"], "Acme Again", active).await;
    story.remove().await;
    story.put("admin", added("admin", true)).await;
    story.delete().await;
    story.create("Acme Anew", true).await;
    story.put("member", added("member", true)).await;

    // Another workspace's are not among them.
    story.platform.create_workspace("other").await;
    story.expected.reverse();
    for page_size in [0, 1, 5] {
        let mut events = list(&story.platform, "acme", page_size).await;
        for event in &mut events {
            assert_eq!(event.event_id.len(), 32, "{event:?}");
            event.event_id.clear();
        }
        assert_eq!(events, story.expected);
    }
    // All there are: those, the other workspace's, and the feed's beginning.
    let all = list(&story.platform, "", 0).await;
    assert_eq!(all.len(), story.expected.len() + 2);
    let mut revisions: Vec<&str> = all.iter().map(|event| event.revision.as_str()).collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), all.len());
    let beginning = all.last().and_then(|event| event.details.clone());
    assert!(matches!(beginning, Some(Details::FeedStarted(_))));
}

on_both![every_step_is_told_once_in_order_with_the_revision_its_call_returned];
