//! Whether the view has come as far as a caller has.

use super::{View, age::BootTime, places::Asker};
use crate::domain::{error::Error, ids::RevisionName};

/// How many revisions that callers name are remembered as known.
const MAX_KNOWN: usize = 10_000;

impl View {
    /// Whether the view has come to a change, after a fresh reading where it seems that it has not.
    pub(super) async fn has_seen(
        &self,
        name: RevisionName,
        asker: Asker<'_>,
        began: BootTime,
    ) -> Result<bool, Error> {
        loop {
            let is_fresh = self.0.memory.as_of() >= began;
            let position = self.0.memory.position();
            let passed = self.0.memory.passed(name.number);
            let has_passed = position.is_some_and(|position| position.number >= name.number);
            match (has_passed, passed) {
                (true, Some(revision)) if name.names(&revision) => return Ok(true),
                (true, None) if self.is_known(name, asker).await? => return Ok(true),
                _ if is_fresh => return Ok(false),
                _ => self.0.followed.read_after(began).await,
            }
        }
    }

    /// Whether a change that the view no longer remembers is in the database.
    async fn is_known(&self, name: RevisionName, asker: Asker<'_>) -> Result<bool, Error> {
        let known = || {
            let known = self.0.known.lock();
            known.unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        if known().contains(&name) {
            return Ok(true);
        }
        let epoch = self.0.memory.epoch();
        let is_known = self.0.fills.knows(name, asker).await?;
        // Not of a feed that is no longer followed.
        if is_known && self.0.memory.epoch() == epoch {
            let mut known = known();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(name);
        }
        Ok(is_known)
    }
}
