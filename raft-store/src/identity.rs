//! The data directory: who this node is, and the proof that nobody else is.
//!
//! ```text
//! <dir>/raft-<port>/        0700, files 0600
//!   LOCK                    flock while the node runs; holds its pid
//!   identity                node, myid, and where the directory was made (sealed)
//!   group                   cluster id (sealed); absent before founding
//!   boot                    counter of starts (sealed); written at each start: proves that writing works
//!   facts/<name>            small facts of the node (sealed)
//!   log.redb                log entries and vote
//!   committed               highest committed index (checksum, not synced)
//!   snapshot                last snapshot (sealed)
//! ```
//!
//! Invariants:
//! * an identity is durable before it is used, and is never changed or used by two nodes;
//! * nothing is overwritten when something is wrong: every error leaves the files as they are;
//! * a copy of the directory is refused: it has another inode (or birth time) than the one recorded.
//!
//! Caveats: a clone of the whole block device keeps inodes and birth times, and on FUSE file systems inodes mean
//! nothing, so a copy is not noticed here. It is noticed by peers, which see one node id at two addresses.
//!
//! All functions block on the disk; call them before the runtime is busy or from a blocking thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, StatxFlags};
use sentinel_proto::types::{NodeId, SentinelId};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::OpenError;
use crate::facts::LocalFacts;
use crate::sealed::{self, Kind};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity";
const GROUP: &str = "group";
const BOOT: &str = "boot";
const FACTS: &str = "facts";
/// File of the log; named here because its presence without an identity is an error.
pub(crate) const LOG: &str = "log.redb";
/// File of the committed index.
pub(crate) const COMMITTED: &str = "committed";
/// File of the last snapshot.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// How to open a data directory.
#[derive(Debug, Clone, Default)]
pub struct DirOptions {
    /// `sentinel myid` of the configuration: used at first start, compared later. `None` = random at first start.
    pub myid: Option<SentinelId>,
    /// Accept a directory that was moved to another file system. Only right when the original is gone for good.
    pub accept_moved: bool,
}

/// Magic number of FUSE file systems (`FUSE_SUPER_MAGIC` in `linux/magic.h`).
const FUSE: u64 = 0x6573_5546;

/// What makes a directory this one and not a copy of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// 0 = unknown: inodes of this file system do not outlive a mount.
    dir_inode: u64,
    lock_inode: u64,
    /// Birth time of the lock file in nanoseconds; `None` where the file system does not record it.
    lock_birth_ns: Option<u128>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    node: NodeId,
    myid: SentinelId,
    place: Place,
}

/// An opened data directory: held exclusively until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    cluster_id: Option<u64>,
    boot: u64,
    first_start: bool,
    lock: Arc<File>,
}

impl DataDir {
    /// Opens `path` (`<dir>/raft-<port>`), creating it at first start; its parent must exist.
    ///
    /// # Errors
    /// Each cause has its variant of [`OpenError`]; nothing is overwritten.
    pub fn open(path: &Path, options: &DirOptions) -> Result<Self, OpenError> {
        sealed::create_dir(path)?;
        let lock = take_lock(path)?;
        remove_leftovers(path)?;
        let place = place(path, &lock)?;
        let identity_file = path.join(IDENTITY);
        let stored = read_value::<Identity>(&identity_file, Kind::Identity)?;
        let first_start = stored.is_none();
        let identity = match stored {
            Some(identity) => check_identity(path, identity, place, options)?,
            None => new_identity(path, place, options)?,
        };
        let cluster_id = read_value::<u64>(&path.join(GROUP), Kind::Group)?;
        let boot = read_value::<u64>(&path.join(BOOT), Kind::Boot)?
            .unwrap_or(0)
            .wrapping_add(1);
        write_value(&path.join(BOOT), Kind::Boot, &boot)?;
        sealed::create_dir(&path.join(FACTS))?;
        Ok(Self {
            path: path.to_path_buf(),
            identity,
            cluster_id,
            boot,
            first_start,
            lock: Arc::new(lock),
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Raft identity; never 0.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.identity.node
    }

    /// Identity shown to clients.
    #[must_use]
    pub fn myid(&self) -> &SentinelId {
        &self.identity.myid
    }

    /// The group this directory belongs to; `None` before founding.
    #[must_use]
    pub fn cluster_id(&self) -> Option<u64> {
        self.cluster_id
    }

    /// How many times this directory was opened, this time included.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Whether the identity was made just now.
    #[must_use]
    pub fn is_first_start(&self) -> bool {
        self.first_start
    }

    /// Small durable facts of the node; may be used while the Raft engine runs.
    #[must_use]
    pub fn facts(&self) -> LocalFacts {
        LocalFacts::new(self.path.join(FACTS), Arc::clone(&self.lock))
    }

    /// Stores the group's identity durably. The caller checks whether a change is allowed.
    pub(crate) fn store_cluster_id(&mut self, cluster_id: u64) -> Result<(), OpenError> {
        write_value(&self.path.join(GROUP), Kind::Group, &cluster_id)?;
        self.cluster_id = Some(cluster_id);
        Ok(())
    }
}

fn take_lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.join(LOCK);
    let io_error = |e: io::Error| OpenError::from_io(&lock_path, e);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(io_error)?;
    if let Err(e) = rustix::fs::flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        if e == rustix::io::Errno::WOULDBLOCK {
            let mut text = String::new();
            let pid = lock
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(OpenError::InUse {
                dir: path.to_path_buf(),
                pid,
            });
        }
        return Err(io_error(e.into()));
    }
    let pid = format!("{}\n", std::process::id());
    lock.rewind().and_then(|()| lock.set_len(0)).map_err(io_error)?;
    lock.write_all(pid.as_bytes())
        .and_then(|()| lock.sync_all())
        .map_err(io_error)?;
    Ok(lock)
}

/// Removes files that a crash left half written; they were never renamed, so nobody relied on them.
fn remove_leftovers(path: &Path) -> Result<(), OpenError> {
    for dir in [path.to_path_buf(), path.join(FACTS)] {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(OpenError::from_io(&dir, e)),
        };
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_some_and(|e| e == "tmp") {
                fs::remove_file(&file).map_err(|e| OpenError::from_io(&file, e))?;
            }
        }
    }
    Ok(())
}

fn place(path: &Path, lock: &File) -> Result<Place, OpenError> {
    let lock_path = path.join(LOCK);
    let kind = rustix::fs::fstatfs(lock).map_err(|e| OpenError::from_io(&lock_path, e.into()))?;
    if u64::try_from(kind.f_type) == Ok(FUSE) {
        return Ok(Place {
            dir_inode: 0,
            lock_inode: 0,
            lock_birth_ns: None,
        });
    }
    let dir_inode = fs::metadata(path).map_err(|e| OpenError::from_io(path, e))?.ino();
    let lock_inode = lock
        .metadata()
        .map_err(|e| OpenError::from_io(&lock_path, e))?
        .ino();
    Ok(Place {
        dir_inode,
        lock_inode,
        lock_birth_ns: birth_ns(lock),
    })
}

fn birth_ns(file: &File) -> Option<u128> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    if stat.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return None;
    }
    let seconds = u128::try_from(stat.stx_btime.tv_sec).ok()?;
    Some(seconds * 1_000_000_000 + u128::from(stat.stx_btime.tv_nsec))
}

/// Says how `here` differs from where the identity was made.
fn moved(made: &Place, here: &Place) -> Option<String> {
    if made.dir_inode == 0 || here.dir_inode == 0 {
        return None;
    }
    if made.dir_inode != here.dir_inode || made.lock_inode != here.lock_inode {
        return Some(format!(
            "made as inode {}/{}, found as {}/{}",
            made.dir_inode, made.lock_inode, here.dir_inode, here.lock_inode
        ));
    }
    match (made.lock_birth_ns, here.lock_birth_ns) {
        (Some(a), Some(b)) if a != b => Some("its lock file was created at another time".to_owned()),
        _ => None,
    }
}

fn check_identity(
    path: &Path,
    stored: Identity,
    here: Place,
    options: &DirOptions,
) -> Result<Identity, OpenError> {
    if let Some(expected) = &options.myid {
        if *expected != stored.myid {
            return Err(OpenError::ForeignIdentity {
                dir: path.to_path_buf(),
                found: stored.myid.to_string(),
                expected: expected.to_string(),
            });
        }
    }
    match moved(&stored.place, &here) {
        None => Ok(stored),
        Some(_) if options.accept_moved => {
            let identity = Identity {
                place: here,
                ..stored
            };
            write_value(&path.join(IDENTITY), Kind::Identity, &identity)?;
            Ok(identity)
        }
        Some(reason) => Err(OpenError::Copied {
            dir: path.to_path_buf(),
            reason,
        }),
    }
}

fn new_identity(path: &Path, place: Place, options: &DirOptions) -> Result<Identity, OpenError> {
    let identity_file = path.join(IDENTITY);
    for name in [LOG, GROUP, SNAPSHOT] {
        if path.join(name).exists() {
            return Err(OpenError::Corrupt {
                path: identity_file,
                reason: format!("missing, although {name} is there"),
            });
        }
    }
    let myid = options
        .myid
        .clone()
        .unwrap_or_else(|| SentinelId::from_bytes(rand::random()));
    // 0 is kept free as "no node".
    let node = NodeId(rand::random::<u64>().max(1));
    let identity = Identity { node, myid, place };
    write_value(&identity_file, Kind::Identity, &identity)?;
    Ok(identity)
}

fn read_value<T: serde::de::DeserializeOwned>(path: &Path, kind: Kind) -> Result<Option<T>, OpenError> {
    let Some(bytes) = sealed::read(path, kind)? else {
        return Ok(None);
    };
    let value = codec::decode(&bytes).map_err(|e| OpenError::undecodable(path, &e))?;
    Ok(Some(value))
}

fn write_value<T: Serialize>(path: &Path, kind: Kind, value: &T) -> Result<(), OpenError> {
    let bytes = codec::encode(value)
        .map_err(|e| OpenError::from_io(path, io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    sealed::write(path, kind, &bytes)
}
