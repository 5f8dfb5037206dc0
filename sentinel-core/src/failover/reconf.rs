//! Pointing replicas at the committed master: after a switch (parallel-syncs at a time), and at any other time.

use sentinel_proto::EvidenceClass;
use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::HostPort;

use super::core::FailoverCore;
use super::types::{FailoverEffect, Operation, OperationResult};
use super::work::{Reconf, Repair, Scene, Work, wake_at};
use crate::instance::{InstanceFacts, ReplicationLink, Report};
use crate::lineage::Kinship;
use crate::replicated::{Command, Plan, PlanCause, PlanOutcome};
use crate::settle::{is_followed, settled_at};
use crate::time::MonoTime;

/// A replica that was just re-pointed may be out of sight for this long.
const RECONNECT_PATIENCE_MS: u64 = 1_500;
/// After a repair the result is awaited this long before it is tried again ...
const REPAIR_PAUSE_MS: u64 = 1_000;
/// ... doubling up to this.
const REPAIR_PAUSE_MAX_MS: u64 = 5_000;
/// A server without the command, or that denies it to us, will not soon change its mind.
const REFUSED_PAUSE_MAX_MS: u64 = 60_000;
/// A replica that follows another master is corrected after this long: it may be on its way already.
const WRONG_MASTER_GRACE_MS: u64 = 200;

/// What a replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Follows the master, link up.
    Nothing,
    /// Follows the master, link not up yet.
    Patience,
    /// Is a master.
    Demotion,
    /// Follows another master.
    Correction,
    /// Not reachable, or nothing known since the switch.
    Unknown,
    /// Wrong, but still loading its data: it takes no orders until it has.
    Loading,
    /// Not a server of this group: it is left alone.
    Foreign,
}

pub(super) fn need(work: &Work, replica: &HostPort, master: &HostPort, now: MonoTime) -> Need {
    let facts = work.instances.get(replica);
    let Some(facts) = facts.filter(|f| f.is_reachable(now, 1_000)) else {
        return Need::Unknown;
    };
    let of_master = work.instances.get(master).map(|f| &f.run_id);
    if !facts.run_id.is_empty() && of_master == Some(&facts.run_id) {
        // The master itself under another address: it must never be told to follow itself.
        return Need::Nothing;
    }
    match &facts.report {
        Some(report) if report.at >= work.config_since => match need_by_report(report, master) {
            Need::Demotion | Need::Correction if facts.class == EvidenceClass::Loading => Need::Loading,
            Need::Demotion | Need::Correction => match facts.kinship {
                Kinship::Ours => need_by_report(report, master),
                // Its name may lead to another server by now, even to the master.
                Kinship::Unknown => Need::Unknown,
                Kinship::Foreign(_) => Need::Foreign,
            },
            need => need,
        },
        _ => Need::Unknown,
    }
}

fn need_by_report(report: &Report, master: &HostPort) -> Need {
    match report.role {
        ReportedRole::Master => Need::Demotion,
        _ => match (&report.follows, report.link) {
            (Some(followed), _) if followed != master => Need::Correction,
            (Some(_), ReplicationLink::Up) => Need::Nothing,
            // Not connected yet, or the name of what it follows is being looked up.
            _ => Need::Patience,
        },
    }
}

/// What each replica of the group needs.
fn needs(work: &Work, scene: &Scene<'_>) -> Vec<(HostPort, Need)> {
    let master = &scene.group.address;
    let replicas = scene.group.replicas.keys();
    replicas
        .map(|r| (r.clone(), need(work, r, master, scene.now)))
        .collect()
}

fn close(scene: &Scene<'_>, plan: &Plan, outcome: PlanOutcome, loss_bound_bytes: Option<u64>) -> Command {
    Command::Close {
        master: scene.name.clone(),
        failover_epoch: plan.failover_epoch,
        outcome,
        loss_bound_bytes,
        at: scene.wall,
    }
}

impl FailoverCore {
    /// The switched phase of a plan: demote the old master at once, the others parallel-syncs at a time, then close.
    pub(super) fn reconfigure(&mut self, scene: &Scene<'_>, plan: &Plan, effects: &mut Vec<FailoverEffect>) {
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let patience = self.conditions.reconf_timeout_ms;
        let Some(attempt) = work.attempt.as_mut() else {
            return;
        };
        let switched_since = *attempt.switched_since.get_or_insert(scene.now);
        let loss_bound_bytes = attempt.loss_bound_bytes;
        let handed_over = plan.cause == PlanCause::Coordinated && attempt.was_handed_over();
        let needs = needs(work, scene);
        for (replica, need) in &needs {
            announce(work, scene, replica, (*need, patience), effects);
        }
        let parallel = usize::try_from(scene.group.options.parallel_syncs)
            .unwrap_or(1)
            .max(1);
        let releasing = handed_over && self.release(scene, plan, effects);
        for (replica, need) in &needs {
            let forced = plan.cause.is_requested() && *replica == plan.old_address;
            // A master whose writes are paused is demoted at once, without waiting for another probe of it.
            let untouched = self
                .work
                .get(scene.name)
                .is_some_and(|w| !w.repairs.contains_key(replica));
            let need = if forced && untouched && !handed_over {
                Need::Demotion
            } else {
                *need
            };
            let room = |work: &Work| syncing(work, scene.now, patience) < parallel;
            // What a probe saw of it before it handed over is out of date; its release says what it is now.
            let asked = forced && handed_over && !self.is_released(scene, replica);
            let may_act = match need {
                _ if asked => false,
                Need::Demotion => true,
                Need::Correction => self.work.get(scene.name).is_some_and(room),
                _ => false,
            };
            if may_act {
                if self.cut_former_executor(scene, plan, replica, effects) {
                    continue;
                }
                self.follow(scene, replica, need, forced, effects);
            }
        }
        let pending = releasing
            || needs
                .iter()
                .any(|(replica, need)| self.holds_plan_open(scene, replica, *need));
        let timed_out = scene.now.ms_since(switched_since) > scene.group.options.failover_timeout_ms;
        let outcome = match (pending, timed_out) {
            (false, _) => PlanOutcome::Done,
            (true, true) => PlanOutcome::DoneForTimeout,
            (true, false) => {
                if let Some(work) = self.work.get_mut(scene.name) {
                    wake_at(work, scene.now.plus(100));
                }
                return;
            }
        };
        let command = close(scene, plan, outcome, loss_bound_bytes);
        self.propose(scene, command, effects);
    }

    /// A reachable replica that does not follow yet keeps the plan open; an unreachable one does not.
    fn holds_plan_open(&self, scene: &Scene<'_>, replica: &HostPort, need: Need) -> bool {
        let Some(work) = self.work.get(scene.name) else {
            return false;
        };
        let given_up = work
            .repairs
            .get(replica)
            .is_some_and(|r| r.stage == Some(Reconf::Done));
        let reachable = work
            .instances
            .get(replica)
            .is_some_and(|f| f.is_reachable(scene.now, 1_000));
        let just_sent = work
            .repairs
            .get(replica)
            .is_some_and(|r| r.stage.is_some() && scene.now.ms_since(r.sent_at) < RECONNECT_PATIENCE_MS);
        match need {
            Need::Nothing | Need::Loading | Need::Foreign => false,
            // The transaction itself cuts this node's own probe link: it is back in a moment.
            Need::Unknown => (reachable || just_sent) && !given_up,
            Need::Patience => !given_up,
            Need::Demotion | Need::Correction => true,
        }
    }

    /// Between plans: every known replica that is reachable and wrong is put right, as long as the master is sane and
    /// all that the sentinels' files know has had the time to come.
    pub(super) fn repair(&mut self, scene: &Scene<'_>, effects: &mut Vec<FailoverEffect>) {
        let Some(work) = self.work.get(scene.name) else {
            return;
        };
        let master = &scene.group.address;
        let is_sane =
            |f: &InstanceFacts| f.is_reachable(scene.now, 1_000) && f.role() == Some(ReportedRole::Master);
        if !work.instances.get(master).is_some_and(is_sane) {
            return;
        }
        let needs = needs(work, scene);
        for (replica, need) in needs {
            match need {
                Need::Nothing => self.forget_repair(scene, &replica),
                Need::Patience | Need::Unknown | Need::Loading | Need::Foreign => {}
                Need::Demotion | Need::Correction if !self.is_settled(scene, &replica, need) => {}
                Need::Correction if !self.grace_is_over(scene, &replica) => {}
                Need::Demotion | Need::Correction => self.follow(scene, &replica, need, false, effects),
            }
        }
    }

    /// Whether a file that is still to come cannot know better about this replica.
    fn is_settled(&mut self, scene: &Scene<'_>, replica: &HostPort, need: Need) -> bool {
        let presence = self.presence;
        let Some(work) = self.work.get_mut(scene.name) else {
            return false;
        };
        let report = work.instances.get(replica).and_then(|f| f.report.as_ref());
        let rival = match need {
            Need::Correction => report.and_then(|r| r.follows.as_ref()),
            _ => Some(replica),
        };
        let has_rival = rival.is_some_and(|rival| is_followed(rival, work.instances.values()));
        match settled_at(scene.group, work.config_since, presence, has_rival) {
            Some(at) if at > scene.now => {
                wake_at(work, at);
                false
            }
            _ => true,
        }
    }

    fn forget_repair(&mut self, scene: &Scene<'_>, replica: &HostPort) {
        if let Some(work) = self.work.get_mut(scene.name) {
            work.repairs.remove(replica);
        }
    }

    fn grace_is_over(&mut self, scene: &Scene<'_>, replica: &HostPort) -> bool {
        let Some(work) = self.work.get_mut(scene.name) else {
            return false;
        };
        let repair = work.repairs.entry(replica.clone()).or_insert_with(|| Repair {
            not_before: Some(scene.now.plus(WRONG_MASTER_GRACE_MS)),
            ..Repair::default()
        });
        let not_before = repair.not_before.unwrap_or(scene.now);
        if not_before > scene.now {
            wake_at(work, not_before);
            return false;
        }
        true
    }

    fn follow(
        &mut self,
        scene: &Scene<'_>,
        replica: &HostPort,
        need: Need,
        resume_writes: bool,
        effects: &mut Vec<FailoverEffect>,
    ) {
        let in_plan = scene.group.plan.is_some();
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        if let Some(not_before) = work.repairs.get(replica).and_then(|r| r.not_before) {
            if not_before > scene.now {
                return wake_at(work, not_before);
            }
        }
        let master = scene.group.address.clone();
        if !self.execute(
            scene,
            replica,
            Operation::Follow {
                master,
                resume_writes,
            },
            effects,
        ) {
            return;
        }
        let Some(work) = self.work.get_mut(scene.name) else {
            return;
        };
        let repair = work.repairs.entry(replica.clone()).or_default();
        let pause = REPAIR_PAUSE_MS
            .saturating_mul(1 << repair.tries.min(3))
            .min(REPAIR_PAUSE_MAX_MS);
        repair.tries = repair.tries.saturating_add(1);
        repair.not_before = Some(scene.now.plus(pause));
        let name = match need {
            Need::Demotion => EventName::ConvertToSlave,
            _ if in_plan => EventName::SlaveReconfSent,
            _ => EventName::FixSlaveConfig,
        };
        if in_plan && repair.stage.is_none() {
            repair.stage = Some(Reconf::Sent);
            repair.sent_at = scene.now;
            effects.push(work.flag(scene.name, replica, "reconf_sent"));
        }
        let instance = InstanceRef::replica(replica, scene.name, &scene.group.address);
        effects.push(FailoverEffect::Event(Event::about(name, &instance)));
    }
}

/// Replicas between sent and done.
fn syncing(work: &Work, now: MonoTime, patience_ms: u64) -> usize {
    let counts = |r: &&Repair| {
        matches!(r.stage, Some(Reconf::Sent | Reconf::InProgress)) && now.ms_since(r.sent_at) < patience_ms
    };
    work.repairs.values().filter(counts).count()
}

/// Publishes the progress of one replica: `+slave-reconf-inprog`, `+slave-reconf-done`.
fn announce(
    work: &mut Work,
    scene: &Scene<'_>,
    replica: &HostPort,
    (need, patience_ms): (Need, u64),
    effects: &mut Vec<FailoverEffect>,
) {
    let Some(repair) = work.repairs.get_mut(replica) else {
        return;
    };
    let mut said = Vec::new();
    if repair.stage == Some(Reconf::Sent) && matches!(need, Need::Patience | Need::Nothing) {
        repair.stage = Some(Reconf::InProgress);
        said.push((EventName::SlaveReconfInprog, "reconf_inprog"));
    }
    if repair.stage == Some(Reconf::InProgress) && need == Need::Nothing {
        repair.stage = Some(Reconf::Done);
        said.push((EventName::SlaveReconfDone, "reconf_done"));
    }
    let stuck = matches!(repair.stage, Some(Reconf::Sent | Reconf::InProgress))
        && scene.now.ms_since(repair.sent_at) > patience_ms;
    if stuck {
        repair.stage = Some(Reconf::Done);
        said.push((EventName::SlaveReconfSentTimeout, "reconf_done"));
    }
    let instance = InstanceRef::replica(replica, scene.name, &scene.group.address);
    for (name, flag) in said {
        effects.push(FailoverEffect::Event(Event::about(name, &instance)));
        effects.push(work.flag(scene.name, replica, flag));
    }
}

/// Takes the result of a `Follow`: a failed one may be tried again soon.
pub(super) fn followed(work: &mut Work, replica: &HostPort, result: &OperationResult, now: MonoTime) {
    let repair = work.repairs.entry(replica.clone()).or_default();
    match result {
        OperationResult::Refused(text) if text.starts_with("ERR ") || text.starts_with("NOPERM") => {
            let pause = REPAIR_PAUSE_MS
                .saturating_mul(1 << repair.tries.min(6))
                .min(REFUSED_PAUSE_MAX_MS);
            repair.not_before = Some(now.plus(pause));
        }
        OperationResult::Done { .. } | OperationResult::Refused(_) => {}
        OperationResult::Unreachable(_) | OperationResult::Denied(_) => {
            let pause = 100u64
                .saturating_mul(1 << repair.tries.min(6))
                .min(REPAIR_PAUSE_MAX_MS);
            repair.not_before = Some(now.plus(pause));
        }
    }
}
