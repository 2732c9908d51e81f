//! The audit trail.

mod watch;

pub(super) use watch::Watchers;
pub use watch::{EventWatch, Watched};

use super::{Page, PageRequest, Service};
use crate::{
    domain::{error::Error, event::Event},
    store::EventFilter,
};

impl Service {
    /// A page of events, newest first.
    pub async fn list_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, Error> {
        let key = format!("events {filter:?}");
        let below = self
            .cursor(&key, &page)?
            .and_then(|cursor| cursor.parse().ok());
        let session = self.0.store.read();
        let events = session.list_events(&filter, below, page.size + 1);
        let found = self.reading(async { Ok(events.await?) }).await?;
        Ok(Page::cut(found, page.size, key))
    }
}
