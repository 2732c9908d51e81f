//! What is expected of requests about workspaces and members.

use countersign::pb::{MemberState, TokenState, WorkspaceState};
use tonic::Code;

use super::{
    flaws::Flaw,
    model::{MEMBER_NOT_FOUND, Model, Refusal, WORKSPACE_NOT_FOUND},
    steps::{Answer, Key, Member, PLATFORM, Part, Policy, Update, Workspace},
};

const WORKSPACE_DELETED: Refusal = (Code::FailedPrecondition, "WORKSPACE_DELETED");

impl Model {
    pub(super) fn create_workspace(
        &mut self,
        number: usize,
        name: &str,
    ) -> Result<Answer, Refusal> {
        let found = self.workspaces.get(&number);
        if found.is_some_and(|found| found.state != WorkspaceState::Deleted) {
            return Err((Code::AlreadyExists, "WORKSPACE_EXISTS"));
        }
        let workspace = Workspace {
            number,
            name: name.to_owned(),
            state: WorkspaceState::Active,
            policy: match found {
                Some(found) if self.has(Flaw::PoliciesSurviveDeletion) => found.policy,
                _ => Policy::default(),
            },
            created_at: found.map_or(self.now, |found| found.created_at),
            updated_at: self.now,
        };
        if self.has(Flaw::MembersReturnWithTheirWorkspace) {
            for member in self.members.values_mut() {
                if member.key.workspace == number {
                    member.state = MemberState::Active;
                }
            }
        }
        self.workspaces.insert(number, workspace.clone());
        self.tell("WORKSPACE_CREATED");
        Ok(Answer::Workspace(workspace))
    }

    pub(super) fn update_workspace(&mut self, update: &Update) -> Result<Answer, Refusal> {
        let found = self.workspaces.get(&update.workspace);
        let found = found.ok_or(WORKSPACE_NOT_FOUND)?;
        if found.state == WorkspaceState::Deleted {
            return Err(WORKSPACE_DELETED);
        }
        let mut updated = found.clone();
        if let Some(name) = &update.name {
            updated.name.clone_from(name);
        }
        updated.state = update.state.unwrap_or(found.state);
        for part in &update.parts {
            let (to, from) = (&mut updated.policy, &update.policy);
            match part {
                Part::RequireExpiry => to.require_expiry = from.require_expiry,
                Part::MaxLifetime => to.max_lifetime = from.max_lifetime,
                Part::DefaultLifetime => to.default_lifetime = from.default_lifetime,
                Part::MaxLiveTokens => to.max_live_tokens = from.max_live_tokens,
            }
        }
        let policy = updated.policy;
        if let (Some(default), Some(longest)) = (policy.default_lifetime, policy.max_lifetime)
            && default > longest
        {
            return Err((Code::InvalidArgument, "FIELD_CONFLICT"));
        }
        if update.validate_only {
            let ended = self.ended_by(update.workspace, &policy);
            return Ok(Answer::Validated(updated, ended));
        }
        if updated != *found {
            updated.updated_at = self.now;
            self.workspaces.insert(update.workspace, updated.clone());
            self.tell("WORKSPACE_UPDATED");
        }
        Ok(Answer::Workspace(updated))
    }

    /// How many tokens of a workspace live now and would not under this policy.
    fn ended_by(&self, workspace: usize, policy: &Policy) -> i64 {
        let all = self.tokens.iter();
        let ended = all.filter(|token| {
            token.member.workspace == workspace
                && self.state(token) == TokenState::Active
                && self.has_ended(token, policy)
        });
        i64::try_from(ended.count()).expect("not so many")
    }

    pub(super) fn delete_workspace(&mut self, number: usize) -> Result<Answer, Refusal> {
        let now = self.now;
        let found = self.workspaces.get_mut(&number);
        let found = found.ok_or(WORKSPACE_NOT_FOUND)?;
        let is_new = found.state != WorkspaceState::Deleted;
        if is_new {
            found.state = WorkspaceState::Deleted;
            found.updated_at = now;
            let removed = self.members.values_mut().filter(|member| {
                member.key.workspace == number && member.state != MemberState::Removed
            });
            for member in removed {
                member.state = MemberState::Removed;
                member.updated_at = now;
            }
            let reason = "the workspace was deleted";
            self.end_all(PLATFORM, reason, |of| of.workspace == number);
            self.tell("WORKSPACE_DELETED");
        }
        Ok(Answer::Workspace(self.workspaces[&number].clone()))
    }

    pub(super) fn put_member(&mut self, key: Key, role: &str) -> Result<Answer, Refusal> {
        let workspace = self.workspaces.get(&key.workspace);
        let workspace = workspace.ok_or(WORKSPACE_NOT_FOUND)?;
        if workspace.state == WorkspaceState::Deleted {
            return Err(WORKSPACE_DELETED);
        }
        let found = self.members.get(&key);
        let is_removed = |found: &Member| found.state == MemberState::Removed;
        if found.is_some_and(|found| !is_removed(found)) {
            if self.has(Flaw::SyncLiftsSuspensions) {
                self.change(key, |member| member.state = MemberState::Active);
            }
            return self.set_role(key, role);
        }
        let member = Member {
            key,
            role: role.to_owned(),
            state: MemberState::Active,
            created_at: found.map_or(self.now, |found| found.created_at),
            updated_at: self.now,
        };
        // What it had before was ended when it was removed.
        self.members.insert(key, member.clone());
        if self.has(Flaw::TokensReturnWithTheirMember) {
            for token in &mut self.tokens {
                if token.member == key {
                    token.end = None;
                }
            }
        }
        self.tell("MEMBER_ADDED");
        Ok(Answer::Member(member))
    }

    pub(super) fn set_role(&mut self, key: Key, role: &str) -> Result<Answer, Refusal> {
        if self.require_changeable(key)?.role != role {
            self.change(key, |member| role.clone_into(&mut member.role));
            self.tell("MEMBER_ROLE_CHANGED");
        }
        Ok(Answer::Member(self.members[&key].clone()))
    }

    pub(super) fn set_state(&mut self, key: Key, state: MemberState) -> Result<Answer, Refusal> {
        if self.require_changeable(key)?.state != state {
            self.change(key, |member| member.state = state);
            self.tell("MEMBER_STATE_CHANGED");
        }
        Ok(Answer::Member(self.members[&key].clone()))
    }

    pub(super) fn remove(&mut self, key: Key) -> Result<Answer, Refusal> {
        let found = self.members.get(&key).ok_or(MEMBER_NOT_FOUND)?;
        if found.state != MemberState::Removed {
            self.change(key, |member| member.state = MemberState::Removed);
            self.end_all(PLATFORM, "the member was removed", |of| of == key);
            self.tell("MEMBER_REMOVED");
        }
        Ok(Answer::Member(self.members[&key].clone()))
    }

    /// A member that can be changed, which a removed one cannot.
    fn require_changeable(&self, key: Key) -> Result<&Member, Refusal> {
        let found = self.members.get(&key).ok_or(MEMBER_NOT_FOUND)?;
        if self.workspaces[&key.workspace].state == WorkspaceState::Deleted {
            return Err(WORKSPACE_DELETED);
        }
        if found.state == MemberState::Removed {
            return Err((Code::FailedPrecondition, "MEMBER_REMOVED"));
        }
        Ok(found)
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&key) {
            change(member);
            member.updated_at = self.now;
        }
    }
}
