//! What `apply` changed: published by every node as Sentinel events, in log order, once.

use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, NodeId};
use serde::{Deserialize, Serialize};

use super::plan::PlanOutcome;
use super::state::{Group, Member, OptionChange};

/// One change of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A sentinel is new.
    MemberAdded(NodeId, Member),
    /// A sentinel moved; the second is the address before.
    MemberMoved(NodeId, Member, HostPort),
    /// `+monitor`.
    Monitored(Arc<Group>),
    /// `-monitor`; the group as it was.
    Removed(Arc<Group>),
    /// `+set`, one per option.
    OptionSet(MasterName, OptionChange),
    /// `+reset-master`.
    Reset(MasterName),
    /// `+slave`.
    ReplicaAdded(MasterName, HostPort),
    /// `+new-epoch`.
    EpochRaised(u64),
    /// `+try-failover`, `+vote-for-leader`, `+elected-leader`, `+failover-state-select-slave`.
    PlanOpened(MasterName),
    /// `+selected-slave`, `+failover-state-send-slaveof-noone`.
    ReplicaChosen(MasterName, HostPort),
    /// `+elected-leader` of the new executor (with `+vote-for-leader`).
    ExecutorChanged {
        /// Group.
        master: MasterName,
        /// Before.
        from: NodeId,
        /// Now.
        to: NodeId,
    },
    /// `+promoted-slave`, `+config-update-from`, `+switch-master`, then `+slave` for each replica.
    Switched {
        /// Group.
        master: MasterName,
        /// Old address.
        from: HostPort,
        /// New address.
        to: HostPort,
        /// Who executed.
        executor: NodeId,
        /// Epoch of the new address.
        config_epoch: u64,
    },
    /// An operator moved the first address of a group in the file, or a newer file of a classic Sentinel was imported.
    AddressSet {
        /// Group.
        master: MasterName,
        /// Old address.
        from: HostPort,
        /// New address.
        to: HostPort,
    },
    /// `+failover-end`, `-failover-abort-...`.
    PlanClosed {
        /// Group.
        master: MasterName,
        /// Plan.
        failover_epoch: u64,
        /// Who executed.
        executor: NodeId,
        /// How it ended.
        outcome: PlanOutcome,
        /// The chosen replica, if any.
        replica: Option<HostPort>,
    },
}
