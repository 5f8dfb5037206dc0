//! Timings and limits, and what openraft is told of them.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::error::OpenError;

/// Entries sent in one append at most.
const MAX_PAYLOAD_ENTRIES: u64 = 256;
/// Requests waiting for openraft at most; more wait outside.
const API_QUEUE: u64 = 1024;

/// Timings and limits of the Raft engine.
///
/// A raft_leader that fails is replaced after the longest timeout (its quorum lease must have run out) plus a
/// random time between the shortest and the longest: with the default 600 to 800 ms after its last heartbeat.
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
            election_timeout_ms: (200, 400),
            heartbeat_ms: 50,
            snapshot_every: 4096,
            keep_entries: 512,
        }
    }
}

impl RaftSettings {
    /// The quorum lease: so long after a majority answered no other raft_leader can have been elected.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.election_timeout_ms.1)
    }

    /// The part of the lease that this node relies on: the rest covers clocks that run at different speeds and
    /// the time between looking and acting.
    pub(crate) fn safe_lease(&self) -> Duration {
        self.lease() * 4 / 5
    }

    fn silence_ms(&self) -> u64 {
        self.election_timeout_ms.1.saturating_mul(2)
    }

    /// How long a raft_leader that lost its majority is silent, and then sends again, in turns.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms())
    }

    /// `enable_elect`: whether this node may campaign from the start.
    pub(crate) fn config(&self, enable_elect: bool) -> Result<Arc<Config>, OpenError> {
        let config = Config {
            cluster_name: "sentinel".to_owned(),
            election_timeout_min: self.election_timeout_ms.0,
            election_timeout_max: self.election_timeout_ms.1,
            heartbeat_interval: self.heartbeat_ms,
            install_snapshot_timeout: 10_000,
            max_payload_entries: MAX_PAYLOAD_ENTRIES,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            replication_lag_threshold: self.snapshot_every.saturating_add(self.keep_entries),
            purge_batch_size: 64,
            api_channel_size: Some(API_QUEUE),
            enable_pre_vote: Some(true),
            // A raft_leader that restarts is elected again like any other: its lease is gone.
            enable_leader_restore: Some(false),
            // A raft_leader that is heard by its followers but does not hear them falls silent, so that they
            // elect another one. The shortest silence that openraft accepts.
            quorum_loss_probe_interval: Some(self.silence_ms()),
            enable_elect,
            backoff: "10ms 20ms 40ms 80ms ...100ms".to_owned(),
            ..Config::default()
        };
        config
            .validate()
            .map(Arc::new)
            .map_err(|e| OpenError::Settings(e.to_string()))
    }
}
