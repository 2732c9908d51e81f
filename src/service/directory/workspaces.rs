//! Changing workspaces.

use super::{check_etag, workspace_not_found};
use crate::{
    domain::{
        directory::{Workspace, WorkspaceState},
        error::Error,
        event::{Details, NewEvent},
        ids::{Revision, WorkspaceId},
        name::Name,
        shared::Mark,
        token::Origin,
        token_policy::{TokenPolicy, TokenPolicyUpdate},
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
    /// What is new of the token policy.
    pub token_policy: TokenPolicyUpdate,
    /// Only in this version; empty for any.
    pub etag: String,
}

impl WorkspaceUpdate {
    /// The workspace after it, and what it changes, if anything.
    fn of(&self, workspace: &Workspace) -> Result<(Workspace, Option<Details>), Error> {
        check_etag(&self.etag, Some(workspace.version))?;
        if workspace.state == WorkspaceState::Deleted {
            return Err(Error::WorkspaceDeleted {
                workspace_id: workspace.workspace_id.to_string(),
            });
        }
        let mut updated = workspace.clone();
        if let Some(name) = &self.name {
            name.as_str().clone_into(&mut updated.name);
        }
        updated.state = self.state.unwrap_or(workspace.state);
        updated.token_policy = self.token_policy.of(&workspace.token_policy);
        updated
            .token_policy
            .check()
            .map_err(|(field, problem)| Error::field(format!("token_policy.{field}"), problem))?;
        let policy = &updated.token_policy;
        let details = (updated != *workspace).then(|| Details::WorkspaceUpdated {
            name: (updated.name != workspace.name).then(|| updated.name.clone()),
            state: (updated.state != workspace.state).then(|| updated.state.as_str().to_owned()),
            token_policy: (*policy != workspace.token_policy).then(|| policy.into()),
        });
        Ok((updated, details))
    }
}

impl Service {
    /// What an update would make of a workspace, and how many tokens that live now would end by it. Nothing is changed.
    pub async fn validate_workspace_update(
        &self,
        workspace_id: &WorkspaceId,
        update: &WorkspaceUpdate,
    ) -> Result<(Workspace, u64), Error> {
        let (updated, _) = update.of(&self.get_workspace(workspace_id).await?)?;
        let (session, now) = (self.0.store.read(), self.0.clock.now());
        let count = session.count_tokens_ended_by(workspace_id, &updated.token_policy, now);
        let ended = self.reading(async { Ok(count.await?) }).await?;
        Ok((updated, ended))
    }

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
            token_policy: TokenPolicy::default(),
            generation: 1,
            version: 1,
            created_at: tx.now(),
            updated_at: tx.now(),
            is_outdated: Mark::default(),
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
        workspace.token_policy = TokenPolicy::default();
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
        workspace: Workspace,
        update: &WorkspaceUpdate,
    ) -> Result<Change<Workspace>, Abort> {
        let (mut updated, changes) = update.of(&workspace)?;
        let Some(details) = changes else {
            return Ok(Change::none(workspace));
        };
        self.write(tx, &mut updated).await?;
        Ok(self.made(updated, details))
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
