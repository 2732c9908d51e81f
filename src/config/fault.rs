//! What is wrong with a configuration, told so that it can be mended without reading any code.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    File {
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    Variable(String),
    /// Without the leading dashes.
    Flag(String),
    Default,
    /// Nobody gave it and there is no default.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "the file {}, line {line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Default => f.write_str("the default"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({origin}): {message}")]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) origin: Origin,
    /// One sentence. Never holds the value of a secret.
    pub(super) message: String,
}

/// Puts the faults of one file into the order of its lines.
pub(super) fn sort_by_line(faults: &mut [Fault]) {
    faults.sort_by_key(|fault| match fault.origin {
        Origin::File { line, .. } => line,
        _ => 0,
    });
}

/// Everything that is wrong with a configuration: at least one fault, each on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
