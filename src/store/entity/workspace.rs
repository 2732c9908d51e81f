//! The table of workspaces.

use std::time::Duration;

use sea_orm::entity::prelude::*;

use super::stored;
use crate::{
    domain::{
        directory::{Workspace, WorkspaceState},
        ids::WorkspaceId,
        shared::Mark,
        time::{Timestamp, millis},
        token_policy::TokenPolicy,
    },
    store::fault::Abort,
};

/// Marks the state of a workspace whose policy ends tokens. Versions from before there were policies would allow what it
/// ended; a state that they cannot read makes them answer that they cannot decide.
const UNDER_POLICY: &str = "+policy";
/// The same of one that ends those that go unused, for versions which know the other mark and not this rule.
const UNDER_IDLE_LIMIT: &str = "+idle";

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: String,
    pub name: String,
    /// Its name, with a mark after it where the policy ends tokens.
    pub state: String,
    pub require_expiry: bool,
    /// In milliseconds, as the next.
    pub max_lifetime: Option<i64>,
    pub default_lifetime: Option<i64>,
    pub max_live_tokens: Option<i32>,
    /// In milliseconds.
    pub idle_limit: Option<i64>,
    pub revoke_family_on_reuse: bool,
    pub generation: i64,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Workspace {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        let unmarked = |mark| row.state.strip_suffix(mark);
        let state = [UNDER_POLICY, UNDER_IDLE_LIMIT]
            .into_iter()
            .find_map(unmarked);
        let state = WorkspaceState::parse(state.unwrap_or(&row.state))
            .ok_or_else(|| Abort::corrupt(format!("workspace state `{}`", row.state)))?;
        let number = |number: i32| stored_number("live tokens", number);
        let lifetime = |millis: i64| stored_number("lifetime", millis).map(Duration::from_millis);
        Ok(Self {
            workspace_id: stored("workspace id", WorkspaceId::parse(&row.workspace_id))?,
            name: row.name,
            state,
            token_policy: TokenPolicy {
                require_expiry: row.require_expiry,
                max_lifetime: row.max_lifetime.map(lifetime).transpose()?,
                default_lifetime: row.default_lifetime.map(lifetime).transpose()?,
                idle_limit: row.idle_limit.map(lifetime).transpose()?,
                max_live_tokens: row.max_live_tokens.map(number).transpose()?,
                revoke_family_on_reuse: row.revoke_family_on_reuse,
            },
            generation: row.generation,
            version: row.version,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
            is_outdated: Mark::default(),
        })
    }
}

impl From<&Workspace> for Model {
    fn from(workspace: &Workspace) -> Self {
        let policy = &workspace.token_policy;
        let mark = match policy.idle_limit {
            Some(_) => UNDER_IDLE_LIMIT,
            None if policy.ends_tokens() => UNDER_POLICY,
            None => "",
        };
        Self {
            workspace_id: workspace.workspace_id.to_string(),
            name: workspace.name.clone(),
            state: format!("{}{mark}", workspace.state.as_str()),
            require_expiry: policy.require_expiry,
            max_lifetime: policy.max_lifetime.map(millis),
            default_lifetime: policy.default_lifetime.map(millis),
            max_live_tokens: policy
                .max_live_tokens
                .map(|number| i32::try_from(number).unwrap_or(i32::MAX)),
            idle_limit: policy.idle_limit.map(millis),
            revoke_family_on_reuse: policy.revoke_family_on_reuse,
            generation: workspace.generation,
            version: workspace.version,
            created_at: workspace.created_at.0,
            updated_at: workspace.updated_at.0,
        }
    }
}

/// A number that cannot be negative.
fn stored_number<N: TryInto<U> + Copy + std::fmt::Display, U>(
    what: &str,
    number: N,
) -> Result<U, Abort> {
    number
        .try_into()
        .map_err(|_| Abort::corrupt(format!("{what} `{number}`")))
}
