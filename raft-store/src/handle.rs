//! `RaftHandle`: the only door to the log.
//!
//! After a restart a node neither votes nor campaigns for one lease. Before the restart it may have confirmed a
//! raft_leader that still relies on that confirmation; openraft forgets the time of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use sentinel_core::replicated::{Change, Command, Rejection, State};
use sentinel_proto::types::NodeId;
use tokio::sync::{Mutex, mpsc, watch};

use crate::clock::{Instant, left, now};
use crate::error::{FoundError, OpenError};
use crate::identity::{self, DataDir};
use crate::log::{Found, LogStore};
use crate::machine::{Machine, View};
use crate::network::{Links, Peers};
use crate::observe::Observer;
use crate::settings::RaftSettings;
use crate::snapshot::SnapshotStore;
use crate::status::RaftStatus;
use crate::transport::Transport;
use crate::types::{Raft, index_of};

/// Time for the engine to report for the first time.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// Time for the other side to take over in a transfer.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(2);

/// One applied entry, or one installed snapshot; in log order.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Index of the entry (of the snapshot's last one).
    pub index: u64,
    /// State after it.
    pub state: Arc<State>,
    /// What it changed; empty for a snapshot, and for entries that change nothing.
    pub changes: Vec<Change>,
    /// Applied before this process started, or contained in a snapshot: its changes are not published again.
    pub replayed: bool,
}

/// The answer to a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// Committed and applied with `Outcome::Done`.
    Yes {
        /// Index of the entry.
        index: u64,
    },
    /// Committed, and refused by `apply`: nothing changed.
    No(Rejection),
    /// Certainly not accepted: what is missing. Trying again is safe.
    NoMajority(String),
    /// It may have been committed, or may still be.
    Unknown(String),
}

/// Whether this node may act in the name of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// A majority stood behind the raft_leader a moment ago, and everything committed until then is applied here.
    Granted {
        /// Applied index at that moment, or later.
        applied_index: u64,
    },
    /// Not now, and why.
    Denied(String),
}

/// The only door to the log. Cheap to clone.
#[derive(Clone)]
pub struct RaftHandle {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for RaftHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftHandle")
            .field("node", &self.inner.me)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) me: NodeId,
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) observer: Observer,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) status: watch::Receiver<RaftStatus>,
    pub(crate) cluster_id: Arc<AtomicU64>,
    /// Until when this node does not vote.
    pub(crate) no_votes_until: Option<Instant>,
    pub(crate) heard_leader: watch::Sender<Option<(u64, Instant)>>,
    /// The term in which this node gave its role away; 0 = none. From then on it does not rely on its lease.
    pub(crate) transferred_term: AtomicU64,
    log: LogStore,
    dir: Mutex<Option<DataDir>>,
}

impl RaftHandle {
    /// Opens the log in `dir`, recovers the state and starts the engine. Call it on the runtime that is to run
    /// the engine.
    ///
    /// The returned state contains everything known to be committed when the process ended; nothing of that is
    /// sent over `applied`. What comes after is, in order; the engine waits when the channel is full. Entries
    /// that were possibly applied before are marked [`Applied::replayed`].
    ///
    /// # Errors
    /// Each cause has its variant of [`OpenError`]; nothing is overwritten.
    pub async fn open(
        dir: DataDir,
        settings: RaftSettings,
        transport: Arc<dyn Transport>,
        applied: mpsc::Sender<Applied>,
    ) -> Result<(Self, Arc<State>), OpenError> {
        let (dir, stores) = tokio::task::spawn_blocking(move || Stores::open(&dir).map(|s| (dir, s)))
            .await
            .map_err(|e| OpenError::Raft(e.to_string()))??;
        Self::start(dir, stores, settings, transport, applied).await
    }

    async fn start(
        dir: DataDir,
        stores: Stores,
        settings: RaftSettings,
        transport: Arc<dyn Transport>,
        applied: mpsc::Sender<Applied>,
    ) -> Result<(Self, Arc<State>), OpenError> {
        let me = dir.node();
        let may_vote = !stores.found.has_voted;
        let config = settings.config(may_vote)?;
        let cluster_id = Arc::new(AtomicU64::new(dir.cluster_id().unwrap_or(0)));
        let peers = Arc::new(Peers::new(
            me.0,
            transport,
            Arc::clone(&cluster_id),
            settings.lease(),
        ));
        let recovering = Arc::new(AtomicBool::new(true));
        let (view_sender, view) = watch::channel(View::default());
        let machine = Machine::new(
            stores.snapshots,
            view_sender,
            applied,
            stores.replay_until,
            Arc::clone(&recovering),
        );
        let log = stores.log;
        let raft = Raft::build(me.0, config, Links(Arc::clone(&peers)), log.clone(), machine)
            .await
            .map_err(|e| OpenError::Raft(e.to_string()))?;
        recovering.store(false, Ordering::Release);
        let state = Arc::clone(&view.borrow().state);
        let (heard_leader, heard) = watch::channel(None);
        let observer = Observer {
            me: me.0,
            metrics: raft.metrics(),
            peers: Arc::clone(&peers),
            heard_leader: heard,
            log_failed: log.failed(),
            settings: settings.clone(),
        };
        raft.run();
        engine_started(&raft).await?;
        let (status_sender, status) = watch::channel(observer.status());
        tokio::spawn(observer.clone().run(status_sender));
        let no_votes_until = (!may_vote).then(|| now() + settings.lease());
        if let Some(until) = no_votes_until {
            let patience_ms = settings.election_timeout_ms.0;
            tokio::spawn(campaign_after(raft.clone(), until, patience_ms));
        }
        let inner = Inner {
            me,
            raft,
            peers,
            observer,
            view,
            status,
            cluster_id,
            no_votes_until,
            heard_leader,
            transferred_term: AtomicU64::new(0),
            log,
            dir: Mutex::new(Some(dir)),
        };
        let inner = Arc::new(inner);
        Ok((Self { inner }, state))
    }

    /// Whether this node holds a log: it was founded, or a raft_leader sent it entries.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.inner.observer.is_initialised()
    }

    /// The group this node belongs to; `None` before founding.
    #[must_use]
    pub fn cluster_id(&self) -> Option<u64> {
        Some(self.inner.cluster_id.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// Founds a group with `members` as voters, this node among them. To be called on one node only, once all
    /// members have called [`RaftHandle::adopt_cluster`]. `cluster_id` must not be 0.
    ///
    /// # Errors
    /// [`FoundError`].
    pub async fn found(&self, members: &[NodeId], cluster_id: u64) -> Result<(), FoundError> {
        if !members.contains(&self.inner.me) {
            return Err(FoundError::NotAMember);
        }
        if self.is_initialised() {
            return Err(FoundError::AlreadyInitialised(self.cluster_id().unwrap_or(0)));
        }
        self.adopt_cluster(cluster_id).await?;
        let members: std::collections::BTreeMap<u64, ()> = members.iter().map(|node| (node.0, ())).collect();
        let raft = &self.inner.raft;
        raft.initialize(members)
            .await
            .map_err(|e| FoundError::Raft(e.to_string()))?;
        // From here on `status` shows the members.
        let shown = raft.wait(Some(START_DEADLINE));
        let shown = shown.metrics(|m| m.last_log_index.is_some(), "founded").await;
        shown.map(|_| ()).map_err(|e| FoundError::Raft(e.to_string()))
    }

    /// Agrees to become a member of group `cluster_id` (not 0): durable when this returns. Until then no request
    /// of that group is served. May be repeated with another group as long as this node holds no log.
    ///
    /// # Errors
    /// [`FoundError::AlreadyInitialised`], and storage errors.
    pub async fn adopt_cluster(&self, cluster_id: u64) -> Result<(), FoundError> {
        if cluster_id == 0 {
            return Err(FoundError::Raft("0 is not a group".to_owned()));
        }
        let mut slot = self.inner.dir.lock().await;
        if self.is_initialised() {
            return match self.cluster_id() {
                Some(own) if own == cluster_id => Ok(()),
                own => Err(FoundError::AlreadyInitialised(own.unwrap_or(0))),
            };
        }
        let Some(mut dir) = slot.take() else {
            return Err(FoundError::Raft("shut down".to_owned()));
        };
        let (dir, stored) = tokio::task::spawn_blocking(move || {
            let stored = dir.store_cluster_id(cluster_id);
            (dir, stored)
        })
        .await
        .map_err(|e| FoundError::Raft(e.to_string()))?;
        *slot = Some(dir);
        stored?;
        self.inner.cluster_id.store(cluster_id, Ordering::Release);
        Ok(())
    }

    /// Answers a request that a peer's transport delivered. Never fails: errors are part of the answer.
    pub async fn serve(&self, request: Vec<u8>) -> Vec<u8> {
        self.inner.serve(&request).await
    }

    /// Proposes a command; forwarded to the raft_leader when that is another node.
    ///
    /// Not to be awaited by the task that drains the `applied` channel: applying waits when that is full.
    ///
    /// It is tried again only while it is certain that nobody accepted it. After [`Proposal::Yes`] and
    /// [`Proposal::No`] the entry is applied on this node as well, if that happens before the deadline.
    pub async fn propose(&self, command: Command, deadline: Duration) -> Proposal {
        self.inner.propose(command, deadline).await
    }

    /// Asks whether a majority stands behind what this node has applied. On the raft_leader with a fresh quorum
    /// lease this is a local check without IO; elsewhere the raft_leader is asked.
    pub async fn confirm_authority(&self, deadline: Duration) -> Authority {
        self.inner.confirm_authority(deadline).await
    }

    /// Whether this node is the raft_leader, a majority confirmed it within the lease, and it has applied all
    /// that was committed before it was elected. Cheap.
    #[must_use]
    pub fn has_fresh_lease(&self) -> bool {
        self.inner.has_fresh_lease()
    }

    /// The newest applied state. The same as in [`Applied`], but possibly ahead of what was received there.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.inner.view.borrow().state)
    }

    /// The present status, with ages as of now.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        self.inner.observer.status()
    }

    /// Every change of the status (ages alone are no change).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<RaftStatus> {
        self.inner.status.clone()
    }

    /// Hands the role of raft_leader to `to` (a voter), if this node has it.
    ///
    /// # Errors
    /// Text that says why it did not happen.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), String> {
        let status = self.status();
        if status.raft_leader != Some(self.inner.me) {
            return Err("this node is not the raft_leader".to_owned());
        }
        if !status.voters.contains(&to) || to == self.inner.me {
            return Err(format!("{to} is not another voter"));
        }
        // Before anything is sent: the other side may be elected within this node's lease.
        self.inner
            .transferred_term
            .store(status.raft_term, Ordering::SeqCst);
        self.inner
            .raft
            .trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|e| e.to_string())?;
        let until = now() + TRANSFER_DEADLINE;
        let mut statuses = self.watch();
        let moved = statuses.wait_for(|s| s.raft_leader == Some(to));
        match tokio::time::timeout(left(until), moved).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("{to} did not take over in time")),
        }
    }

    /// Stops the engine; what is durable stays so. Returns once the files are closed and the directory is free.
    pub async fn shutdown(&self) {
        if let Err(e) = self.inner.raft.shutdown().await {
            tracing::warn!(error = %e, "raft: shutdown");
        }
        self.inner.log.close().await;
        self.inner.dir.lock().await.take();
    }
}

/// The parts of a data directory that the engine works on.
struct Stores {
    log: LogStore,
    found: Found,
    snapshots: SnapshotStore,
    replay_until: Option<u64>,
}

impl Stores {
    fn open(dir: &DataDir) -> Result<Self, OpenError> {
        let path = dir.path();
        let (snapshots, snapshot) = SnapshotStore::open(path.join(identity::SNAPSHOT))?;
        let may_create = dir.cluster_id().is_none() && snapshot.is_none();
        let log_path = path.join(identity::LOG);
        let (log, found) = LogStore::open(
            &log_path,
            &path.join(identity::COMMITTED),
            dir.node().0,
            may_create,
        )?;
        let in_snapshot = snapshot.and_then(|s| s.meta.last_log_id);
        if found.purged > in_snapshot {
            return Err(OpenError::Corrupt {
                path: path.join(identity::SNAPSHOT),
                reason: format!(
                    "reaches entry {}, but the log starts after entry {}",
                    index_of(in_snapshot.as_ref()),
                    index_of(found.purged.as_ref())
                ),
            });
        }
        let replay_until = found.replay_until.max(in_snapshot.map(|id| id.index));
        Ok(Self {
            log,
            found,
            snapshots,
            replay_until,
        })
    }
}

/// The engine reports what it recovered first of all; before that its metrics are those of an empty node.
async fn engine_started(raft: &Raft) -> Result<(), OpenError> {
    let mut metrics = raft.metrics();
    match tokio::time::timeout(START_DEADLINE, metrics.changed()).await {
        Ok(_) => Ok(()),
        Err(_) => Err(OpenError::Raft("the engine did not start in time".to_owned())),
    }
}

/// Lets a restarted node campaign, a random moment after its peers that restarted with it.
async fn campaign_after(raft: Raft, until: Instant, spread_ms: u64) {
    let jitter = Duration::from_millis(rand::random_range(0..=spread_ms));
    tokio::time::sleep_until(until + jitter).await;
    raft.runtime_config().elect(true);
}

#[cfg(test)]
mod tests;
