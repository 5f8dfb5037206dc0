//! The executor's work up to the switch: choose, revoke, promote, confirm.

use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::info::ReportedRole;
use sentinel_proto::role::RoleReport;
use sentinel_proto::types::{HostPort, WallTime};

use super::core::FailoverCore;
use super::types::{FailoverEffect, Operation, OperationResult};
use super::work::{Attempt, Revoke, Scene, Work, wake_at};
use crate::instance::InstanceFacts;
use crate::replicated::{Command, Phase, Plan, PlanCause, PlanOutcome, RefusalReason, Step};
use crate::select::{SelectContext, Selection, handed_to, select};
use crate::time::MonoTime;

/// Reports from up to this long before the attempt began count as fresh.
const FRESH_REPORT_MS: u64 = 300;
/// Reachable replicas that have not reported yet are waited for this long.
const REPORT_PATIENCE_MS: u64 = 200;
/// No eligible replica for this long ends the attempt.
const NO_REPLICA_PATIENCE_MS: u64 = 1_000;
/// How often to look again while waiting for reports, in milliseconds.
const LOOK_AGAIN_MS: u64 = 25;
/// A chosen replica that cannot be reached is given up after this long, if there is another.
const GIVE_UP_REPLICA_MS: u64 = 500;
/// Writes are paused for at most this long; a client that waits sees a delay, not an error.
const PAUSE_MS: u64 = 5_000;
/// Offsets are compared this often while writes are paused.
pub(super) const OFFSET_POLL_MS: u64 = 3;

impl FailoverCore {
    /// One look at an open plan that this node executes.
    pub(super) fn drive(&mut self, scene: &Scene<'_>, plan: &Plan, effects: &mut Vec<FailoverEffect>) {
        match &plan.phase {
            Phase::Opened => self.choose(scene, plan, None, effects),
            Phase::Chosen { replica } => self.promote(scene, plan, replica, effects),
            Phase::Switched { .. } => self.reconfigure(scene, plan, effects),
        }
    }

    /// Proposes the best replica; `failed` is the one that could not be promoted.
    fn choose(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        failed: Option<&HostPort>,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let Some(started) = work.attempt.as_ref().map(|a| a.started) else {
            return;
        };
        let selection = selection(work, scene, plan, failed, started);
        let waited = scene.now.ms_since(started);
        let incomplete = selection
            .refused
            .iter()
            .any(|r| r.reason == RefusalReason::StaleReport);
        if incomplete && waited < REPORT_PATIENCE_MS
            || selection.chosen.is_none() && waited < NO_REPLICA_PATIENCE_MS
        {
            return wake_at(work, scene.now.plus(LOOK_AGAIN_MS));
        }
        let command = match selection.chosen {
            Some(replica) => Command::Choose {
                master: scene.name.clone(),
                failover_epoch: plan.failover_epoch,
                executor_generation: plan.executor_generation,
                replica,
                failed: failed.cloned(),
                refused: selection.refused,
                at: scene.wall,
            },
            None => close(scene, plan, PlanOutcome::NoGoodReplica),
        };
        self.propose(scene, command, effects);
    }

    fn promote(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let Some(attempt) = work.attempt.as_mut() else {
            return;
        };
        notice_promotion(attempt, work.instances.get(replica), scene);
        if attempt.promoted_at.is_some() {
            if self.release_promoted(scene, plan, replica, effects) {
                return;
            }
            return self.switch(scene, plan, replica, effects);
        }
        if plan.cause == PlanCause::Coordinated && self.hand_over(scene, plan, replica, effects) {
            return;
        }
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let Some(attempt) = work.attempt.as_mut() else {
            return;
        };
        let (not_before, first_failure) = (attempt.not_before, attempt.first_failure);
        if scene.now.ms_since(attempt.started) > scene.group.options.failover_timeout_ms {
            return self.propose(scene, close(scene, plan, PlanOutcome::ReplicaTimeout), effects);
        }
        let unreachable_for = first_failure.map_or(0, |since| scene.now.ms_since(since));
        if unreachable_for >= GIVE_UP_REPLICA_MS && has_alternative(work, scene, plan, replica) {
            return self.choose(scene, plan, Some(replica), effects);
        }
        if let Some(not_before) = not_before.filter(|t| *t > scene.now) {
            return wake_at(work, not_before);
        }
        if self.cut_former_executor(scene, plan, replica, effects) {
            return;
        }
        if plan.cause == PlanCause::Forced && self.revoke(scene, plan, replica, effects) {
            return;
        }
        self.send_promotion(scene, replica, effects);
    }

    fn send_promotion(&mut self, scene: &Scene<'_>, replica: &HostPort, effects: &mut Vec<FailoverEffect>) {
        if self.execute(scene, replica, Operation::Promote, effects) {
            self.announce_waiting(scene, replica, effects);
        }
    }

    /// `+failover-state-wait-promotion`, once an attempt.
    pub(super) fn announce_waiting(
        &mut self,
        scene: &Scene<'_>,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(attempt) = self.work.get_mut(scene.name).and_then(|w| w.attempt.as_mut()) else {
            return;
        };
        if !attempt.waiting_announced {
            attempt.waiting_announced = true;
            let instance = InstanceRef::replica(replica, scene.name, &scene.group.address);
            let event = Event::about(EventName::FailoverStateWaitPromotion, &instance);
            effects.push(FailoverEffect::Event(event));
        }
    }

    fn switch(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let Some(attempt) = work.attempt.as_mut() else {
            return;
        };
        let offset = |address: &HostPort| {
            work.instances
                .get(address)
                .and_then(|f| f.report.as_ref())
                .map(|r| r.offset)
        };
        if attempt.loss_bound_bytes.is_none() {
            let known = offset(&plan.old_address).zip(offset(replica));
            attempt.loss_bound_bytes = known.map(|(old, new)| old.saturating_sub(new));
        }
        let steps = [
            (Step::Revoked, attempt.revoked_at),
            (Step::Promoted, attempt.promoted_at),
        ];
        let command = Command::Switch {
            master: scene.name.clone(),
            failover_epoch: plan.failover_epoch,
            address: replica.clone(),
            steps: steps
                .into_iter()
                .filter_map(|(step, at)| at.map(|at| (step, at)))
                .collect(),
            at: scene.wall,
        };
        self.propose(scene, command, effects);
    }

    /// A new executor first closes its predecessor's connections on what it touches. Returns whether to wait.
    pub(super) fn cut_former_executor(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        instance: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let Some(former) = plan.previous_executor.filter(|former| *former != self.me) else {
            return false;
        };
        let Some(of) = self.state.members.get(&former).map(|m| m.myid.clone()) else {
            return false;
        };
        let done = |w: &Work| w.attempt.as_ref().is_none_or(|a| a.cut.contains(instance));
        if self.work.get(scene.name).is_none_or(done) {
            return false;
        }
        self.execute(scene, instance, Operation::CutConnections { of }, effects);
        true
    }

    /// Pauses writes on a reachable master and waits until the replica has everything. Returns whether to wait.
    fn revoke(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let Some(work) = self.work.get_mut(scene.name) else {
            return true;
        };
        let busy = [&plan.old_address, replica]
            .iter()
            .any(|i| work.on_the_way.contains_key(*i));
        let reachable = work
            .instances
            .get(&plan.old_address)
            .is_some_and(|f| f.is_reachable(scene.now, 1_000));
        let Some(attempt) = work.attempt.as_mut() else {
            return true;
        };
        if busy {
            return true;
        }
        match attempt.revoke {
            Revoke::Over => false,
            Revoke::Undone => {
                self.propose(scene, close(scene, plan, PlanOutcome::RevokeTimeout), effects);
                true
            }
            Revoke::Idle if !reachable => {
                attempt.revoke = Revoke::Over;
                false
            }
            Revoke::Idle => {
                let ms = PAUSE_MS.min(scene.group.options.failover_timeout_ms);
                self.execute(scene, &plan.old_address, Operation::PauseWrites { ms }, effects);
                true
            }
            Revoke::Paused { since, .. } => {
                // The server ends the pause by itself: give up well before, while nothing is lost yet.
                let limit = PAUSE_MS.min(scene.group.options.failover_timeout_ms) / 2;
                if scene.now.ms_since(since) > limit {
                    attempt.revoke = Revoke::Undone;
                    self.execute(scene, &plan.old_address, Operation::ResumeWrites, effects);
                } else if attempt.not_before.is_none_or(|t| t <= scene.now) {
                    attempt.not_before = Some(scene.now.plus(OFFSET_POLL_MS));
                    self.execute(scene, replica, Operation::ReadRole, effects);
                }
                true
            }
        }
    }
}

pub(super) fn close(scene: &Scene<'_>, plan: &Plan, outcome: PlanOutcome) -> Command {
    Command::Close {
        master: scene.name.clone(),
        failover_epoch: plan.failover_epoch,
        outcome,
        loss_bound_bytes: None,
        at: scene.wall,
    }
}

fn selection(
    work: &Work,
    scene: &Scene<'_>,
    plan: &Plan,
    failed: Option<&HostPort>,
    started: MonoTime,
) -> Selection {
    let replicas: Vec<&InstanceFacts> = scene
        .group
        .replicas
        .keys()
        .filter_map(|r| work.instances.get(r))
        .collect();
    let failed: Vec<HostPort> = plan.failed.iter().chain(failed).cloned().collect();
    let down_since = work.instances.get(&plan.old_address).and_then(|m| m.sdown_since);
    let context = SelectContext {
        group: scene.group,
        handed_to: handed_to(work.instances.get(&plan.old_address)),
        reports_since: MonoTime(started.0.saturating_sub(FRESH_REPORT_MS)),
        master_down_ms: down_since.map_or(0, |since| scene.now.ms_since(since)),
        down_after_ms: scene.group.options.down_after_ms,
        failed: &failed,
    };
    select(&replicas, &context, scene.now)
}

fn has_alternative(work: &Work, scene: &Scene<'_>, plan: &Plan, replica: &HostPort) -> bool {
    let since = work.attempt.as_ref().map_or(scene.now, |a| a.started);
    selection(work, scene, plan, Some(replica), since)
        .chosen
        .is_some()
}

/// A successor finds the replica promoted already: the probe that this node itself made since then says so.
fn notice_promotion(attempt: &mut Attempt, facts: Option<&InstanceFacts>, scene: &Scene<'_>) {
    let since = attempt.target.as_ref().map_or(scene.now, |(_, since)| *since);
    let report = facts.filter(|f| f.connected).and_then(|f| f.report.as_ref());
    if attempt.promoted_at.is_none() && report.is_some_and(|r| r.role == ReportedRole::Master && r.at > since)
    {
        attempt.promoted_at = Some(scene.wall);
    }
}

/// Takes the result of an operation before the switch. Returns whether it confirmed the promotion.
pub(super) fn advance(
    work: &mut Work,
    instance: &HostPort,
    what: &Operation,
    result: &OperationResult,
    now: MonoTime,
    wall: WallTime,
) -> bool {
    let Some(attempt) = work.attempt.as_mut() else {
        return false;
    };
    if let Some(promoted) = super::coordinated::advance(attempt, what, result, now, wall) {
        return promoted;
    }
    match (what, result) {
        (_, OperationResult::Denied(_)) => retry(attempt, now),
        (Operation::CutConnections { .. }, OperationResult::Unreachable(_)) => fail(attempt, now),
        // Without the right to list or kill connections the fence is what is left: see the module's invariants.
        (Operation::CutConnections { .. }, _) => {
            attempt.cut.insert(instance.clone());
        }
        (Operation::PauseWrites { .. }, OperationResult::Done { report, .. }) => {
            let offset = report.as_ref().and_then(|r| r.master_repl_offset);
            attempt.revoked_at = Some(wall);
            attempt.revoke = match offset.and_then(|o| u64::try_from(o).ok()) {
                Some(offset) => Revoke::Paused { since: now, offset },
                None => Revoke::Over,
            };
        }
        (Operation::PauseWrites { .. }, _) => attempt.revoke = Revoke::Over,
        (Operation::ReadRole, OperationResult::Done { role, report }) => {
            if let Revoke::Paused { offset, .. } = attempt.revoke {
                if offset_of(role.as_ref(), report.as_deref()).is_some_and(|reached| reached >= offset) {
                    attempt.revoke = Revoke::Over;
                    attempt.not_before = None;
                    attempt.loss_bound_bytes = Some(0);
                }
            }
        }
        (
            Operation::Promote,
            OperationResult::Done {
                role: Some(RoleReport::Master { .. }),
                ..
            },
        ) => {
            attempt.promoted_at = Some(wall);
            return true;
        }
        (Operation::Promote, OperationResult::Refused(_)) => {
            // The server will not change its mind: give it up for another candidate at once.
            attempt.first_failure = Some(MonoTime(now.0.saturating_sub(GIVE_UP_REPLICA_MS)));
            retry(attempt, now);
        }
        (Operation::Promote, _) => fail(attempt, now),
        _ => {}
    }
    false
}

pub(super) fn offset_of(
    role: Option<&RoleReport>,
    report: Option<&sentinel_proto::info::InstanceReport>,
) -> Option<u64> {
    let offset = match role {
        Some(RoleReport::Replica { offset, .. }) => Some(*offset),
        _ => report.and_then(|r| r.slave_repl_offset),
    };
    offset.and_then(|o| u64::try_from(o).ok())
}

fn fail(attempt: &mut Attempt, now: MonoTime) {
    attempt.first_failure = attempt.first_failure.or(Some(now));
    retry(attempt, now);
}

/// 0.1 s doubling to 5 s.
pub(super) fn retry(attempt: &mut Attempt, now: MonoTime) {
    attempt.tries = attempt.tries.saturating_add(1);
    let pause = 100u64
        .saturating_mul(1 << attempt.tries.saturating_sub(1).min(6))
        .min(5_000);
    attempt.not_before = Some(now.plus(pause));
}
