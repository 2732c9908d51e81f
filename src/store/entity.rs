//! The tables as sea-orm sees them. Plain columns only: what they mean is in `domain`, and each has its conversion beside
//! it.

pub(super) mod event;
pub(super) mod feed_head;
pub(super) mod member;
pub(super) mod revocation;
pub(super) mod token;
pub(super) mod workspace;

use super::fault::Abort;
use crate::domain::{
    error::Problem,
    ids::{CallerName, MemberId, MemberKey, WorkspaceId},
    token::Origin,
};

/// Unwraps a stored value that was valid when it was written.
pub(super) fn stored<T>(what: &str, value: Result<T, Problem>) -> Result<T, Abort> {
    value.map_err(|problem| Abort::corrupt(format!("{what} {}", problem.description)))
}

/// An actor as one column: no id has a slash.
pub(super) fn actor_column(actor: Option<&MemberKey>) -> Option<String> {
    actor.map(|key| format!("{}/{}", key.workspace_id, key.member_id))
}

/// Who did something, from its two columns.
pub(super) fn origin(caller: &str, actor: Option<&str>) -> Result<Origin, Abort> {
    let actor = match actor.map(|text| text.split_once('/')) {
        None => None,
        Some(Some((workspace_id, member_id))) => Some(MemberKey {
            workspace_id: stored("actor", WorkspaceId::parse(workspace_id))?,
            member_id: stored("actor", MemberId::parse(member_id))?,
        }),
        Some(None) => return Err(Abort::corrupt("actor has no slash".to_owned())),
    };
    Ok(Origin {
        caller: stored("caller", CallerName::parse(caller))?,
        actor,
    })
}
