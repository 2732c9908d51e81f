//! Changing workspaces.

use super::{check_etag, workspace_not_found};
use crate::{
    domain::{
        directory::{Workspace, WorkspaceState},
        error::Error,
        event::{Details, NewEvent},
        ids::{Revision, WorkspaceId},
        name::Name,
        token::Origin,
    },
    service::Service,
    store::{Abort, Change, Mutation, Tx},
};

/// A change of a workspace.
pub struct WorkspaceCommand {
    /// On whose behalf.
    pub origin: Origin,
    /// Which.
    pub workspace_id: WorkspaceId,
    /// What to do.
    pub change: WorkspaceChange,
}

/// What to do to a workspace.
pub enum WorkspaceChange {
    /// Create it, or start it anew.
    Create {
        /// Its name.
        name: Name,
    },
    /// Change what is given.
    Update(WorkspaceUpdate),
    /// Delete it.
    Delete {
        /// Only in this version; empty for any.
        etag: String,
    },
}

/// What to change of a workspace.
pub struct WorkspaceUpdate {
    /// The new name.
    pub name: Option<Name>,
    /// The new state.
    pub state: Option<WorkspaceState>,
    /// Only in this version; empty for any.
    pub etag: String,
}

impl Service {
    /// Changes a workspace and answers it as it is then.
    pub async fn change_workspace(
        &self,
        command: WorkspaceCommand,
    ) -> Result<(Workspace, Revision), Error> {
        let done = self.mutate(command).await?;
        Ok((done.output, done.revision))
    }
}

impl Mutation for WorkspaceCommand {
    type Output = Workspace;

    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn run(&self, tx: &Tx) -> Result<Change<Workspace>, Abort> {
        let found = tx.lock_workspace(&self.workspace_id).await?;
        match (&self.change, found) {
            (WorkspaceChange::Create { name }, None) => self.create(tx, name).await,
            (WorkspaceChange::Create { name }, Some(found)) => self.recreate(tx, found, name).await,
            (_, None) => Err(workspace_not_found(&self.workspace_id).into()),
            (WorkspaceChange::Update(update), Some(found)) => self.update(tx, found, update).await,
            (WorkspaceChange::Delete { etag }, Some(found)) => self.delete(tx, found, etag).await,
        }
    }
}

impl WorkspaceCommand {
    async fn create(&self, tx: &Tx, name: &Name) -> Result<Change<Workspace>, Abort> {
        let workspace = Workspace {
            workspace_id: self.workspace_id.clone(),
            name: name.as_str().to_owned(),
            state: WorkspaceState::Active,
            generation: 1,
            version: 1,
            created_at: tx.now(),
            updated_at: tx.now(),
        };
        tx.insert_workspace(&workspace).await?;
        let details = Details::WorkspaceCreated {
            name: workspace.name.clone(),
            recreated: false,
        };
        Ok(self.made(workspace, details))
    }

    async fn recreate(
        &self,
        tx: &Tx,
        mut workspace: Workspace,
        name: &Name,
    ) -> Result<Change<Workspace>, Abort> {
        if workspace.state != WorkspaceState::Deleted {
            return Err(Error::WorkspaceExists {
                workspace_id: self.workspace_id.to_string(),
            }
            .into());
        }
        workspace.state = WorkspaceState::Active;
        name.as_str().clone_into(&mut workspace.name);
        self.raise_generation(tx, &mut workspace, "the workspace was created anew")
            .await?;
        self.write(tx, &mut workspace).await?;
        let details = Details::WorkspaceCreated {
            name: workspace.name.clone(),
            recreated: true,
        };
        Ok(self.made(workspace, details))
    }

    async fn update(
        &self,
        tx: &Tx,
        mut workspace: Workspace,
        update: &WorkspaceUpdate,
    ) -> Result<Change<Workspace>, Abort> {
        check_etag(&update.etag, Some(workspace.version))?;
        if workspace.state == WorkspaceState::Deleted {
            return Err(Error::WorkspaceDeleted {
                workspace_id: self.workspace_id.to_string(),
            }
            .into());
        }
        let name = update.name.as_ref().map(Name::as_str);
        let name = name.filter(|name| *name != workspace.name);
        let state = update.state.filter(|state| *state != workspace.state);
        if name.is_none() && state.is_none() {
            return Ok(Change::none(workspace));
        }
        let details = Details::WorkspaceUpdated {
            name: name.map(ToOwned::to_owned),
            state: state.map(|state| state.as_str().to_owned()),
        };
        if let Some(name) = name {
            name.clone_into(&mut workspace.name);
        }
        workspace.state = state.unwrap_or(workspace.state);
        self.write(tx, &mut workspace).await?;
        Ok(self.made(workspace, details))
    }

    async fn delete(
        &self,
        tx: &Tx,
        mut workspace: Workspace,
        etag: &str,
    ) -> Result<Change<Workspace>, Abort> {
        check_etag(etag, Some(workspace.version))?;
        if workspace.state == WorkspaceState::Deleted {
            return Ok(Change::none(workspace));
        }
        workspace.state = WorkspaceState::Deleted;
        self.raise_generation(tx, &mut workspace, "the workspace was deleted")
            .await?;
        tx.remove_members(&self.workspace_id).await?;
        self.write(tx, &mut workspace).await?;
        Ok(self.made(workspace, Details::WorkspaceDeleted {}))
    }

    /// Ends every token of the workspace.
    async fn raise_generation(
        &self,
        tx: &Tx,
        workspace: &mut Workspace,
        reason: &str,
    ) -> Result<(), Abort> {
        workspace.generation += 1;
        let generation = workspace.generation;
        tx.insert_revocation(&self.workspace_id, None, generation, &self.origin, reason)
            .await
    }

    async fn write(&self, tx: &Tx, workspace: &mut Workspace) -> Result<(), Abort> {
        workspace.version += 1;
        workspace.updated_at = tx.now();
        tx.update_workspace(workspace).await
    }

    fn made(&self, workspace: Workspace, details: Details) -> Change<Workspace> {
        let event = NewEvent {
            workspace_id: self.workspace_id.to_string(),
            member_id: None,
            token_id: None,
            details,
        };
        Change::made(workspace, event)
    }
}
