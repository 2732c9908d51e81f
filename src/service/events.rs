//! The audit trail.

mod watch;

pub(super) use watch::Watchers;
pub use watch::{EventWatch, Watched};

use super::{Page, PageRequest, Service};
use crate::domain::{error::Error, event::Event, ids::WorkspaceId};

impl Service {
    /// A page of events, newest first.
    pub async fn list_events(
        &self,
        workspace_id: Option<WorkspaceId>,
        page: PageRequest,
    ) -> Result<Page<Event>, Error> {
        let filter = format!(
            "events {}",
            workspace_id.as_ref().map_or("", WorkspaceId::as_str)
        );
        let below = self
            .cursor(&filter, &page)?
            .and_then(|cursor| cursor.parse().ok());
        let session = self.0.store.read();
        let events = session.list_events(workspace_id.as_ref(), below, page.size + 1);
        let found = self.reading(async { Ok(events.await?) }).await?;
        Ok(Page::cut(found, page.size, filter))
    }
}
