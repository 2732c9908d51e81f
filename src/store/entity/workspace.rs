//! The table of workspaces.

use sea_orm::entity::prelude::*;

use super::stored;
use crate::{
    domain::{
        directory::{Workspace, WorkspaceState},
        ids::WorkspaceId,
        time::Timestamp,
    },
    store::fault::Abort,
};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: String,
    pub name: String,
    pub state: String,
    pub generation: i64,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Workspace {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        Ok(Self {
            workspace_id: stored("workspace id", WorkspaceId::parse(&row.workspace_id))?,
            name: row.name,
            state: WorkspaceState::parse(&row.state)
                .ok_or_else(|| Abort::corrupt(format!("workspace state `{}`", row.state)))?,
            generation: row.generation,
            version: row.version,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

impl From<&Workspace> for Model {
    fn from(workspace: &Workspace) -> Self {
        Self {
            workspace_id: workspace.workspace_id.to_string(),
            name: workspace.name.clone(),
            state: workspace.state.as_str().to_owned(),
            generation: workspace.generation,
            version: workspace.version,
            created_at: workspace.created_at.0,
            updated_at: workspace.updated_at.0,
        }
    }
}
