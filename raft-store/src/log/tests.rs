use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::machine::{Machine, View};
use crate::snapshot::SnapshotStore;

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = LogStore::open(
            &dir.path().join("log.redb"),
            &dir.path().join("committed"),
            1,
            true,
        )
        .unwrap();
        let (snapshots, _) = SnapshotStore::open(dir.path().join("snapshot")).unwrap();
        let (out, _) = mpsc::channel(1);
        let (view, _) = watch::channel(View::default());
        let machine = Machine::new(snapshots, view, out, None, Arc::new(AtomicBool::new(false)));
        Ok((dir, log, machine))
    }
}

#[tokio::test]
async fn openrafts_own_storage_suite_passes() {
    Suite::test_all(OnDisk).await.unwrap();
}
