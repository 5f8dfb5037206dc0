//! From openraft's metrics to [`RaftStatus`]; and the silence of a raft_leader that nobody answers.
//!
//! A raft_leader that is heard but does not hear would keep its followers from electing another one for ever.
//! openraft withholds its heartbeats then (`quorum_loss_probe_interval`), but it goes on repeating appends, which
//! count as heartbeats at the follower. So the same rule is applied to all appends here:
//!
//! ```text
//! last answer of a majority ── lease ──|── silent ──|── sending ──|── silent ── ...   (each two leases long)
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use sentinel_proto::types::NodeId;
use tokio::sync::watch;

use crate::clock::{Instant, now};
use crate::network::Peers;
use crate::settings::RaftSettings;
use crate::status::{RaftRole, RaftStatus};
use crate::types::{TypeConfig, index_of, nodes};

/// How often a status is computed when openraft reports nothing: silence is a change too.
const LOOK_EVERY: Duration = Duration::from_millis(50);

type Metrics = RaftMetrics<TypeConfig>;

/// Computes the status of a node. Clones look at the same node.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) me: u64,
    pub(crate) metrics: WatchReceiverOf<TypeConfig, Metrics>,
    pub(crate) peers: Arc<Peers>,
    /// The raft_leader this node last accepted an append from, and when.
    pub(crate) heard_leader: watch::Receiver<Option<(u64, Instant)>>,
    /// The first error of the log.
    pub(crate) log_failed: watch::Receiver<Option<String>>,
    pub(crate) settings: RaftSettings,
}

impl Observer {
    /// The status now.
    pub(crate) fn status(&self) -> RaftStatus {
        let metrics = self.metrics.borrow_watched();
        let failed = self.failure(&metrics);
        let running = metrics.running_state.is_ok() && failed.is_none();
        let leading = running && metrics.state == ServerState::Leader;
        let membership = metrics.membership_config.membership();
        let voters = nodes(membership.voter_ids());
        let ack_age = metrics
            .last_quorum_acked
            .filter(|_| leading)
            .map(|at| millis(at.elapsed()));
        let has_majority = running && self.has_majority(&metrics, leading, ack_age);
        RaftStatus {
            role: if running {
                role(metrics.state)
            } else {
                RaftRole::Learner
            },
            node: NodeId(self.me),
            raft_leader: self
                .raft_leader(&metrics, leading)
                .filter(|_| running)
                .map(NodeId),
            raft_term: metrics.current_term,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index_of(metrics.local_committed.as_ref()),
            applied: index_of(metrics.last_applied.as_ref()),
            snapshot: index_of(metrics.snapshot.as_ref()),
            unreachable: self.unreachable(&voters, leading, has_majority),
            learners: nodes(membership.learner_ids()),
            voters,
            quorum_ack_age_ms: ack_age,
            failed,
            has_majority,
        }
    }

    /// Whether a log is there: an entry was stored, or a snapshot installed.
    pub(crate) fn is_initialised(&self) -> bool {
        self.metrics.borrow_watched().last_log_index.is_some()
    }

    /// The term in which this node is the raft_leader with a lease it may rely on, and has applied an entry of
    /// its own: only then does it know all that is committed.
    pub(crate) fn leased_term(&self) -> Option<u64> {
        let metrics = self.metrics.borrow_watched();
        let leading = self.failure(&metrics).is_none()
            && metrics.running_state.is_ok()
            && metrics.state == ServerState::Leader;
        let caught_up = metrics
            .last_applied
            .is_some_and(|id| id.leader_id.term == metrics.current_term);
        let fresh = self.is_alone(&metrics)
            || metrics
                .last_quorum_acked
                .is_some_and(|at| at.elapsed() < self.settings.safe_lease());
        (leading && caught_up && fresh).then_some(metrics.current_term)
    }

    fn failure(&self, metrics: &Metrics) -> Option<String> {
        if let Some(error) = &*self.log_failed.borrow() {
            return Some(format!("raft log: {error}"));
        }
        match &metrics.running_state {
            Ok(()) | Err(Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        }
    }

    /// Whether a proposal made here can be committed, as far as is known: a raft_leader whose lease has ended, or whose
    /// connections have, would only append what nobody may ever hear of. A node that does not lead refuses by itself.
    pub(crate) fn may_commit(&self) -> bool {
        let metrics = self.metrics.borrow_watched();
        if metrics.state != ServerState::Leader || self.is_alone(&metrics) {
            return true;
        }
        let age = metrics.last_quorum_acked.map(|at| millis(at.elapsed()));
        let reached = |node: &u64| *node == self.me || self.peers.is_connected(*node);
        let membership = metrics.membership_config.membership();
        let connected = membership
            .get_joint_config()
            .iter()
            .all(|voters| voters.iter().filter(|node| reached(node)).count() > voters.len() / 2);
        connected && self.has_majority(&metrics, true, age)
    }

    /// Whether this node is the only voter, and so a majority.
    fn is_alone(&self, metrics: &Metrics) -> bool {
        metrics.membership_config.membership().voter_ids().eq([self.me])
    }

    fn has_majority(&self, metrics: &Metrics, leading: bool, ack_age_ms: Option<u64>) -> bool {
        let lease_ms = self.settings.election_timeout_ms.1;
        if leading {
            return self.is_alone(metrics) || ack_age_ms.is_some_and(|age| age < lease_ms);
        }
        self.follows(metrics).is_some()
    }

    fn raft_leader(&self, metrics: &Metrics, leading: bool) -> Option<u64> {
        if leading {
            Some(self.me)
        } else {
            self.follows(metrics)
        }
    }

    /// The raft_leader, if this node heard from it within the lease.
    fn follows(&self, metrics: &Metrics) -> Option<u64> {
        let (leader, at) = (*self.heard_leader.borrow())?;
        let fresh = now() < at + self.settings.lease();
        (fresh && metrics.current_leader == Some(leader)).then_some(leader)
    }

    fn unreachable(&self, voters: &BTreeSet<NodeId>, leading: bool, has_majority: bool) -> BTreeSet<NodeId> {
        if !leading && has_majority {
            return BTreeSet::new();
        }
        // Without a raft_leader nodes talk only when one of them campaigns.
        let patience = if leading {
            self.settings.lease()
        } else {
            self.settings.lease() * 3
        };
        let silent = |node: &NodeId| {
            self.peers
                .last_heard(node.0)
                .is_none_or(|at| at + patience < now())
        };
        voters
            .iter()
            .filter(|node| node.0 != self.me)
            .filter(|node| silent(node))
            .copied()
            .collect()
    }

    /// Whether a raft_leader without a majority must be silent now. `since` is when it was elected: what counts
    /// until a majority has answered it for the first time.
    fn must_be_quiet(&self, since: Instant) -> bool {
        let metrics = self.metrics.borrow_watched();
        if self.is_alone(&metrics) {
            return false;
        }
        let age = match metrics.last_quorum_acked {
            Some(at) => at.elapsed(),
            None => now().saturating_duration_since(since),
        };
        let slot = age.checked_sub(self.settings.lease());
        slot.is_some_and(|past| past.as_millis() / self.settings.silence().as_millis().max(1) % 2 == 0)
    }

    /// Publishes the status until the engine ends.
    pub(crate) async fn run(mut self, status: watch::Sender<RaftStatus>) {
        let mut leading_since = None;
        loop {
            let ended = match tokio::time::timeout(LOOK_EVERY, self.metrics.changed()).await {
                Ok(changed) => changed.is_err(),
                Err(_) => false,
            };
            let next = self.status();
            leading_since = match next.role {
                RaftRole::Leader => leading_since.or_else(|| Some(now())),
                _ => None,
            };
            self.peers
                .set_quiet(leading_since.is_some_and(|since| self.must_be_quiet(since)));
            status.send_if_modified(|last| {
                let news = RaftStatus {
                    quorum_ack_age_ms: last.quorum_ack_age_ms,
                    ..next.clone()
                } != *last;
                *last = next;
                news
            });
            if ended {
                return;
            }
        }
    }
}

fn role(state: ServerState) -> RaftRole {
    match state {
        ServerState::Leader => RaftRole::Leader,
        ServerState::Follower => RaftRole::Follower,
        ServerState::Candidate => RaftRole::Candidate,
        ServerState::Learner | ServerState::Shutdown => RaftRole::Learner,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
