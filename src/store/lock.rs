//! The lock file beside an embedded database: an operating-system lock, which a crash frees.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::Arc,
};

/// Held for as long as any clone lives.
#[derive(Clone)]
pub(super) struct FileLock {
    _file: Arc<File>,
}

impl FileLock {
    /// Locks `<database>.lock`. `Ok(None)`: another process holds it.
    pub(super) fn acquire(database: &Path) -> io::Result<Option<Self>> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                _file: Arc::new(file),
            })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
