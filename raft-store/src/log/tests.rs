use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
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

fn id(term: u64, index: u64) -> LogId {
    LogId {
        leader_id: openraft::impls::leader_id_adv::LeaderId { term, node_id: 1 },
        index,
    }
}

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: openraft::EntryPayload::Blank,
    }
}

fn open(dir: &Path) -> Result<(LogStore, Found), OpenError> {
    LogStore::open(&dir.join("log.redb"), &dir.join("committed"), 1, false)
}

async fn append(log: &mut LogStore, entries: Vec<Entry>) -> Result<(), io::Error> {
    let (done, flushed) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(done)).await?;
    flushed.await.unwrap()
}

/// A log with a vote and entries 0 to 9 of term 1.
async fn filled(dir: &Path) -> (LogStore, Vote) {
    let (mut log, _) = LogStore::open(&dir.join("log.redb"), &dir.join("committed"), 1, true).unwrap();
    let vote = Vote::new_committed(1, 1);
    log.save_vote(&vote).await.unwrap();
    for index in 0..10 {
        append(&mut log, vec![entry(1, index)]).await.unwrap();
    }
    (log, vote)
}

async fn indexes(log: &mut LogStore) -> Vec<u64> {
    let entries = log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|e| e.log_id.index).collect()
}

#[tokio::test]
async fn everything_reported_durable_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, vote) = filled(dir.path()).await;
    log.truncate_after(Some(id(1, 7))).await.unwrap();
    append(&mut log, vec![entry(2, 8), entry(2, 9)]).await.unwrap();
    log.purge(id(1, 3)).await.unwrap();
    log.save_committed(Some(id(2, 8))).await.unwrap();
    log.close().await;
    assert!(log.save_vote(&vote).await.is_err(), "closed");
    let (mut log, found) = open(dir.path()).unwrap();
    assert_eq!(indexes(&mut log).await, vec![4, 5, 6, 7, 8, 9]);
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(2, 8)));
    assert_eq!(
        found,
        Found {
            purged: Some(id(1, 3)),
            replay_until: Some(8),
            has_voted: true
        }
    );
    log.close().await;
}

#[tokio::test]
async fn the_remembered_committed_id_is_used_only_where_the_log_vouches_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = filled(dir.path()).await;
    let cases = [
        (Some(id(1, 9)), Some(id(1, 9)), 9),
        (Some(id(1, 4)), Some(id(1, 4)), 4),
        // The log ends earlier, after a power loss: what is there is of the same raft_leader.
        (Some(id(1, 12)), Some(id(1, 9)), 12),
        // Of another one: nothing is known, and everything counts as replayed.
        (Some(id(2, 12)), None, 9),
        (Some(id(2, 9)), None, 9),
    ];
    for (saved, usable, replay_until) in cases {
        log.save_committed(saved).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), usable, "{saved:?}");
        log.close().await;
        let (reopened, found) = open(dir.path()).unwrap();
        assert_eq!(found.replay_until, Some(replay_until), "{saved:?}");
        log = reopened;
    }
    log.close().await;
}

#[tokio::test]
async fn a_missing_or_foreign_log_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        matches!(open(dir.path()), Err(OpenError::Corrupt { .. })),
        "missing"
    );
    let (log, _) = filled(dir.path()).await;
    let path = dir.path().join("log.redb");
    assert!(matches!(open(dir.path()), Err(OpenError::InUse { .. })), "in use");
    log.close().await;
    let foreign = LogStore::open(&path, &dir.path().join("committed"), 2, true);
    assert!(
        matches!(foreign, Err(OpenError::Corrupt { .. })),
        "of another node"
    );
    fs::write(&path, b"").unwrap();
    assert!(
        matches!(open(dir.path()), Err(OpenError::Corrupt { .. })),
        "empty"
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

/// Damages the file in many places: each time the log opens with everything that was durable, or says that it
/// is damaged.
#[tokio::test]
async fn a_damaged_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = filled(dir.path()).await;
    log.close().await;
    let path = dir.path().join("log.redb");
    let whole = fs::read(&path).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    let flips = used.iter().step_by(used.len() / 60).map(|at| (*at, None));
    let cuts = (1..20).map(|n| (whole.len() * n / 20, Some(())));
    for (at, cut) in flips.chain(cuts) {
        let mut damaged = whole.clone();
        match cut {
            Some(()) => damaged.truncate(at),
            None => damaged[at] ^= 0x41,
        }
        fs::write(&path, &damaged).unwrap();
        match open(dir.path()) {
            Err(OpenError::Corrupt { .. }) => refused += 1,
            Err(e) => panic!("byte {at} {cut:?}: {e}"),
            Ok((mut log, _)) => {
                assert_eq!(
                    indexes(&mut log).await.len(),
                    10,
                    "byte {at} {cut:?}: entries lost"
                );
                log.close().await;
            }
        }
    }
    assert!(refused > 20, "only {refused} damages were noticed");
}

/// A disk that can be made to fail.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    pub(crate) fail: AtomicBool,
    pub(crate) writes: AtomicUsize,
}

#[derive(Debug)]
struct Disk {
    file: redb::backends::FileBackend,
    switch: Arc<Failing>,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        self.switch.writes.fetch_add(1, Ordering::SeqCst);
        if self.switch.fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        Ok(())
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A log in `dir` whose writes fail when `switch` says so.
pub(crate) fn on_failing_disk(dir: &Path, owner: u64, switch: Arc<Failing>) -> (LogStore, Found) {
    let path = dir.join("log.redb");
    create(&path, owner).unwrap();
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let disk = Disk {
        file: redb::backends::FileBackend::new(file).unwrap(),
        switch,
    };
    let db = builder().create_with_backend(disk).unwrap();
    LogStore::start(&path, &dir.join("committed"), owner, db).unwrap()
}
