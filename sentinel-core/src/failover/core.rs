//! Bookkeeping: which plan is whose, what is on its way, and when to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use super::types::{Conditions, Crash, FailoverEffect, FailoverInput, Guard, Operation, OperationResult};
use super::work::{Attempt, Scene, Work, mark, wake_at};
use crate::proposing::Proposing;
use crate::replicated::{Command, Phase, Plan, PlanCause, State};
use crate::settle::Presence;
use crate::time::MonoTime;

/// In TILT nothing is done; this often is looked whether it is over.
const TILT_POLL_MS: u64 = 100;

/// See the module's description.
#[derive(Debug)]
pub struct FailoverCore {
    pub(super) me: NodeId,
    pub(super) state: Arc<State>,
    pub(super) work: BTreeMap<MasterName, Work>,
    pub(super) is_raft_leader: bool,
    pub(super) has_majority: bool,
    pub(super) connected: BTreeSet<NodeId>,
    pub(super) presence: Presence,
    pub(super) conditions: Conditions,
    armed: BTreeSet<Crash>,
    next_operation: u64,
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
            presence: Presence::default(),
            conditions: Conditions::default(),
            armed: BTreeSet::new(),
            next_operation: 1,
        };
        let _ = core.adopt(state, now);
        core
    }

    /// What holds on this node from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
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
        let tilt = self.conditions.in_tilt.then(|| now.plus(TILT_POLL_MS));
        let wakes = self.work.values().filter_map(|w| w.wake);
        wakes.chain(tilt).min().map(|t| t.max(now))
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
                self.work
                    .values_mut()
                    .for_each(|w| w.proposing = Proposing::default());
                None
            }
            FailoverInput::Peers(connected) => {
                self.connected = connected;
                self.presence.update(self.me, &self.state, &self.connected, now);
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
            FailoverInput::Proposed(name, answer) => {
                let Some(work) = self.work.get_mut(&name) else {
                    return Some(Vec::new());
                };
                work.proposing = Proposing::answered(answer, self.state.last_applied, now);
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
        for group in state.groups_changed_since(&self.state) {
            let name = &group.name;
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
                work.proposing = Proposing::default();
                work.executor_missing_since = None;
            }
        }
        for (name, work) in &mut self.work {
            if work.proposing.see(state.last_applied) && !touched.contains(name) {
                touched.push(name.clone());
            }
        }
        self.state = state;
        self.presence.update(self.me, &self.state, &self.connected, now);
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
        // What this node believes is out of date: others go on, and may take its plans over.
        if self.conditions.in_tilt {
            return;
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
        let busy = work.proposing.busy(scene.now);
        if busy.is_none() {
            work.proposing = Proposing::sent(scene.now);
            effects.push(FailoverEffect::Propose(scene.name.clone(), command));
        }
        if let Some(until) = work.proposing.busy(scene.now) {
            wake_at(work, until);
        }
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
            Operation::Release { .. } => super::coordinated::released(work, &instance, result, now),
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
            let cause = scene.group.plan.as_ref().map(|p| &p.cause);
            effects.push(FailoverEffect::Executing {
                master: scene.name.clone(),
                state,
                forced: cause == Some(&PlanCause::Forced),
                coordinated: cause == Some(&PlanCause::Coordinated),
            });
        }
        if state.is_none() {
            // Libraries choose replicas by their flags: none may outlive the plan.
            for replica in std::mem::take(&mut work.flagged) {
                effects.push(FailoverEffect::ReplicaFlag(scene.name.clone(), replica, None));
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
