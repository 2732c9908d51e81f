//! How a view is set up.

use std::time::Duration;

use crate::domain::database_url::DatabaseUrl;

/// How a view is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database, for what is missing.
    pub url: DatabaseUrl,
    /// The same without a pooler between, for the feed.
    pub direct_url: DatabaseUrl,
    /// How old the view may be that something is decided from.
    pub staleness_bound: Duration,
    /// How many tokens are remembered at most.
    pub capacity: usize,
    /// How long a decision may wait for the database.
    pub patience: Duration,
}

impl Settings {
    /// Those of a view that nobody asks anything.
    pub fn unused(url: &DatabaseUrl) -> Self {
        Self {
            url: url.clone(),
            direct_url: url.clone(),
            staleness_bound: Duration::ZERO,
            capacity: 1,
            patience: Duration::ZERO,
        }
    }
}
