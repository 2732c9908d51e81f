//! Somebody who makes one mutation after the other, at things that no other worker touches and that it therefore knows:
//! each mutation changes something, unless it fails. The rows above those things are everybody's.

use std::collections::BTreeSet;

use countersign::pb::{
    CreateWorkspaceRequest, DeleteWorkspaceRequest, GetMemberRequest, GetWorkspaceRequest,
    ListTokensRequest, MemberState, PutMemberRequest, RemoveMemberRequest, SetMemberRoleRequest,
    SetMemberStateRequest, TokenState, UpdateWorkspaceRequest, WorkspaceState,
};
use tonic::{Code, Response, Status};

use crate::support::{
    client::{Client, issue_request, revoke_request},
    history::{Acknowledged, subject},
    random::Random,
    status::assert_status,
};

/// The workspaces that all workers share.
pub(super) const SHARED: [&str; 2] = ["shared-0", "shared-1"];
/// Members of each worker.
const MEMBERS: usize = 3;
const ROLES: [&str; 2] = ["member", "admin"];

/// A member as it should be.
struct Member {
    id: String,
    /// None: it never was there.
    state: Option<MemberState>,
    role: usize,
    live: BTreeSet<String>,
}

/// A worker with what it knows and what it was told.
pub(super) struct Worker {
    client: Client,
    random: Random,
    shared: &'static str,
    own: String,
    /// The name of the own workspace. None: it is not there.
    own_name: Option<String>,
    members: Vec<Member>,
    acknowledged: Vec<Acknowledged>,
    failed: usize,
}

/// Takes note of an answer. True: the mutation was made.
macro_rules! note {
    ($worker:expr, $answer:expr, $kind:literal, $subject:expr) => {{
        let answer = $answer.map(Response::into_inner);
        let revision = answer.as_ref().map(|answer| answer.revision.clone());
        $worker
            .note(revision, $kind, $subject)
            .then(|| answer.ok())
            .flatten()
    }};
}

impl Worker {
    pub(super) fn new(id: usize, client: Client, random: Random) -> Self {
        let member = |number| Member {
            id: format!("m{id}-{number}"),
            state: None,
            role: 0,
            live: BTreeSet::new(),
        };
        Self {
            client,
            random,
            shared: SHARED[id % SHARED.len()],
            own: format!("own-{id}"),
            own_name: None,
            members: (0..MEMBERS).map(member).collect(),
            acknowledged: Vec::new(),
            failed: 0,
        }
    }

    pub(super) fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// One mutation.
    pub(super) async fn step(&mut self) {
        if self.random.below(10) < 2 {
            return self.change_workspace().await;
        }
        let slot = self.random.below(MEMBERS);
        let choice = self.random.below(10);
        let (state, live) = (self.members[slot].state, &self.members[slot].live);
        match (state, choice) {
            (None | Some(MemberState::Removed), _) => self.put(slot).await,
            (_, 0) => self.remove(slot).await,
            (_, 1) => self.set_role(slot).await,
            (_, 2) => self.set_state(slot).await,
            (_, 3..5) if !live.is_empty() => self.revoke(slot).await,
            (Some(MemberState::Active), _) => self.issue(slot).await,
            _ => self.set_state(slot).await,
        }
    }

    fn note(
        &mut self,
        revision: Result<String, &Status>,
        kind: &'static str,
        subject: String,
    ) -> bool {
        match revision {
            Ok(revision) => {
                self.acknowledged.push(Acknowledged {
                    revision,
                    kind,
                    subject,
                });
                true
            }
            Err(status) => {
                assert_status(status, Code::Unavailable, "UNAVAILABLE", None);
                self.failed += 1;
                false
            }
        }
    }

    fn subject(&self, slot: usize) -> String {
        subject(self.shared, &self.members[slot].id, "")
    }

    /// A name that no workspace of this worker ever had.
    fn new_name(&self, what: &str) -> String {
        let number = self.acknowledged.len() + self.failed;
        format!("{what} {} {number}", self.own)
    }

    async fn change_workspace(&mut self) {
        let mut directory = self.client.directory.clone();
        let (workspace_id, name) = (self.own.clone(), self.new_name("workspace"));
        let own = subject(&workspace_id, "", "");
        if self.own_name.is_none() {
            let request = CreateWorkspaceRequest {
                workspace_id,
                name: name.clone(),
            };
            let answer = directory.create_workspace(request).await;
            if note!(self, answer, "WORKSPACE_CREATED", own).is_some() {
                self.own_name = Some(name);
            }
            return;
        }
        match self.random.below(3) {
            0 => {
                let request = DeleteWorkspaceRequest {
                    workspace_id,
                    ..Default::default()
                };
                let answer = directory.delete_workspace(request).await;
                if note!(self, answer, "WORKSPACE_DELETED", own).is_some() {
                    self.own_name = None;
                }
            }
            1 => {
                let answer = directory
                    .update_workspace(rename(&workspace_id, &name))
                    .await;
                if note!(self, answer, "WORKSPACE_UPDATED", own).is_some() {
                    self.own_name = Some(name);
                }
            }
            // The row that everybody's mutations share, alone.
            _ => {
                let answer = directory.update_workspace(rename(self.shared, &name)).await;
                let shared = subject(self.shared, "", "");
                let _ = note!(self, answer, "WORKSPACE_UPDATED", shared);
            }
        }
    }

    async fn put(&mut self, slot: usize) {
        let role = self.random.below(2);
        let request = PutMemberRequest {
            workspace_id: self.shared.to_owned(),
            member_id: self.members[slot].id.clone(),
            role: ROLES[role].to_owned(),
            ..Default::default()
        };
        let answer = self.client.directory.clone().put_member(request).await;
        if note!(self, answer, "MEMBER_ADDED", self.subject(slot)).is_some() {
            let member = &mut self.members[slot];
            (member.state, member.role) = (Some(MemberState::Active), role);
        }
    }

    async fn remove(&mut self, slot: usize) {
        let request = RemoveMemberRequest {
            workspace_id: self.shared.to_owned(),
            member_id: self.members[slot].id.clone(),
            ..Default::default()
        };
        let answer = self.client.directory.clone().remove_member(request).await;
        if note!(self, answer, "MEMBER_REMOVED", self.subject(slot)).is_some() {
            let member = &mut self.members[slot];
            member.state = Some(MemberState::Removed);
            member.live.clear();
        }
    }

    async fn set_role(&mut self, slot: usize) {
        let role = 1 - self.members[slot].role;
        let request = SetMemberRoleRequest {
            workspace_id: self.shared.to_owned(),
            member_id: self.members[slot].id.clone(),
            role: ROLES[role].to_owned(),
            ..Default::default()
        };
        let answer = self.client.directory.clone().set_member_role(request).await;
        if note!(self, answer, "MEMBER_ROLE_CHANGED", self.subject(slot)).is_some() {
            self.members[slot].role = role;
        }
    }

    async fn set_state(&mut self, slot: usize) {
        let state = match self.members[slot].state {
            Some(MemberState::Active) => MemberState::Suspended,
            _ => MemberState::Active,
        };
        let request = SetMemberStateRequest {
            workspace_id: self.shared.to_owned(),
            member_id: self.members[slot].id.clone(),
            state: state.into(),
            ..Default::default()
        };
        let answer = self
            .client
            .directory
            .clone()
            .set_member_state(request)
            .await;
        if note!(self, answer, "MEMBER_STATE_CHANGED", self.subject(slot)).is_some() {
            self.members[slot].state = Some(state);
        }
    }

    async fn issue(&mut self, slot: usize) {
        let (member_id, name) = (self.members[slot].id.clone(), self.new_name("token"));
        let request = issue_request(self.shared, &member_id, &name, None);
        let answer = self.client.tokens.clone().issue_token(request).await;
        let answer = answer.map(Response::into_inner);
        let token_id = answer.as_ref().ok().and_then(|answer| answer.token.clone());
        let token_id = token_id.map(|token| token.token_id).unwrap_or_default();
        let issued = subject(self.shared, &member_id, &token_id);
        let revision = answer.as_ref().map(|answer| answer.revision.clone());
        if self.note(revision, "TOKEN_ISSUED", issued) {
            self.members[slot].live.insert(token_id);
        }
    }

    async fn revoke(&mut self, slot: usize) {
        let number = self.random.below(self.members[slot].live.len());
        let token_id = self.members[slot].live.iter().nth(number);
        let token_id = token_id.expect("it is below their number").clone();
        let revoked = subject(self.shared, &self.members[slot].id, &token_id);
        let mut tokens = self.client.tokens.clone();
        let answer = tokens.revoke_token(revoke_request(&token_id)).await;
        if note!(self, answer, "TOKEN_REVOKED", revoked).is_some() {
            self.members[slot].live.remove(&token_id);
        }
    }

    /// Fails unless everything is as this worker was told.
    pub(super) async fn assert_state(&self, client: &Client) {
        let request = GetWorkspaceRequest {
            workspace_id: self.own.clone(),
        };
        let own = client.directory.clone().get_workspace(request).await;
        let own = own.ok().and_then(|answer| answer.into_inner().workspace);
        let own = own.filter(|workspace| workspace.state() == WorkspaceState::Active);
        assert_eq!(
            own.map(|workspace| workspace.name),
            self.own_name,
            "{}",
            self.own
        );
        for member in &self.members {
            let request = GetMemberRequest {
                workspace_id: self.shared.to_owned(),
                member_id: member.id.clone(),
            };
            let found = client.directory.clone().get_member(request).await;
            let found = found.ok().and_then(|answer| answer.into_inner().member);
            let state = found.as_ref().map(countersign::pb::Member::state);
            assert_eq!(state, member.state, "{}", member.id);
            let Some(found) = found else { continue };
            assert_eq!(found.role, ROLES[member.role], "{}", member.id);
            let request = ListTokensRequest {
                workspace_id: self.shared.to_owned(),
                member_id: member.id.clone(),
                states: vec![TokenState::Active.into()],
                page_size: 500,
                ..Default::default()
            };
            let listed = client.tokens.clone().list_tokens(request).await;
            let listed = listed.expect("the tokens are listed").into_inner().tokens;
            let live: BTreeSet<String> = listed.into_iter().map(|token| token.token_id).collect();
            assert_eq!(live, member.live, "{}", member.id);
        }
    }
}

fn rename(workspace_id: &str, name: &str) -> UpdateWorkspaceRequest {
    UpdateWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
        name: name.to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["name".to_owned()],
        }),
        ..Default::default()
    }
}
