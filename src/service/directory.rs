//! The directory: workspaces and members.

mod members;
mod workspaces;

pub use members::{MemberChange, MemberCommand};
pub use workspaces::{WorkspaceChange, WorkspaceCommand, WorkspaceUpdate};

use super::{Page, PageRequest, Service, member_not_found};
use crate::domain::{
    directory::{Member, Workspace, etag},
    error::Error,
    ids::{MemberKey, WorkspaceId},
};

impl Service {
    /// The workspace, dead or alive.
    pub async fn get_workspace(&self, id: &WorkspaceId) -> Result<Workspace, Error> {
        let session = self.0.store.read();
        let found = self
            .reading(async { Ok(session.find_workspace(id).await?) })
            .await?;
        found.ok_or_else(|| workspace_not_found(id))
    }

    /// The member, dead or alive.
    pub async fn get_member(&self, key: &MemberKey) -> Result<Member, Error> {
        let session = self.0.store.read();
        let found = self
            .reading(async { Ok(session.find_member(key).await?) })
            .await?;
        found.ok_or_else(|| member_not_found(key))
    }

    /// A page of workspaces, by id.
    pub async fn list_workspaces(&self, page: PageRequest) -> Result<Page<Workspace>, Error> {
        let filter = "workspaces".to_owned();
        let after = self.cursor(&filter, &page)?;
        let session = self.0.store.read();
        let workspaces = session.list_workspaces(after.as_deref(), page.size + 1);
        let found = self.reading(async { Ok(workspaces.await?) }).await?;
        Ok(Page::cut(found, page.size, filter))
    }

    /// A page of a workspace's members, by id.
    pub async fn list_members(
        &self,
        workspace_id: &WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<Member>, Error> {
        let filter = format!("members {workspace_id}");
        let after = self.cursor(&filter, &page)?;
        self.get_workspace(workspace_id).await?;
        let session = self.0.store.read();
        let members = session.list_members(workspace_id, after.as_deref(), page.size + 1);
        let found = self.reading(async { Ok(members.await?) }).await?;
        Ok(Page::cut(found, page.size, filter))
    }
}

/// Refuses a writer whose etag is not the record's. An empty one is not checked.
fn check_etag(given: &str, version: Option<i64>) -> Result<(), Error> {
    let current = version.map_or_else(String::new, etag);
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(Error::EtagMismatch { etag: current })
}

fn workspace_not_found(id: &WorkspaceId) -> Error {
    Error::WorkspaceNotFound {
        workspace_id: id.to_string(),
    }
}
