//! Small named facts of one node, durable and atomic: what it did, not what the group decided.
//!
//! Example: the lines of `sentinel.conf` as this node last applied them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::OpenError;
use crate::sealed::{self, Kind};

const MAX_NAME_BYTES: usize = 64;

/// Access to the facts of an opened data directory. Cheap to clone; keeps the directory locked.
/// Both functions block on the disk.
#[derive(Debug, Clone)]
pub struct LocalFacts {
    dir: PathBuf,
    _lock: Arc<File>,
}

impl LocalFacts {
    pub(crate) fn new(dir: PathBuf, lock: Arc<File>) -> Self {
        Self { dir, _lock: lock }
    }

    /// Reads a fact; `None` when it was never stored.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] when it is damaged, and IO errors.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
        sealed::read(&self.path(name)?, Kind::Fact)
    }

    /// Stores a fact; survives a power loss when this returns `Ok`, and is unchanged otherwise.
    ///
    /// # Errors
    /// IO errors, sorted as in [`OpenError`].
    pub fn put(&self, name: &str, value: &[u8]) -> Result<(), OpenError> {
        sealed::write(&self.path(name)?, Kind::Fact, value)
    }

    /// Names become file names: lower-case letters, digits and '-', 1 to 64 of them.
    fn path(&self, name: &str) -> Result<PathBuf, OpenError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
            return Err(OpenError::Settings(format!("'{name}' is not a name for a fact")));
        }
        Ok(self.dir.join(name))
    }
}
