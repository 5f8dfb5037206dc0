//! `RaftHandle`: the only door to the log.

use std::sync::Arc;
use std::time::Duration;

use sentinel_core::replicated::{Change, Command, Rejection, State};
use sentinel_proto::types::NodeId;
use tokio::sync::{mpsc, watch};

use crate::error::{FoundError, OpenError};
use crate::identity::DataDir;
use crate::status::RaftStatus;
use crate::transport::Transport;

/// Timings and limits of the Raft engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSettings {
    /// Shortest and longest election timeout in milliseconds; the longest is also the quorum lease.
    pub election_timeout_ms: (u64, u64),
    /// Interval of heartbeats in milliseconds.
    pub heartbeat_ms: u64,
    /// A snapshot is taken when this many entries were applied since the last one.
    pub snapshot_every: u64,
    /// Entries kept after a snapshot, so that a follower that was briefly away needs no snapshot.
    pub keep_entries: u64,
}

impl Default for RaftSettings {
    fn default() -> Self {
        Self {
            election_timeout_ms: (300, 600),
            heartbeat_ms: 50,
            snapshot_every: 10_000,
            keep_entries: 1_000,
        }
    }
}

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
#[derive(Clone, Debug)]
pub struct RaftHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    status: watch::Receiver<RaftStatus>,
}

const UNFINISHED: &str = "the Raft engine is not part of this build yet";

impl RaftHandle {
    /// Opens the log in `dir`, recovers the state and starts the engine.
    ///
    /// Entries applied before the process started are sent over `applied` again with `replayed: true`, after
    /// this returns with the recovered state. The engine waits when `applied` is full.
    ///
    /// # Errors
    /// Each cause has its variant of [`OpenError`]; nothing is overwritten.
    pub async fn open(
        dir: DataDir,
        settings: RaftSettings,
        transport: Arc<dyn Transport>,
        applied: mpsc::Sender<Applied>,
    ) -> Result<(Self, Arc<State>), OpenError> {
        let _ = (dir, settings, transport, applied);
        Err(OpenError::Raft(UNFINISHED.to_owned()))
    }

    /// Whether this node holds a log: it was founded, or a raft_leader sent it entries.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.status().last_log > 0
    }

    /// The group this node belongs to; `None` before founding.
    #[must_use]
    pub fn cluster_id(&self) -> Option<u64> {
        None
    }

    /// Founds a group with `members` as voters, this node among them. To be called on one node only, once all
    /// members have called [`RaftHandle::adopt_cluster`].
    ///
    /// # Errors
    /// [`FoundError`].
    pub async fn found(&self, members: &[NodeId], cluster_id: u64) -> Result<(), FoundError> {
        let _ = (members, cluster_id);
        Err(FoundError::Raft(UNFINISHED.to_owned()))
    }

    /// Agrees to become a member of group `cluster_id`: durable when this returns. May be repeated with another
    /// group as long as this node holds no log.
    ///
    /// # Errors
    /// [`FoundError::AlreadyInitialised`], and storage errors.
    pub async fn adopt_cluster(&self, cluster_id: u64) -> Result<(), FoundError> {
        let _ = cluster_id;
        Err(FoundError::Raft(UNFINISHED.to_owned()))
    }

    /// Answers a request that a peer's transport delivered. Never fails: errors are part of the answer.
    pub async fn serve(&self, request: Vec<u8>) -> Vec<u8> {
        let _ = request;
        Vec::new()
    }

    /// Proposes a command; forwarded to the raft_leader when that is another node.
    ///
    /// After [`Proposal::Yes`] and [`Proposal::No`] the entry is applied on this node as well, if that happens before the deadline.
    pub async fn propose(&self, command: Command, deadline: Duration) -> Proposal {
        let _ = (command, deadline);
        Proposal::NoMajority(UNFINISHED.to_owned())
    }

    /// Asks whether a majority stands behind what this node has applied. On the raft_leader with a fresh quorum
    /// lease this is a local check without IO; elsewhere the raft_leader is asked.
    pub async fn confirm_authority(&self, deadline: Duration) -> Authority {
        let _ = deadline;
        Authority::Denied(UNFINISHED.to_owned())
    }

    /// Whether this node is the raft_leader and a majority confirmed it within the lease. Cheap.
    #[must_use]
    pub fn has_fresh_lease(&self) -> bool {
        false
    }

    /// The present status.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        self.inner.status.borrow().clone()
    }

    /// Every change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<RaftStatus> {
        self.inner.status.clone()
    }

    /// Hands the role of raft_leader to `to` (a voter), if this node has it.
    ///
    /// # Errors
    /// Text that says why it was refused.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), String> {
        let _ = to;
        Err(UNFINISHED.to_owned())
    }

    /// Stops the engine; what is durable stays so. Returns once the files are closed.
    pub async fn shutdown(&self) {}
}
