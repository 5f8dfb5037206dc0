//! What a node does, or has seen, for one group.

use std::collections::{BTreeMap, BTreeSet};

use sentinel_proto::types::{HostPort, MasterName, WallTime};

use super::coordinated::Handover;
use super::types::{FailoverEffect, Operation};
use crate::instance::InstanceFacts;
use crate::proposing::Proposing;
use crate::replicated::{Group, Phase, Plan};
use crate::time::MonoTime;

/// What this node does, or has seen, for one group.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) incarnation: u64,
    pub(super) config_epoch: u64,
    /// When this config epoch was applied here: reports from before do not count.
    pub(super) config_since: MonoTime,
    pub(super) instances: BTreeMap<HostPort, InstanceFacts>,
    pub(super) attempt: Option<Attempt>,
    /// Operations on their way.
    pub(super) on_the_way: BTreeMap<HostPort, (u64, Operation)>,
    pub(super) repairs: BTreeMap<HostPort, Repair>,
    pub(super) proposing: Proposing,
    /// The plan as last seen and since when it looks like this.
    pub(super) plan_seen: Option<(PlanMark, MonoTime)>,
    pub(super) executor_missing_since: Option<MonoTime>,
    pub(super) shown: Option<&'static str>,
    /// Replicas that show a reconf flag, until this node's part in the plan is over.
    pub(super) flagged: BTreeSet<HostPort>,
    pub(super) wake: Option<MonoTime>,
}

impl Work {
    /// Shows a reconf flag at a replica.
    pub(super) fn flag(
        &mut self,
        name: &MasterName,
        replica: &HostPort,
        flag: &'static str,
    ) -> FailoverEffect {
        self.flagged.insert(replica.clone());
        FailoverEffect::ReplicaFlag(name.clone(), replica.clone(), Some(flag))
    }
}

/// What a plan looks like: epoch, generation, chosen replica, switched.
pub(super) type PlanMark = (u64, u32, Option<HostPort>, bool);

/// Repeated attempts on one instance.
#[derive(Debug, Default, Clone)]
pub(super) struct Repair {
    pub(super) tries: u32,
    pub(super) not_before: Option<MonoTime>,
    /// Last reconf state announced in the present plan.
    pub(super) stage: Option<Reconf>,
    pub(super) sent_at: MonoTime,
}

/// Sentinel's reconf flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reconf {
    Sent,
    InProgress,
    Done,
}

/// The execution of one plan by this node.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) failover_epoch: u64,
    pub(super) generation: u32,
    pub(super) started: MonoTime,
    /// The phase's replica and since when this node works on it.
    pub(super) target: Option<(HostPort, MonoTime)>,
    pub(super) cut: BTreeSet<HostPort>,
    pub(super) revoke: Revoke,
    pub(super) handover: Handover,
    pub(super) tries: u32,
    pub(super) first_failure: Option<MonoTime>,
    pub(super) not_before: Option<MonoTime>,
    /// ROLE said master after the promotion was sent, at this wall time.
    pub(super) promoted_at: Option<WallTime>,
    pub(super) revoked_at: Option<WallTime>,
    pub(super) waiting_announced: bool,
    pub(super) loss_bound_bytes: Option<u64>,
    pub(super) switched_since: Option<MonoTime>,
    /// Servers that have sent their clients away after a coordinated hand-over.
    pub(super) released: BTreeSet<HostPort>,
    pub(super) release_not_before: Option<MonoTime>,
}

/// Revocation of a master that can still be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoke {
    /// Not needed, or not begun.
    Idle,
    /// Writes are paused since then; the replica must reach this offset.
    Paused { since: MonoTime, offset: u64 },
    /// Equal offsets, or not possible: promote.
    Over,
    /// Given up: writes go on, the plan is to be closed.
    Undone,
}

impl Attempt {
    pub(super) fn new(plan: &Plan, now: MonoTime) -> Self {
        Self {
            failover_epoch: plan.failover_epoch,
            generation: plan.executor_generation,
            started: now,
            target: None,
            cut: BTreeSet::new(),
            revoke: Revoke::Idle,
            handover: Handover::at_start_of(plan),
            tries: 0,
            first_failure: None,
            not_before: None,
            promoted_at: None,
            revoked_at: None,
            waiting_announced: false,
            loss_bound_bytes: None,
            switched_since: None,
            released: BTreeSet::new(),
            release_not_before: None,
        }
    }
}

/// What an evaluation works with.
pub(super) struct Scene<'a> {
    pub(super) name: &'a MasterName,
    pub(super) group: &'a Group,
    pub(super) now: MonoTime,
    pub(super) wall: WallTime,
}

/// Asks to be woken at `at`, or earlier.
pub(super) fn wake_at(work: &mut Work, at: MonoTime) {
    work.wake = Some(work.wake.map_or(at, |t| t.min(at)));
}

pub(super) fn mark(plan: &Plan) -> PlanMark {
    let switched = matches!(plan.phase, Phase::Switched { .. });
    (
        plan.failover_epoch,
        plan.executor_generation,
        plan.phase.replica().cloned(),
        switched,
    )
}
