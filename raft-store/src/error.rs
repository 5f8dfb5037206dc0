//! Errors of the public API: each says what is wrong, where, and what the operator can do.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::CodecError;

/// Why a data directory, or the Raft log in it, cannot be used. Nothing in the directory was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the directory.
    #[error("data directory {dir} is in use by {}: two nodes must not share one", holder(.pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Process that holds it, when it could be read.
        pid: Option<u32>,
    },
    /// The file system is mounted read-only.
    #[error("{path}: the file system is read-only; the node must be able to store its votes")]
    ReadOnly {
        /// File or directory concerned.
        path: PathBuf,
    },
    /// No space or quota left.
    #[error("{path}: no space left; free some space, nothing was changed")]
    Full {
        /// File concerned.
        path: PathBuf,
    },
    /// Permission denied.
    #[error("{path}: permission denied; the node needs to read and write its data directory")]
    NotWritable {
        /// File or directory concerned.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error(
        "{path}: {reason}; the file was left as it is. Restore it, or remove the data directory to start as a new node that joins again"
    )]
    Corrupt {
        /// File concerned.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A whole file, of a layout that this build does not read.
    #[error(
        "{path}: written by another version of Sentinel on Raft (layout {found}, this one reads layout {}); nothing was \
         changed. Start the version that wrote it. To begin anew instead, stop all sentinels of the group, make sure \
         that each sentinel.conf names the present master, and move their data directories away (here {})",
        crate::codec::CODEC_VERSION,
        directory(.path)
    )]
    OtherLayout {
        /// File concerned.
        path: PathBuf,
        /// Its layout.
        found: u8,
    },
    /// The directory holds the log of another group than expected.
    #[error(
        "data directory {dir} belongs to group {found:016x}, not to {expected:016x}; use another `dir`, or remove it to join as a new node"
    )]
    ForeignGroup {
        /// The directory.
        dir: PathBuf,
        /// Group it was founded in.
        found: u64,
        /// Group asked for.
        expected: u64,
    },
    /// The directory belongs to a node with another `myid` than configured.
    #[error(
        "data directory {dir} belongs to sentinel {found}, the configuration says myid {expected}; an identity is never changed. Correct `sentinel myid`, or use another `dir`"
    )]
    ForeignIdentity {
        /// The directory.
        dir: PathBuf,
        /// `myid` stored.
        found: String,
        /// `myid` configured.
        expected: String,
    },
    /// The directory was copied: two nodes with one identity could vote twice.
    #[error(
        "data directory {dir} is a copy ({reason}); a second node with the same identity could vote twice in one term. Remove this directory: the node then joins as a new one. If the original is gone for good and was moved here, accept the move explicitly"
    )]
    Copied {
        /// The directory.
        dir: PathBuf,
        /// What differs from the original.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("raft settings: {0}")]
    Settings(String),
    /// Any other IO error.
    #[error("{path}: {source}")]
    Io {
        /// File or directory concerned.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The Raft engine or its storage did not start.
    #[error("raft: {0}")]
    Raft(String),
}

fn holder(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

fn directory(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

impl OpenError {
    /// A file, or a record in it, whose checksum is right but which cannot be decoded.
    pub(crate) fn undecodable(path: &Path, error: &CodecError) -> Self {
        let path = path.to_path_buf();
        match error {
            CodecError::Version { found } => Self::OtherLayout { path, found: *found },
            other => Self::Corrupt {
                path,
                reason: other.to_string(),
            },
        }
    }

    /// Sorts an IO error into the causes that an operator can act on.
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied => Self::NotWritable { path },
            _ => Self::Io { path, source },
        }
    }
}

/// Why a group could not be founded or adopted.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// This node has a log already.
    #[error("this node belongs to a group already ({0:016x})")]
    AlreadyInitialised(u64),
    /// This node is not in the list of members.
    #[error("this node is not among the members to found the group with")]
    NotAMember,
    /// The decision could not be stored.
    #[error("cannot store the group: {0}")]
    Store(#[from] OpenError),
    /// The Raft engine refused or failed.
    #[error("raft: {0}")]
    Raft(String),
}
