//! Bookkeeping: which plan is whose, what is on its way, and when to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use super::types::{Crash, FailoverEffect, FailoverInput, Guard, Operation, OperationResult};
use crate::instance::InstanceFacts;
use crate::replicated::{Command, Group, Phase, Plan, PlanCause, State};
use crate::time::MonoTime;

/// A proposal without an answer for this long is made again.
const PROPOSAL_PATIENCE_MS: u64 = 2_500;
/// See the module's description.
#[derive(Debug)]
pub struct FailoverCore {
    pub(super) me: NodeId,
    pub(super) state: Arc<State>,
    pub(super) work: BTreeMap<MasterName, Work>,
    pub(super) is_raft_leader: bool,
    pub(super) has_majority: bool,
    pub(super) connected: BTreeSet<NodeId>,
    armed: BTreeSet<Crash>,
    next_operation: u64,
}

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
    pub(super) proposing_until: Option<MonoTime>,
    /// The plan as last seen and since when it looks like this.
    pub(super) plan_seen: Option<(PlanMark, MonoTime)>,
    pub(super) executor_missing_since: Option<MonoTime>,
    shown: Option<&'static str>,
    pub(super) wake: Option<MonoTime>,
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
    pub(super) tries: u32,
    pub(super) first_failure: Option<MonoTime>,
    pub(super) not_before: Option<MonoTime>,
    /// ROLE said master after the promotion was sent, at this wall time.
    pub(super) promoted_at: Option<WallTime>,
    pub(super) revoked_at: Option<WallTime>,
    pub(super) waiting_announced: bool,
    pub(super) loss_bound_bytes: Option<u64>,
    pub(super) switched_since: Option<MonoTime>,
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
    fn new(plan: &Plan, now: MonoTime) -> Self {
        Self {
            failover_epoch: plan.failover_epoch,
            generation: plan.executor_generation,
            started: now,
            target: None,
            cut: BTreeSet::new(),
            revoke: Revoke::Idle,
            tries: 0,
            first_failure: None,
            not_before: None,
            promoted_at: None,
            revoked_at: None,
            waiting_announced: false,
            loss_bound_bytes: None,
            switched_since: None,
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

impl FailoverCore {
    /// Starts with the recovered state.
    #[must_use]
    pub fn new(me: NodeId, state: Arc<State>, now: MonoTime) -> Self {
        let mut core = Self {
            me,
            state: Arc::new(State::default()),
            work: BTreeMap::new(),
            is_raft_leader: false,
            has_majority: false,
            connected: BTreeSet::new(),
            armed: BTreeSet::new(),
            next_operation: 1,
        };
        let _ = core.adopt(state, now);
        core
    }

    /// Takes one input at `now`; `wall` goes into proposals.
    pub fn step(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        input: FailoverInput,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let touched = self.take(now, wall, input, effects);
        let names = touched.unwrap_or_else(|| self.work.keys().cloned().collect());
        for name in names {
            self.evaluate(&name, now, wall, effects);
        }
    }

    /// When to be called with [`FailoverInput::Timer`] next; `None` = only an input matters.
    #[must_use]
    pub fn poll_timeout(&self, now: MonoTime) -> Option<MonoTime> {
        self.work
            .values()
            .filter_map(|w| w.wake)
            .min()
            .map(|t| t.max(now))
    }

    fn take(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        input: FailoverInput,
        effects: &mut Vec<FailoverEffect>,
    ) -> Option<Vec<MasterName>> {
        match input {
            FailoverInput::State(state) => Some(self.adopt(state, now)),
            FailoverInput::Instance(name, facts) => {
                let Some(work) = self.work.get_mut(&name) else {
                    return Some(Vec::new());
                };
                work.instances.insert(facts.address.clone(), *facts);
                Some(vec![name])
            }
            FailoverInput::InstanceGone(name, address) => {
                let Some(work) = self.work.get_mut(&name) else {
                    return Some(Vec::new());
                };
                work.instances.remove(&address);
                work.repairs.remove(&address);
                Some(vec![name])
            }
            FailoverInput::Raft {
                is_raft_leader,
                has_majority,
            } => {
                self.is_raft_leader = is_raft_leader;
                self.has_majority = has_majority;
                self.work.values_mut().for_each(|w| w.proposing_until = None);
                None
            }
            FailoverInput::Peers(connected) => {
                self.connected = connected;
                None
            }
            FailoverInput::Operated {
                operation,
                master,
                result,
            } => {
                self.operated(&master, operation, &result, now, wall, effects);
                Some(vec![master])
            }
            FailoverInput::Proposed(name, accepted) => {
                let Some(work) = self.work.get_mut(&name) else {
                    return Some(Vec::new());
                };
                // A refused or lost proposal is made again, if it still makes sense, after a moment.
                work.proposing_until = (!accepted).then(|| now.plus(50));
                Some(vec![name])
            }
            FailoverInput::Arm(crashes) => {
                self.armed = crashes;
                None
            }
            FailoverInput::Timer => None,
        }
    }

    /// Takes over a state; returns the groups that differ from before (unchanged ones are shared).
    fn adopt(&mut self, state: Arc<State>, now: MonoTime) -> Vec<MasterName> {
        self.work.retain(|name, _| state.groups.contains_key(name));
        let mut touched = Vec::new();
        for (name, group) in &state.groups {
            if self
                .state
                .groups
                .get(name)
                .is_some_and(|before| Arc::ptr_eq(before, group))
            {
                continue;
            }
            touched.push(name.clone());
            let work = self.work.entry(name.clone()).or_default();
            if work.incarnation != group.incarnation {
                *work = Work {
                    incarnation: group.incarnation,
                    ..Work::default()
                };
            }
            if work.config_epoch != group.config_epoch || work.config_since == MonoTime::default() {
                work.config_epoch = group.config_epoch;
                work.config_since = now;
                work.repairs.clear();
            }
            let mark = group.plan.as_ref().map(mark);
            if mark.as_ref() != work.plan_seen.as_ref().map(|(mark, _)| mark) {
                work.plan_seen = mark.map(|mark| (mark, now));
                work.proposing_until = None;
                work.executor_missing_since = None;
            }
        }
        self.state = state;
        touched
    }

    fn evaluate(
        &mut self,
        name: &MasterName,
        now: MonoTime,
        wall: WallTime,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(group) = self.state.groups.get(name).cloned() else {
            return;
        };
        let scene = Scene {
            name,
            group: &group,
            now,
            wall,
        };
        if let Some(work) = self.work.get_mut(name) {
            work.wake = None;
        }
        match &group.plan {
            Some(plan) if plan.executor == self.me => {
                if self.begin(&scene, plan, effects) {
                    self.drive(&scene, plan, effects);
                }
            }
            Some(plan) => {
                self.end_attempt(name);
                self.consider_take_over(&scene, plan, effects);
            }
            None => {
                self.end_attempt(name);
                if self.is_raft_leader && self.has_majority {
                    self.repair(&scene, effects);
                }
            }
        }
        self.show(&scene, effects);
    }

    /// Makes sure that an attempt for this plan and generation exists; `false` = the node is to crash now.
    fn begin(&mut self, scene: &Scene<'_>, plan: &Plan, effects: &mut Vec<FailoverEffect>) -> bool {
        let Some(work) = self.work.get_mut(scene.name) else {
            return false;
        };
        let current = work.attempt.as_ref().is_some_and(|a| {
            (a.failover_epoch, a.generation) == (plan.failover_epoch, plan.executor_generation)
        });
        if !current {
            work.attempt = Some(Attempt::new(plan, scene.now));
            work.repairs.clear();
        }
        let Some(attempt) = work.attempt.as_mut() else {
            return false;
        };
        let crash = match (&plan.phase, current) {
            (Phase::Opened | Phase::Chosen { .. }, false) if self.armed.contains(&Crash::AfterOpen) => {
                Some(Crash::AfterOpen)
            }
            (Phase::Chosen { .. }, _) if self.armed.contains(&Crash::AfterChoose) => Some(Crash::AfterChoose),
            (Phase::Switched { .. }, _) if self.armed.contains(&Crash::AfterSwitch) => {
                Some(Crash::AfterSwitch)
            }
            _ => None,
        };
        if let Some(crash) = crash {
            effects.push(FailoverEffect::Crash(crash));
            return false;
        }
        if let Some(replica) = plan.phase.replica() {
            if attempt
                .target
                .as_ref()
                .is_none_or(|(target, _)| target != replica)
            {
                attempt.target = Some((replica.clone(), scene.now));
                attempt.tries = 0;
                attempt.first_failure = None;
                attempt.not_before = None;
                attempt.promoted_at = None;
            }
        }
        true
    }

    fn end_attempt(&mut self, name: &MasterName) {
        if let Some(work) = self.work.get_mut(name) {
            if work.attempt.take().is_some() {
                work.repairs.clear();
            }
        }
    }

    /// Proposes, unless a proposal for this group is on its way.
    pub(super) fn propose(&mut self, scene: &Scene<'_>, command: Command, effects: &mut Vec<FailoverEffect>) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        if let Some(until) = work.proposing_until.filter(|until| *until > scene.now) {
            wake_at(work, until);
            return;
        }
        let until = scene.now.plus(PROPOSAL_PATIENCE_MS);
        work.proposing_until = Some(until);
        wake_at(work, until);
        effects.push(FailoverEffect::Propose(scene.name.clone(), command));
    }

    /// Sends an operation, unless one is on its way to that instance. Returns whether it was sent.
    pub(super) fn execute(
        &mut self,
        scene: &Scene<'_>,
        instance: &HostPort,
        what: Operation,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let operation = self.next_operation;
        let Some(work) = self.work.get_mut(scene.name) else {
            return false;
        };
        if work.on_the_way.contains_key(instance) {
            return false;
        }
        self.next_operation = operation.saturating_add(1);
        work.on_the_way
            .insert(instance.clone(), (operation, what.clone()));
        let plan = scene
            .group
            .plan
            .as_ref()
            .map(|p| (p.failover_epoch, p.executor_generation));
        let guard = Guard {
            master: scene.name.clone(),
            incarnation: scene.group.incarnation,
            config_epoch: scene.group.config_epoch,
            plan,
        };
        effects.push(FailoverEffect::Execute {
            operation,
            instance: instance.clone(),
            what,
            guard,
        });
        true
    }

    fn operated(
        &mut self,
        master: &MasterName,
        operation: u64,
        result: &OperationResult,
        now: MonoTime,
        wall: WallTime,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(work) = self.work.get_mut(master) else {
            return;
        };
        let found = work
            .on_the_way
            .iter()
            .find(|(_, (number, _))| *number == operation);
        let Some(instance) = found.map(|(instance, _)| instance.clone()) else {
            return;
        };
        let Some((_, what)) = work.on_the_way.remove(&instance) else {
            return;
        };
        let crash = self.armed.contains(&Crash::AfterPromotion);
        match what {
            Operation::Follow { .. } => super::reconf::followed(work, &instance, result, now),
            _ => {
                let promoted = super::drive::advance(work, &instance, &what, result, now, wall);
                if promoted && crash {
                    effects.push(FailoverEffect::Crash(Crash::AfterPromotion));
                }
            }
        }
    }

    /// Tells the view which of Sentinel's failover states this node is in.
    fn show(&mut self, scene: &Scene<'_>, effects: &mut Vec<FailoverEffect>) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let state = match (&scene.group.plan, &work.attempt) {
            (Some(plan), Some(attempt)) => Some(match &plan.phase {
                Phase::Opened => "select_slave",
                Phase::Chosen { .. } if !attempt.waiting_announced => "send_slaveof_noone",
                Phase::Chosen { .. } => "wait_promotion",
                Phase::Switched { .. } => "reconf_slaves",
            }),
            _ => None,
        };
        if state != work.shown {
            work.shown = state;
            let forced = scene
                .group
                .plan
                .as_ref()
                .is_some_and(|p| p.cause == PlanCause::Forced);
            effects.push(FailoverEffect::Executing {
                master: scene.name.clone(),
                state,
                forced,
            });
        }
    }
}

/// Asks to be woken at `at`, or earlier.
pub(super) fn wake_at(work: &mut Work, at: MonoTime) {
    work.wake = Some(work.wake.map_or(at, |t| t.min(at)));
}

fn mark(plan: &Plan) -> PlanMark {
    let switched = matches!(plan.phase, Phase::Switched { .. });
    (
        plan.failover_epoch,
        plan.executor_generation,
        plan.phase.replica().cloned(),
        switched,
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
