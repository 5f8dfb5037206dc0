//! The log store: entries and vote in redb, mirrored in memory.
//!
//! * Writing goes through [`crate::writer`]; reading never touches the disk: all entries since the last purge
//!   are kept in memory, bounded by `RaftSettings::snapshot_every` + `keep_entries`. An entry is readable as
//!   soon as it is queued, as openraft requires, and durable when its callback runs.
//! * Opening checks everything: redb's page checksums, each record's own checksum, that indexes have no gap.
//!   A damaged log is an error; the one thing that is cut is what redb itself rolls back, a transaction that
//!   was never reported durable.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{RwLock, watch};

use crate::checksum::crc32;
use crate::codec;
use crate::committed::CommittedFile;
use crate::error::OpenError;
use crate::sealed;
use crate::types::{Entry, LogId, TypeConfig, Vote};
use crate::writer::{LOG, META, OWNER, Op, PURGED, VOTE, Writer};

/// redb's page cache: the log is read from memory, so redb needs little.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// What the log holds.
#[derive(Debug, Default)]
struct Mirror {
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl Mirror {
    fn last(&self) -> Option<LogId> {
        self.entries
            .last_key_value()
            .map(|(_, e)| e.log_id)
            .or(self.purged)
    }

    /// The part of the remembered committed id that this log can vouch for.
    ///
    /// After a power loss the log may end before it, or hold an entry of another raft_leader there. A log whose
    /// last entry is of the same raft_leader is a prefix of what was committed; otherwise nothing is known.
    fn usable_committed(&self) -> Option<LogId> {
        let committed = self.committed?;
        let last = self.last()?;
        if committed.index > last.index {
            return (last.leader_id == committed.leader_id).then_some(last);
        }
        match self.entries.get(&committed.index) {
            Some(entry) => (entry.log_id == committed).then_some(committed),
            // Purged: it is in a snapshot.
            None => (self.purged.is_some_and(|p| committed <= p)).then_some(committed),
        }
    }
}

/// The log of one node. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    mirror: Arc<RwLock<Mirror>>,
    writer: Writer,
    committed_file: Arc<CommittedFile>,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Last entry removed because a snapshot contains it.
    pub(crate) purged: Option<LogId>,
    /// Entries up to this index were applied, and their changes published, before: the remembered committed
    /// index, or the last entry when it was lost.
    pub(crate) replay_until: Option<u64>,
    /// Whether this node ever voted.
    pub(crate) has_voted: bool,
}

impl LogStore {
    /// Opens the log at `path`, creating it when `may_create`. Blocks on the disk.
    pub(crate) fn open(
        path: &Path,
        committed_path: &Path,
        owner: u64,
        may_create: bool,
    ) -> Result<(Self, Found), OpenError> {
        match fs::metadata(path) {
            Ok(meta) if meta.len() == 0 => return Err(corrupt(path, "empty")),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound && may_create => create(path, owner)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt(path, "missing, although this node belongs to a group"));
            }
            Err(e) => return Err(OpenError::from_io(path, e)),
        }
        let db = builder().open(path).map_err(|e| redb_error(path, e.into()))?;
        Self::start(path, committed_path, owner, db)
    }

    fn start(
        path: &Path,
        committed_path: &Path,
        owner: u64,
        db: Database,
    ) -> Result<(Self, Found), OpenError> {
        let mut mirror = load(path, &db, owner)?;
        let (committed_file, committed) = CommittedFile::open(committed_path)?;
        mirror.committed = committed;
        let last = mirror.last();
        let replay_until = match (committed, mirror.usable_committed()) {
            (Some(committed), Some(_)) => Some(committed.index),
            _ => last.map(|id| id.index),
        };
        let found = Found {
            purged: mirror.purged,
            replay_until,
            has_voted: mirror.vote.is_some(),
        };
        let writer = Writer::start(db).map_err(|e| OpenError::from_io(path, e))?;
        let mirror = Arc::new(RwLock::new(mirror));
        Ok((
            Self {
                mirror,
                writer,
                committed_file: Arc::new(committed_file),
            },
            found,
        ))
    }

    /// The first error of writing; nothing was written after it.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.writer.failed()
    }

    /// Closes the file; later requests fail.
    pub(crate) async fn close(&self) {
        self.writer.stop().await;
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// Makes an empty log aside and renames it, so that a log file is whole from its first moment.
fn create(path: &Path, owner: u64) -> Result<(), OpenError> {
    let aside = sealed::aside(path);
    let made = || -> Result<(), redb::Error> {
        let db = builder().create(&aside)?;
        let transaction = db.begin_write()?;
        {
            transaction.open_table(LOG)?;
            let record = seal_record(OWNER.as_bytes(), &owner).map_err(redb::Error::Io)?;
            transaction.open_table(META)?.insert(OWNER, record.as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    };
    made().map_err(|e| redb_error(path, e))?;
    restrict(&aside)
        .and_then(|()| fs::rename(&aside, path))
        .map_err(|e| OpenError::from_io(path, e))?;
    sealed::sync_parent(path).map_err(|e| OpenError::from_io(path, e))
}

fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn load(path: &Path, db: &Database, owner: u64) -> Result<Mirror, OpenError> {
    let error = |e: redb::Error| redb_error(path, e);
    let transaction = db.begin_read().map_err(|e| error(e.into()))?;
    let meta = transaction.open_table(META).map_err(|e| error(e.into()))?;
    let log = transaction.open_table(LOG).map_err(|e| error(e.into()))?;
    let fact = |name: &str| meta.get(name).map_err(|e| error(e.into()));
    let found: Option<u64> = match fact(OWNER)? {
        Some(record) => Some(open_record(path, OWNER.as_bytes(), record.value())?),
        None => None,
    };
    if found != Some(owner) {
        return Err(corrupt(
            path,
            "belongs to another node than the identity file beside it",
        ));
    }
    let mut mirror = Mirror::default();
    if let Some(record) = fact(VOTE)? {
        mirror.vote = Some(open_record(path, VOTE.as_bytes(), record.value())?);
    }
    if let Some(record) = fact(PURGED)? {
        mirror.purged = Some(open_record(path, PURGED.as_bytes(), record.value())?);
    }
    let mut expected = mirror.purged.map(|id| id.index + 1);
    for item in log.iter().map_err(|e| error(e.into()))? {
        let (key, record) = item.map_err(|e| error(e.into()))?;
        let index = key.value();
        let entry: Entry = open_record(path, &index.to_le_bytes(), record.value())?;
        if entry.log_id.index != index || expected.unwrap_or(index) != index {
            return Err(corrupt(
                path,
                &format!("entry {index} does not follow the one before it"),
            ));
        }
        expected = Some(index + 1);
        mirror.entries.insert(index, entry);
    }
    Ok(mirror)
}

/// `crc32 over key and value | value`.
fn seal_record<T: Serialize>(key: &[u8], value: &T) -> io::Result<Vec<u8>> {
    let encoded = codec::encode(value).map_err(io::Error::other)?;
    let mut record = record_crc(key, &encoded).to_le_bytes().to_vec();
    record.extend_from_slice(&encoded);
    Ok(record)
}

fn open_record<T: DeserializeOwned>(path: &Path, key: &[u8], record: &[u8]) -> Result<T, OpenError> {
    let (crc, encoded) = record
        .split_at_checked(4)
        .ok_or_else(|| corrupt(path, "a record is cut off"))?;
    if record_crc(key, encoded).to_le_bytes() != *crc {
        return Err(corrupt(path, "the checksum of a record does not match"));
    }
    codec::decode(encoded).map_err(|e| OpenError::undecodable(path, &e))
}

fn record_crc(key: &[u8], encoded: &[u8]) -> u32 {
    let mut bytes = key.to_vec();
    bytes.extend_from_slice(encoded);
    crc32(&bytes)
}

fn corrupt(path: &Path, reason: &str) -> OpenError {
    OpenError::Corrupt {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    }
}

fn redb_error(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => corrupt(path, &e.to_string()),
        redb::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => corrupt(path, "cut off"),
        redb::Error::Io(e) => OpenError::from_io(path, e),
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse {
            dir: path.parent().unwrap_or(path).to_path_buf(),
            pid: None,
        },
        other => corrupt(path, &other.to_string()),
    }
}

/// A read-only view; shares the mirror.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    mirror: Arc<RwLock<Mirror>>,
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(at) => *at,
            Bound::Excluded(at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(at) => at.saturating_add(1),
            Bound::Excluded(at) => *at,
            Bound::Unbounded => u64::MAX,
        };
        if start >= end {
            return Ok(Vec::new());
        }
        Ok(self
            .mirror
            .read()
            .await
            .entries
            .range(start..end)
            .map(|(_, e)| e.clone())
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.mirror.read().await.vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let mirror = self.mirror.read().await;
        Ok(LogState {
            last_purged_log_id: mirror.purged,
            last_log_id: mirror.last(),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader {
            mirror: Arc::clone(&self.mirror),
        }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let record = seal_record(VOTE.as_bytes(), vote)?;
        self.writer.perform(|done| Op::Vote(record, done)).await?;
        self.mirror.write().await.vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(id) = committed else { return Ok(()) };
        self.committed_file.write(&id)?;
        self.mirror.write().await.committed = Some(id);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.mirror.read().await.usable_committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut records = Vec::with_capacity(entries.len());
        for entry in &entries {
            let index = entry.log_id.index;
            records.push((index, seal_record(&index.to_le_bytes(), entry)?));
        }
        self.mirror
            .write()
            .await
            .entries
            .extend(entries.into_iter().map(|e| (e.log_id.index, e)));
        self.writer.submit(Op::Append(records, callback)).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |id| id.index.saturating_add(1));
        self.mirror.write().await.entries.split_off(&from);
        self.writer.perform(|done| Op::Truncate(from, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let record = seal_record(PURGED.as_bytes(), &log_id)?;
        {
            let mut mirror = self.mirror.write().await;
            mirror.entries = mirror.entries.split_off(&log_id.index.saturating_add(1));
            mirror.purged = mirror.purged.max(Some(log_id));
        }
        self.writer.submit(Op::Purge(log_id.index, record)).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
