//! Dropping events that are older than is asked for, beside all that is asked for.
//!
//! Every replica does it, in small parts with as much time between them as they take, so that nobody waits for long behind it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    domain::error::Error,
    service::{Service, jittered},
};

/// How long events are kept. None: for ever.
#[derive(Default)]
pub(in crate::service) struct Retention(Mutex<Option<Duration>>);

impl Retention {
    fn get(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Has events kept for this long from now on; without it, for ever.
    pub fn keep_events_for(&self, retention: Option<Duration>) {
        let kept = self.0.retention.0.lock();
        *kept.unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Looks for events that are too old every so often, and drops them. Never ends.
    pub async fn drop_old_events(self, interval: Duration) {
        loop {
            sleep(jittered(interval)).await;
            // A failure was logged, and the next time this is tried again.
            self.drop_what_is_old().await.ok();
        }
    }

    async fn drop_what_is_old(&self) -> Result<(), Error> {
        let mut count = 0;
        // Asked each time: a reload may have changed it meanwhile.
        while let Some(retention) = self.0.retention.get() {
            let began = Instant::now();
            let dropped = self.0.store.drop_events(retention).await?;
            count += dropped.count;
            if !dropped.has_more {
                break;
            }
            sleep(began.elapsed()).await;
        }
        // Also where another replica dropped them, or nobody did.
        let start = self.reading(async { Ok(self.0.store.find_trail_start().await?) });
        let start = start.await?;
        if count > 0 {
            tracing::info!(count, oldest = %start.revision, "old events were dropped");
        }
        Ok(())
    }
}
