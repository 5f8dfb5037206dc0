//! The committed record of one failover.

use sentinel_proto::evidence::EvidenceClass;
use sentinel_proto::types::{HostPort, NodeId, SentinelId, WallTime};
use serde::{Deserialize, Serialize};

/// Why a plan was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlanCause {
    /// At least `odown_quorum` sentinels judged the master down.
    ObjectivelyDown {
        /// Sentinels that agreed.
        agreeing: u32,
        /// `odown_quorum` of the group.
        odown_quorum: u32,
    },
    /// `SENTINEL FAILOVER`: the master is revoked first (writes paused, offsets equal), then demoted.
    Forced,
    /// `SENTINEL FAILOVER ... COORDINATED`: the master itself hands over to the chosen replica (`FAILOVER TO`).
    Coordinated,
}

impl PlanCause {
    /// An operator asked for it: the master may well be up, and is not to take writes after the switch.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        matches!(self, Self::Forced | Self::Coordinated)
    }
}

/// One sentinel's evidence when the plan was opened, kept for the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceNote {
    /// The observer.
    pub observer: SentinelId,
    /// What it saw.
    pub class: EvidenceClass,
    /// For how long, in milliseconds.
    pub age_ms: u64,
}

/// Why a replica was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefusalReason {
    /// Subjectively down at the executor.
    Down,
    /// No working link from the executor.
    Disconnected,
    /// No acceptable probe reply recently.
    StalePing,
    /// `slave_priority` 0.
    PriorityZero,
    /// No report fresh enough.
    StaleReport,
    /// Its link to the master was down for too long before the master was.
    LinkDownTooLong,
    /// In the middle of a full synchronisation.
    Syncing,
    /// Reports `role:master`.
    NotAReplica,
    /// Follows another master than the group's.
    ForeignMaster,
    /// Eligible, but another one ranks higher (priority, then offset, then run id).
    RankedLower,
    /// A promotion of it failed in this plan.
    PromotionFailed,
    /// Never in sync since it started, and empty: promoting it would lose everything.
    Blank,
    /// Its data is not this group's.
    ForeignLineage,
}

impl RefusalReason {
    /// Short text for logs and the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Disconnected => "disconnected",
            Self::StalePing => "stale-ping",
            Self::PriorityZero => "priority-zero",
            Self::StaleReport => "stale-report",
            Self::LinkDownTooLong => "link-down-too-long",
            Self::Syncing => "syncing",
            Self::NotAReplica => "not-a-replica",
            Self::ForeignMaster => "foreign-master",
            Self::RankedLower => "ranked-lower",
            Self::PromotionFailed => "promotion-failed",
            Self::Blank => "blank",
            Self::ForeignLineage => "foreign-lineage",
        }
    }
}

/// A replica that was looked at and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The replica.
    pub replica: HostPort,
    /// Why.
    pub reason: RefusalReason,
}

/// How far a plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Opened; no replica chosen.
    Opened,
    /// A replica is chosen: from here `SLAVEOF NO ONE` may be sent to it, and to no other.
    Chosen {
        /// The one to promote.
        replica: HostPort,
    },
    /// The promotion was confirmed and the address switched; the other replicas are being pointed at it.
    Switched {
        /// The new master.
        replica: HostPort,
    },
}

impl Phase {
    /// The chosen replica, `None` while none is chosen.
    #[must_use]
    pub fn replica(&self) -> Option<&HostPort> {
        match self {
            Self::Opened => None,
            Self::Chosen { replica } | Self::Switched { replica } => Some(replica),
        }
    }
}

/// Steps of a plan's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// First sentinel's SDOWN known to the proposer.
    FirstDown,
    /// ODOWN at the proposer.
    ObjectivelyDown,
    /// Plan opened.
    Opened,
    /// Replica chosen.
    Chosen,
    /// Executor replaced.
    Reassigned,
    /// Writes paused on the old master (forced or coordinated failover).
    Revoked,
    /// `SLAVEOF NO ONE` confirmed by ROLE.
    Promoted,
    /// Address switched.
    Switched,
    /// Closed.
    Closed,
}

impl Step {
    /// Name in the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstDown => "first-down",
            Self::ObjectivelyDown => "odown",
            Self::Opened => "opened",
            Self::Chosen => "chosen",
            Self::Reassigned => "reassigned",
            Self::Revoked => "revoked",
            Self::Promoted => "promoted",
            Self::Switched => "switched",
            Self::Closed => "closed",
        }
    }
}

/// An open failover of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Unique over all groups and time; becomes the `config_epoch` of the new address.
    pub failover_epoch: u64,
    /// Why it was opened.
    pub cause: PlanCause,
    /// The sentinel that executes it.
    pub executor: NodeId,
    /// 1 at opening, raised by each reassignment: an executor of an earlier generation must not act.
    pub executor_generation: u32,
    /// The executor before the last reassignment, whose connections the present one cuts first.
    pub previous_executor: Option<NodeId>,
    /// The master that is being replaced.
    pub old_address: HostPort,
    /// How far.
    pub phase: Phase,
    /// Evidence at opening.
    pub evidence: Vec<EvidenceNote>,
    /// Replicas refused at the last choice, with reasons.
    pub refused: Vec<Refusal>,
    /// Replicas whose promotion failed in this plan.
    pub failed: Vec<HostPort>,
    /// When each step happened, by the proposers' wall clocks.
    pub timeline: Vec<(Step, WallTime)>,
}

/// How a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlanOutcome {
    /// Switched, all reachable replicas follow the new master.
    Done,
    /// Switched, but some replicas did not follow within failover-timeout; reconcile goes on.
    DoneForTimeout,
    /// Nothing was promoted: no eligible replica.
    NoGoodReplica,
    /// Nothing was promoted: the chosen replica could not be promoted within failover-timeout, or the master did not
    /// hand over to it.
    ReplicaTimeout,
    /// A forced failover was undone: the offsets did not become equal in time. A coordinated one: the master could not
    /// be told in time.
    RevokeTimeout,
    /// The master came back before anything irreversible was done.
    MasterReturned,
}

impl PlanOutcome {
    /// Name in the admin API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::DoneForTimeout => "done-for-timeout",
            Self::NoGoodReplica => "no-good-replica",
            Self::ReplicaTimeout => "replica-timeout",
            Self::RevokeTimeout => "revoke-timeout",
            Self::MasterReturned => "master-returned",
        }
    }

    /// Whether the address was switched.
    #[must_use]
    pub fn switched(&self) -> bool {
        matches!(self, Self::Done | Self::DoneForTimeout)
    }
}

/// A finished plan, kept in the group's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPlan {
    /// The plan as it was when closed, with its whole timeline.
    pub plan: Plan,
    /// How it ended.
    pub outcome: PlanOutcome,
    /// Upper bound, in bytes of replication stream, of what the old master may have acknowledged and the new
    /// one lacks, as far as it was known; `None` = unknown.
    pub loss_bound_bytes: Option<u64>,
}
