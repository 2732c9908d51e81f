//! Where the database is, without its password ever being printed.

use std::{fmt, path::PathBuf};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded database: a file, used by one server process.
    Sqlite,
    /// PostgreSQL, shared by any number of replicas.
    Postgres,
}

/// A database's address. Displays without password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    backend: Backend,
}

impl DatabaseUrl {
    /// Takes `sqlite://<path>`, `postgres://…` or `postgresql://…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let backend = match text.split_once("://") {
            Some(("sqlite", path)) if path.starts_with(":memory:") => {
                return Err(
                    "an in-memory database would forget every token: name a file".to_owned(),
                );
            }
            Some(("sqlite", path)) if !path.is_empty() => Backend::Sqlite,
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Backend::Postgres,
            _ => return Err("must be `sqlite://<path>` or `postgres://…`".to_owned()),
        };
        Ok(Self {
            text: text.to_owned(),
            backend,
        })
    }

    /// The address as given, password and all.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The kind of database.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The file of an embedded database.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let path = self.text.strip_prefix("sqlite://")?;
        Some(path.split('?').next().unwrap_or(path).into())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", ""));
        let rest = rest.split('?').next().unwrap_or(rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{rest}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
