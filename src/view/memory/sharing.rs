//! What records have in common is in memory once: the tokens of a member have one record of it, members have one record of
//! their workspace, and all have the same text of its id. So it takes less room, and a decision finds most of what it reads
//! where the ones before it have read it.

use std::sync::{Arc, PoisonError};

use super::Memory;
use crate::domain::{decide::Bearer, directory::Member};

/// How many names of roles are kept: more than policies have.
const MAX_ROLES: usize = 64;

impl Memory {
    /// Has a bearer that was just read share what is in memory already.
    pub(in crate::view) fn share(&self, bearer: &mut Bearer) {
        let [_, member_key, workspace_key] = self.keys_of(bearer);
        let workspace = self.workspaces.get(&workspace_key);
        if let Some(workspace) = workspace.filter(|known| *known == bearer.workspace) {
            bearer.workspace = workspace;
        }
        let member = self.members.get(&member_key).map(|entry| entry.member);
        match member.filter(|known| *known == bearer.member) {
            Some(member) => bearer.member = member,
            None => self.share_texts(bearer),
        }
        let ids = &mut Arc::make_mut(&mut bearer.token).member;
        ids.workspace_id = bearer.member.workspace_id.clone();
    }

    fn share_texts(&self, bearer: &mut Bearer) {
        let Member {
            workspace_id, role, ..
        } = Arc::make_mut(&mut bearer.member);
        *workspace_id = bearer.workspace.workspace_id.clone();
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        match roles.iter().find(|known| *known == role) {
            Some(known) => *role = known.clone(),
            None if roles.len() < MAX_ROLES => roles.push(role.clone()),
            None => {}
        }
    }
}
