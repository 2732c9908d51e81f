//! Records for tests of memory: what nothing has happened to yet.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use crate::domain::{
    decide::Bearer,
    directory::{Member, MemberState, Workspace, WorkspaceState},
    ids::{MemberId, MemberKey, RoleName, TokenId, WorkspaceId},
    secret::Hint,
    shared::Mark,
    time::Timestamp,
    token::{LastUse, Token},
    token_policy::TokenPolicy,
};

pub(super) const EPOCH: Timestamp = Timestamp(0);

/// A token, which has its id as its name, with its member and workspace.
pub(super) fn bearer(workspace: &str, member: &str, token: &str) -> Bearer {
    let workspace_id = WorkspaceId::parse(workspace).expect("an id");
    let member_id = MemberId::parse(member).expect("an id");
    Bearer {
        token: Arc::new(Token {
            token_id: TokenId::parse(token).expect("an id"),
            member: MemberKey {
                workspace_id: workspace_id.clone(),
                member_id: member_id.clone(),
            },
            workspace_generation: 1,
            member_generation: 1,
            name: token.into(),
            hint: Hint::parse("0000").expect("a hint"),
            created_at: EPOCH,
            expires_at: None,
            last_use: LastUse::issued(EPOCH),
            extras: None,
            revoked: None,
            awaits_record: Mark::default(),
        }),
        member: Arc::new(Member {
            workspace_id: workspace_id.clone(),
            member_id,
            role: RoleName::parse("member").expect("a name"),
            state: MemberState::Active,
            generation: 1,
            version: 1,
            created_at: EPOCH,
            updated_at: EPOCH,
            is_outdated: Mark::default(),
        }),
        workspace: Arc::new(Workspace {
            workspace_id,
            name: String::new(),
            state: WorkspaceState::Active,
            token_policy: TokenPolicy::default(),
            generation: 1,
            version: 1,
            created_at: EPOCH,
            updated_at: EPOCH,
            is_outdated: Mark::default(),
        }),
    }
}
