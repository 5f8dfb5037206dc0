//! The types that openraft is instantiated with; private to this crate.

use std::fmt;

use sentinel_core::replicated::{Command, Outcome};
use sentinel_proto::types::NodeId;
use serde::{Deserialize, Serialize};

/// A command as an entry of the log.
///
/// Version policy: an entry that this build cannot decode (a command of a newer build) is refused, never
/// skipped. A follower refuses the append and falls behind; a node that finds one in its own log does not
/// start. So a group is upgraded node by node, and new commands are used only once all nodes know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logged(pub(crate) Command);

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

openraft::declare_raft_types!(
    /// openraft's view of this crate.
    pub(crate) TypeConfig:
        D = Logged,
        R = Outcome,
        NodeId = u64,
        Node = (),
        AsyncRuntime = openraft::impls::TokioRuntime,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;

/// A state's snapshot as it is stored and sent: the encoded `State`.
pub(crate) type SnapshotBytes = Vec<u8>;
pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotBytes>;

/// Index of an optional log id; 0 = none.
pub(crate) fn index_of(id: Option<&LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}

/// Node ids as the public API has them.
pub(crate) fn nodes(ids: impl Iterator<Item = u64>) -> std::collections::BTreeSet<NodeId> {
    ids.map(NodeId).collect()
}
