//! The statements that a server runs, counted where they are sent.

use std::sync::{Arc, Mutex};

/// Those since it was last asked. Clones are the same count.
#[derive(Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// Adds one.
    pub(crate) fn add(&self, sql: &str) {
        self.0.lock().expect("the list").push(sql.to_owned());
    }

    /// Takes those there are.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("the list"))
    }

    /// The same, and how many of them looked a token up.
    pub(crate) fn take_lookups(&self) -> usize {
        let is_lookup = |sql: &&String| sql.contains("feed_head") && sql.contains("\"token\"");
        self.take().iter().filter(is_lookup).count()
    }
}
