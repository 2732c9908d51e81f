//! What a token in memory holds: its member and its workspace themselves, so that a decision looks for nothing but the token.
//!
//! Each record says itself whether it is outdated. Whatever is taken out of its table, by a change or to make room, is marked
//! so, and whatever is not marked is in its table, where the next change finds it. So what a token holds is as good as what a
//! lookup would find, until it is marked; then it is looked for once, and held in place of the other.

use std::{hint::black_box, sync::Arc};

use super::{Key, MemberEntry, Memory};
use crate::domain::{
    decide::Bearer,
    directory::{Member, Workspace},
};

/// Reads what a decision needs of a token, as [`fetch`](crate::domain::token::Token::fetch) does, its member and its workspace.
fn fetch(held: &Bearer) {
    let Bearer {
        token,
        member,
        workspace,
    } = held;
    token.fetch();
    black_box((
        [Arc::strong_count(token), Arc::strong_count(member)],
        (member.generation, member.state, member.is_outdated.is_set()),
        member.role.as_bytes().first().copied(),
        (workspace.generation, workspace.is_outdated.is_set()),
    ));
}

impl Memory {
    /// The token of a secret with this key as it is held, and whether something of it is outdated.
    pub(super) fn held(&self, key: &Key) -> Option<(Bearer, bool)> {
        self.tokens.read_with(key, |held| {
            fetch(held);
            let Bearer {
                member, workspace, ..
            } = held;
            let is_outdated = member.is_outdated.is_set() || workspace.is_outdated.is_set();
            (held.clone(), is_outdated)
        })
    }

    /// Has a token hold the records that there are now. None: they are not all there.
    pub(super) fn renew(&self, key: &Key, mut bearer: Bearer) -> Option<Bearer> {
        let [_, member_key, workspace_key] = self.keys_of(&bearer);
        let member = self.members.get(&member_key)?;
        let workspace = self.workspaces.get(&workspace_key)?;
        if member.workspace_generation != workspace.generation {
            return None;
        }
        (bearer.member, bearer.workspace) = (member.member, workspace);
        self.tokens.change(key, |held| {
            // It may have been read anew meanwhile. If it was not, whatever is outdated by now is marked, for the next one.
            if Arc::ptr_eq(&held.token, &bearer.token) {
                held.clone_from(&bearer);
            }
        });
        Some(bearer)
    }

    /// The record of a member that is in memory from now on.
    pub(super) fn keep_member(
        &self,
        key: Key,
        member: &Arc<Member>,
        workspace: &Workspace,
    ) -> Arc<Member> {
        let workspace_generation = workspace.generation;
        let known = self.members.get(&key);
        if let Some(known) = known
            && known.member == *member
            && known.workspace_generation == workspace_generation
        {
            return known.member;
        }
        self.remove_member(&key);
        let member = match member.is_outdated.is_set() {
            true => Arc::new(Member::clone(member)),
            false => Arc::clone(member),
        };
        let entry = MemberEntry {
            member: Arc::clone(&member),
            workspace_generation,
        };
        if let Some(evicted) = self.members.insert(key, entry) {
            evicted.member.is_outdated.set();
        }
        member
    }

    /// The record of a workspace that is in memory from now on.
    pub(super) fn keep_workspace(&self, key: Key, workspace: &Arc<Workspace>) -> Arc<Workspace> {
        let known = self.workspaces.get(&key);
        if let Some(known) = known.filter(|known| known == workspace) {
            return known;
        }
        self.remove_workspace(&key);
        let workspace = match workspace.is_outdated.is_set() {
            true => Arc::new(Workspace::clone(workspace)),
            false => Arc::clone(workspace),
        };
        if let Some(evicted) = self.workspaces.insert(key, Arc::clone(&workspace)) {
            evicted.is_outdated.set();
        }
        workspace
    }

    pub(super) fn remove_member(&self, key: &Key) {
        if let Some(entry) = self.members.remove(key) {
            entry.member.is_outdated.set();
        }
    }

    pub(super) fn remove_workspace(&self, key: &Key) {
        if let Some(workspace) = self.workspaces.remove(key) {
            workspace.is_outdated.set();
        }
    }

    /// Takes out everything.
    pub(super) fn remove_all(&self) {
        self.tokens.clear(|_| ());
        self.members
            .clear(|entry| _ = entry.member.is_outdated.set());
        self.workspaces
            .clear(|workspace| _ = workspace.is_outdated.set());
    }

    /// Lets go of the member and the workspace too of whom this was the last token: they are looked for no more, so none would
    /// be marked as used, and those that are needed would make room as soon as the others.
    pub(super) fn let_go(&self, bearer: &Bearer) {
        const TABLE_AND_THIS: usize = 2;
        let Bearer {
            member, workspace, ..
        } = bearer;
        let ids = &bearer.token.member;
        if Arc::strong_count(member) <= TABLE_AND_THIS && !member.is_outdated.is_set() {
            let key = self.keys.member(&ids.workspace_id, &ids.member_id);
            self.remove_member(&key);
        }
        if Arc::strong_count(workspace) <= TABLE_AND_THIS && !workspace.is_outdated.is_set() {
            self.remove_workspace(&self.keys.workspace(&ids.workspace_id));
        }
    }
}
