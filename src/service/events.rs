//! The audit trail.

mod retention;
mod watch;

pub(super) use retention::Retention;
pub(super) use watch::Watchers;
pub use watch::{EventWatch, Watched};

use super::{Page, PageRequest, Service};
use crate::{
    domain::{
        error::Error,
        event::{Event, TrailStart},
    },
    store::EventFilter,
};

impl Service {
    /// A page of events, newest first, and where the events begin that are kept.
    pub async fn list_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<(Page<Event>, TrailStart), Error> {
        let key = format!("events {filter:?}");
        let below = self
            .cursor(&key, &page)?
            .and_then(|cursor| cursor.parse().ok());
        let session = self.0.store.read();
        let events = session.list_events(&filter, below, page.size + 1);
        let reading = self.reading(async {
            let found = events.await?;
            // Last: from there on nothing is missing above, whatever was dropped meanwhile.
            Ok((found, self.0.store.find_trail_start().await?))
        });
        let (found, start) = reading.await?;
        Ok((Page::cut(found, page.size, key), start))
    }
}
