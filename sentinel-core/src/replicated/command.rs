//! Commands of the log and their outcomes.

use sentinel_proto::types::{HostPort, MasterName, NodeId, SentinelId, WallTime};
use serde::{Deserialize, Serialize};

use super::plan::{EvidenceNote, PlanCause, PlanOutcome, Refusal, Step};
use super::state::{GroupOptions, OptionChange};

/// A change that is proposed to the log. Carries the proposer's wall time and every choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Records or moves a sentinel.
    SetMember {
        /// Raft identity.
        node: NodeId,
        /// Identity shown to clients.
        myid: SentinelId,
        /// Where it is reached.
        address: HostPort,
    },
    /// Starts monitoring a master. Identical arguments for a known name are `Done` without a change.
    Monitor {
        /// Name.
        master: MasterName,
        /// First address.
        address: HostPort,
        /// All options.
        options: GroupOptions,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Stops monitoring.
    Remove {
        /// Name.
        master: MasterName,
    },
    /// Changes options, all or nothing.
    SetOptions {
        /// Name.
        master: MasterName,
        /// In the order given.
        changes: Vec<OptionChange>,
    },
    /// Moves a group that never failed over to another first address (an edited `monitor` line).
    SetAddress {
        /// Name.
        master: MasterName,
        /// New first address.
        address: HostPort,
        /// The address this replaces; another committed one rejects the command.
        expected: HostPort,
    },
    /// Refreshes the replicas of the masters named: those not listed in `keep` are forgotten.
    Reset {
        /// Masters to reset.
        masters: Vec<MasterName>,
    },
    /// Replicas seen in the master's report.
    AddReplicas {
        /// Name.
        master: MasterName,
        /// The master address that listed them; stale when it is not the committed one.
        listed_by: HostPort,
        /// Addresses.
        replicas: Vec<HostPort>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Opens a failover.
    OpenFailover {
        /// Name.
        master: MasterName,
        /// Config epoch the proposer saw: a later one means that somebody switched already.
        config_epoch: u64,
        /// Must be above `current_epoch`.
        failover_epoch: u64,
        /// Who executes.
        executor: NodeId,
        /// Why.
        cause: PlanCause,
        /// By whom it was seen.
        evidence: Vec<EvidenceNote>,
        /// Steps before opening (first down, ODOWN).
        before: Vec<(Step, WallTime)>,
        /// A choice made from reports at hand: saves one commit.
        choice: Option<(HostPort, Vec<Refusal>)>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Names the replica to promote (again, after a failed promotion).
    Choose {
        /// Name.
        master: MasterName,
        /// Plan.
        failover_epoch: u64,
        /// The executor's generation.
        executor_generation: u32,
        /// Chosen replica.
        replica: HostPort,
        /// A replica whose promotion failed before.
        failed: Option<HostPort>,
        /// The others, with reasons.
        refused: Vec<Refusal>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// The promotion is confirmed: the chosen replica becomes the committed address.
    Switch {
        /// Name.
        master: MasterName,
        /// Plan.
        failover_epoch: u64,
        /// Must be the chosen replica.
        address: HostPort,
        /// Steps since the choice (revoked, promoted).
        steps: Vec<(Step, WallTime)>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Gives an open plan to another executor.
    Reassign {
        /// Name.
        master: MasterName,
        /// Plan.
        failover_epoch: u64,
        /// Generation the proposer saw; another one rejects the command.
        executor_generation: u32,
        /// New executor.
        executor: NodeId,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Ends a plan.
    Close {
        /// Name.
        master: MasterName,
        /// Plan.
        failover_epoch: u64,
        /// Result.
        outcome: PlanOutcome,
        /// Upper bound of what may be lost, in bytes; `None` = unknown.
        loss_bound_bytes: Option<u64>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Brings what a classic Sentinel had learned and written into its file: see [`super::apply_import`].
    Import {
        /// Name.
        master: MasterName,
        /// Address in the rewritten `monitor` line.
        address: HostPort,
        /// All options, for a name that is not known yet.
        options: Box<GroupOptions>,
        /// `config-epoch`: epoch of that address.
        config_epoch: u64,
        /// Highest epoch that the file names.
        current_epoch: u64,
        /// `known-replica` lines.
        replicas: Vec<HostPort>,
        /// Proposer's clock.
        at: WallTime,
    },
    /// Records how servers of a group are told from foreign ones: see [`crate::lineage`].
    RecordLineage {
        /// Name.
        master: MasterName,
        /// The master that it was learned from; stale when it is not the committed one.
        address: HostPort,
        /// Its replication ids, oldest first.
        ids: Vec<String>,
        /// Configuration files of the group's servers.
        files: Vec<String>,
    },
}

/// The answer of `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Applied (possibly without a change).
    Done,
    /// Refused; nothing changed.
    Rejected(Rejection),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// Unknown master.
    #[error("No such master with that name")]
    NoSuchMaster,
    /// The name exists with other arguments.
    #[error("Duplicate master name.")]
    DuplicateMaster,
    /// An option value that may not be.
    #[error("Invalid argument '{value}' for SENTINEL SET '{option}'")]
    InvalidOption {
        /// Option name.
        option: String,
        /// Value as given.
        value: String,
    },
    /// A plan is open already.
    #[error("Failover already in progress")]
    PlanOpen,
    /// No such plan, or of another epoch or generation.
    #[error("the failover plan is not the open one any more")]
    StalePlan,
    /// Epoch or address moved on since the proposer looked.
    #[error("the group's state has moved on: {0}")]
    Stale(String),
    /// The address is not a known replica.
    #[error("{0} is not a known replica of this master")]
    NotAReplica(HostPort),
    /// The plan's phase does not allow it.
    #[error("not possible in the plan's phase")]
    WrongPhase,
    /// The executor is not a member.
    #[error("{0} is not a member")]
    NotAMember(NodeId),
}
