//! Inputs, effects and operations on Redis servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use sentinel_proto::event::Event;
use sentinel_proto::info::InstanceReport;
use sentinel_proto::role::RoleReport;
use sentinel_proto::types::{HostPort, MasterName, NodeId, SentinelId};

use crate::instance::InstanceFacts;
use crate::replicated::{Command, State};

/// A deliberate crash, armed by `SENTINEL SIMULATE-FAILURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crash {
    /// This node is the executor of an applied plan.
    AfterOpen,
    /// The choice is applied, nothing sent.
    AfterChoose,
    /// The promotion is confirmed, nothing committed about it.
    AfterPromotion,
    /// The switch is applied, replicas not yet re-pointed.
    AfterSwitch,
}

/// What is done to one Redis server. Each is one round trip, and every reply is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Closes the command connections of a former executor (CLIENT LIST, CLIENT KILL ID).
    CutConnections {
        /// `myid` of the former executor.
        of: SentinelId,
    },
    /// `CLIENT PAUSE <ms> WRITE`, then `INFO replication`.
    PauseWrites {
        /// Milliseconds after which the server ends the pause by itself.
        ms: u64,
    },
    /// `CLIENT UNPAUSE`.
    ResumeWrites,
    /// `SCRIPT KILL`: ends a script that has not written anything yet.
    KillScript,
    /// `ROLE` (or `INFO replication`).
    ReadRole,
    /// `INFO replication`: for what ROLE does not tell, the state of a hand-over.
    ReadReplication,
    /// To a master: MULTI, CLIENT PAUSE `<ms>` WRITE, FAILOVER TO `<replica>` TIMEOUT `<ms>`, EXEC; then
    /// `INFO replication`. Refused when the server does not take the order; writes may be paused all the same.
    HandOver {
        /// The replica.
        to: HostPort,
        /// Milliseconds for both.
        ms: u64,
    },
    /// `FAILOVER ABORT`, then `INFO replication`. That there is nothing to abort is no refusal.
    CallOff,
    /// MULTI, CONFIG REWRITE, CLIENT KILL TYPE normal, CLIENT KILL TYPE pubsub, CLIENT UNPAUSE, EXEC; then ROLE.
    Release {
        /// Only if it says that it is a replica: writes must not be resumed on a second master. Refused if not.
        demoted: bool,
    },
    /// MULTI, SLAVEOF NO ONE, CONFIG REWRITE, CLIENT KILL TYPE normal, CLIENT KILL TYPE pubsub, EXEC; then ROLE.
    Promote,
    /// The same with SLAVEOF `<master>`; then, when asked, CLIENT UNPAUSE; then ROLE.
    Follow {
        /// New master.
        master: HostPort,
        /// End a pause of writes.
        resume_writes: bool,
    },
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationResult {
    /// Done; with what the server said about itself afterwards, where it was asked.
    Done {
        /// ROLE.
        role: Option<RoleReport>,
        /// INFO replication.
        report: Option<Box<InstanceReport>>,
    },
    /// The server refused: its error text.
    Refused(String),
    /// No connection, or no answer in time: it may or may not have happened.
    Unreachable(String),
    /// Not sent: the plan is not the applied one any more, or no authority.
    Denied(String),
}

/// What must still be true of the applied state when the operation is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Group.
    pub master: MasterName,
    /// Its incarnation.
    pub incarnation: u64,
    /// Its config epoch.
    pub config_epoch: u64,
    /// The open plan and the executor's generation; `None` = no plan may be open.
    pub plan: Option<(u64, u32)>,
}

impl Guard {
    /// Whether the state still allows it.
    #[must_use]
    pub fn holds(&self, state: &State) -> bool {
        let Some(group) = state.groups.get(&self.master) else {
            return false;
        };
        let plan = group
            .plan
            .as_ref()
            .map(|p| (p.failover_epoch, p.executor_generation));
        group.incarnation == self.incarnation && group.config_epoch == self.config_epoch && plan == self.plan
    }
}

/// What holds on this node, whatever the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// In TILT no plan is begun or continued and nothing is repaired.
    pub in_tilt: bool,
    /// A replica without progress for this long, in milliseconds, no longer holds the others up (`SENTINEL DEBUG
    /// SLAVE-RECONF-TIMEOUT`).
    pub reconf_timeout_ms: u64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            in_tilt: false,
            reconf_timeout_ms: 10_000,
        }
    }
}

/// What the failover core is told.
#[derive(Debug, Clone)]
pub enum FailoverInput {
    /// A newer applied state.
    State(Arc<State>),
    /// Facts of one of this node's monitors.
    Instance(MasterName, Box<InstanceFacts>),
    /// That monitor ended.
    InstanceGone(MasterName, HostPort),
    /// Raft role of this node.
    Raft {
        /// This node is the raft_leader.
        is_raft_leader: bool,
        /// In touch with a majority.
        has_majority: bool,
    },
    /// Sentinels that this node is connected to.
    Peers(BTreeSet<NodeId>),
    /// An operation ended.
    Operated {
        /// Its number.
        operation: u64,
        /// Group.
        master: MasterName,
        /// Result.
        result: OperationResult,
    },
    /// A proposal for this group got its answer: applied at this log index, `None` = refused or lost.
    Proposed(MasterName, Option<u64>),
    /// Replaces the armed crashes.
    Arm(BTreeSet<Crash>),
    /// The deadline passed.
    Timer,
}

/// What it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailoverEffect {
    /// Do this; answer with `Operated`.
    Execute {
        /// Number to be repeated in the answer.
        operation: u64,
        /// Instance.
        instance: HostPort,
        /// What to do.
        what: Operation,
        /// What must hold when it is sent.
        guard: Guard,
    },
    /// Propose; answer with `Proposed`.
    Propose(MasterName, Command),
    /// Publish.
    Event(Event),
    /// `failover-state` of the group at this node; `None` = this node executes nothing for it.
    Executing {
        /// Group.
        master: MasterName,
        /// Sentinel's name of the state.
        state: Option<&'static str>,
        /// Forced by SENTINEL FAILOVER.
        forced: bool,
        /// Asked for by SENTINEL FAILOVER ... COORDINATED.
        coordinated: bool,
    },
    /// `reconf_sent`, `reconf_inprog`, `reconf_done` of a replica; `None` = none.
    ReplicaFlag(MasterName, HostPort, Option<&'static str>),
    /// Exit with status 99, before anything else is done.
    Crash(Crash),
}
