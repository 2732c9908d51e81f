//! Starting while the database is restarting, which it may well be when a whole cluster comes up or fails over.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep};

/// How long a database that breaks off is tried again. One that refuses connections is waited for by each of them.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// A start that may take several attempts.
pub(super) struct Attempts {
    deadline: Instant,
}

impl Attempts {
    pub(super) fn begin() -> Self {
        Self {
            deadline: Instant::now() + PATIENCE,
        }
    }

    /// Waits for the next attempt after one that failed so. It is the error where there is none.
    pub(super) async fn wait<E: Display>(&self, error: E) -> Result<(), E> {
        if Instant::now() > self.deadline {
            return Err(error);
        }
        tracing::warn!(error = %error, "not started yet, and tried again");
        sleep(PAUSE).await;
        Ok(())
    }
}
