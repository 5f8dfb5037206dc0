//! What a node knows about its place in the Raft group.

use std::collections::BTreeSet;
use std::fmt;

use sentinel_proto::types::NodeId;

/// Role in the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaftRole {
    /// Commits entries while a majority answers.
    Leader,
    /// Votes and stores entries.
    Follower,
    /// Stores entries, does not vote. Also a node that is in no group yet.
    Learner,
    /// Asks for votes.
    Candidate,
}

impl RaftRole {
    /// As shown by `SENTINEL RAFT STATUS` and the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Display for RaftRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A snapshot of one node's view; published on every change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftStatus {
    /// Role of this node.
    pub role: RaftRole,
    /// This node.
    pub node: NodeId,
    /// The raft_leader as known here; `None` while there is none.
    pub raft_leader: Option<NodeId>,
    /// Raft's term; never shown as an epoch.
    pub raft_term: u64,
    /// Index of the last entry stored; 0 = none.
    pub last_log: u64,
    /// Index up to which entries are known to be committed; 0 = none.
    pub committed: u64,
    /// Index up to which entries are applied; 0 = none.
    pub applied: u64,
    /// Index up to which the last snapshot reaches; 0 = none.
    pub snapshot: u64,
    /// Members that vote.
    pub voters: BTreeSet<NodeId>,
    /// Members that do not.
    pub learners: BTreeSet<NodeId>,
    /// On the raft_leader: milliseconds since a majority last confirmed it; `None` elsewhere, or never.
    pub quorum_ack_age_ms: Option<u64>,
    /// A storage error: this node does not vote or store any more, and must be restarted once it is repaired.
    pub failed: Option<String>,
    /// In contact with a majority: the raft_leader by its quorum lease, a follower by hearing from the
    /// raft_leader within the election timeout.
    pub has_majority: bool,
    /// Voters that do not answer this node. A follower that hears from the raft_leader does not ask the others,
    /// so there it is empty.
    pub unreachable: BTreeSet<NodeId>,
}

impl RaftStatus {
    /// `raft_majority`: votes needed, 0 while there is no group.
    #[must_use]
    pub fn raft_majority(&self) -> usize {
        if self.voters.is_empty() {
            0
        } else {
            self.voters.len() / 2 + 1
        }
    }
}
