//! The snapshot file: the whole state in one sealed file, replaced atomically.
//!
//! Order matters: the log is purged only after the snapshot that contains the entries is durable, and a
//! snapshot never replaces a newer one (a slow builder may finish after one was installed).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::codec;
use crate::error::OpenError;
use crate::sealed::{self, Kind};
use crate::types::{LogId, Snapshot, SnapshotBytes, SnapshotMeta};

#[derive(Serialize, Deserialize)]
struct Stored {
    meta: SnapshotMeta,
    state: SnapshotBytes,
}

/// Access to the snapshot of one data directory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotStore {
    path: Arc<PathBuf>,
    /// Log id of the stored snapshot; held while writing.
    stored: Arc<Mutex<Option<LogId>>>,
}

impl SnapshotStore {
    /// Checks the stored snapshot, if any, and returns it. Blocks on the disk.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Option<Snapshot>), OpenError> {
        let snapshot = load(&path)?;
        let stored = snapshot.as_ref().and_then(|s| s.meta.last_log_id);
        let store = Self {
            path: Arc::new(path),
            stored: Arc::new(Mutex::new(stored)),
        };
        Ok((store, snapshot))
    }

    /// Stores a snapshot durably, unless a newer one is stored already.
    pub(crate) async fn save(&self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<()> {
        let mut stored = self.stored.lock().await;
        if *stored > meta.last_log_id {
            return Ok(());
        }
        let file = Stored {
            meta: meta.clone(),
            state: state.to_vec(),
        };
        let path = Arc::clone(&self.path);
        blocking(move || {
            let bytes = codec::encode(&file).map_err(io::Error::other)?;
            sealed::write(&path, Kind::Snapshot, &bytes).map_err(io::Error::other)
        })
        .await?;
        *stored = meta.last_log_id;
        Ok(())
    }

    /// The stored snapshot.
    pub(crate) async fn current(&self) -> io::Result<Option<Snapshot>> {
        let _stored = self.stored.lock().await;
        let path = Arc::clone(&self.path);
        blocking(move || load(&path).map_err(io::Error::other)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn load(path: &Path) -> Result<Option<Snapshot>, OpenError> {
    let Some(bytes) = sealed::read(path, Kind::Snapshot)? else {
        return Ok(None);
    };
    let Stored { meta, state } = codec::decode(&bytes).map_err(|e| OpenError::undecodable(path, &e))?;
    Ok(Some(Snapshot {
        meta,
        snapshot: state,
    }))
}
