//! A coordinated failover: the master itself hands over to the chosen replica, by `FAILOVER TO`.
//!
//! ```text
//! Idle --HandOver--> Accepted --role:slave--> Handed     replica says role:master -> Release it, Switch, Release the other
//!   \                   |  \                    \
//!    \ refused, or no   |   \ master gone        \ replica does not show up
//!     v answer          |    v                    v
//!    Look (successors   |   Over: promoted by SLAVEOF NO ONE, as in any other failover
//!     begin here)       |
//!                       v  refused, or ended by itself, or called off (FAILOVER ABORT)
//!                     Resume --CLIENT UNPAUSE--> Undone -> Close
//! ```
//!
//! Invariants:
//! * once the order may have reached the master, the plan is only given up when that master says that it is one and
//!   hands nothing over; a replica that it promoted meanwhile would be a master that no plan knows of;
//! * writes are resumed on the old master only while it says so, or after it has become a replica (see
//!   [`Operation::Release`]): no acknowledged write can be lost;
//! * all transitions are made from what servers say, so sending again, and a successor, do no harm.
//!
//! References: sentinel.c of Valkey 9 `sentinelFailoverSendFailover`; `failoverCommand` in Redis's replication.c.
//! Deviations: there is no election besides the log; a chosen replica that is subjectively down is not waited for until
//! failover-timeout.

use sentinel_proto::info::{InstanceReport, ReportedRole};
use sentinel_proto::role::RoleReport;
use sentinel_proto::types::{HostPort, WallTime};

use super::core::FailoverCore;
use super::drive::{OFFSET_POLL_MS, close, offset_of, retry};
use super::types::{FailoverEffect, Operation, OperationResult};
use super::work::{Attempt, Scene, Work, wake_at};
use crate::instance::InstanceFacts;
use crate::replicated::{Phase, Plan, PlanCause, PlanOutcome};
use crate::time::MonoTime;

/// With less than this left of failover-timeout nothing is begun.
const LEAST_MS: u64 = 1_000;
/// A master without an answer for this long is not reachable.
const MASTER_PATIENCE_MS: u64 = 1_000;
/// The master is asked this often how far it is.
const MASTER_POLL_MS: u64 = 100;
/// The replica is asked often for this long, for a hand-over mostly takes a few milliseconds ...
const EAGER_MS: u64 = 1_000;
/// ... and then this often.
const PATIENT_POLL_MS: u64 = 25;
/// A release without an answer is sent again after this long.
const RELEASE_PAUSE_MS: u64 = 200;

/// How far the hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// Nothing was sent in this plan.
    Idle,
    /// Something may have been sent: ask the master. `refused`: it answered with an error.
    Look { refused: bool },
    /// The master is at it since then; `offset` is where its stream ended with writes paused, `None` = not known.
    Accepted {
        since: MonoTime,
        offset: Option<u64>,
        /// The replica has that offset.
        reached: bool,
        /// When the master is to be asked again.
        look_at: MonoTime,
    },
    /// The master is a replica and hands nothing over any more: the chosen one must be a master, or become one.
    Handed { since: MonoTime },
    /// It did not work out: writes are to be resumed.
    Resume,
    /// They are: the plan is to be closed.
    Undone,
    /// The master is gone: the chosen replica is promoted by this node.
    Over,
}

impl Handover {
    /// Before the choice nothing can have been sent; afterwards a former executor, or this node before it was started
    /// again, may have.
    pub(super) fn at_start_of(plan: &Plan) -> Self {
        match plan.phase {
            Phase::Opened => Self::Idle,
            _ => Self::Look { refused: false },
        }
    }
}

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
struct Sight {
    /// The old master answers.
    master_reachable: bool,
    /// The old master is subjectively down here.
    master_down: bool,
    /// The chosen replica is subjectively down here.
    replica_down: bool,
    /// What is left of failover-timeout.
    left_ms: u64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Wait,
    Send,
    Look,
    Poll,
    CallOff,
    Resume,
    Close(PlanOutcome),
    GoOn,
}

fn next(handover: Handover, sight: Sight) -> Next {
    let out_of_time = sight.left_ms == 0;
    let lost = !sight.master_reachable && (sight.master_down || out_of_time);
    match handover {
        Handover::Idle if sight.master_down || sight.left_ms < LEAST_MS => {
            Next::Close(PlanOutcome::RevokeTimeout)
        }
        Handover::Idle if sight.replica_down => Next::Close(PlanOutcome::ReplicaTimeout),
        Handover::Idle if sight.master_reachable => Next::Send,
        Handover::Look { .. } if lost => Next::GoOn,
        Handover::Look { .. } if sight.master_reachable => Next::Look,
        Handover::Idle | Handover::Look { .. } => Next::Wait,
        Handover::Accepted { reached, .. } => match sight.master_reachable {
            false if lost || reached => Next::GoOn,
            true if out_of_time || sight.replica_down => Next::CallOff,
            _ => Next::Poll,
        },
        Handover::Handed { .. } if out_of_time => Next::GoOn,
        Handover::Handed { .. } => Next::Poll,
        // The pause ends by itself, and whoever is master then is another plan's question.
        Handover::Resume if lost => Next::Close(PlanOutcome::ReplicaTimeout),
        Handover::Resume if sight.master_reachable => Next::Resume,
        Handover::Resume => Next::Wait,
        Handover::Undone => Next::Close(PlanOutcome::ReplicaTimeout),
        Handover::Over => Next::GoOn,
    }
}

impl FailoverCore {
    /// One look at the hand-over. Returns whether to wait; `false` = promote the chosen replica.
    pub(super) fn hand_over(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let master = &plan.old_address;
        let Some(work) = self.work.get_mut(scene.name) else {
            return true;
        };
        let Some((handover, sight)) = sight(work, scene, plan, replica) else {
            return true;
        };
        let next = next(handover, sight);
        if next == Next::GoOn {
            go_on(work, scene);
            return false;
        }
        wake_at(work, scene.now.plus(MASTER_POLL_MS));
        let not_before = work.attempt.as_ref().and_then(|a| a.not_before);
        if let Some(not_before) = not_before.filter(|t| *t > scene.now) {
            wake_at(work, not_before);
            return true;
        }
        // What is on its way to the master decides first.
        if work.on_the_way.contains_key(master) && next != Next::Poll {
            return true;
        }
        let order = match next {
            Next::Send => Operation::HandOver {
                to: replica.clone(),
                ms: sight.left_ms,
            },
            Next::Look => Operation::ReadReplication,
            Next::CallOff => Operation::CallOff,
            Next::Resume => Operation::ResumeWrites,
            Next::Poll => {
                self.poll(scene, plan, replica, effects);
                return true;
            }
            Next::Close(outcome) => {
                self.propose(scene, close(scene, plan, outcome), effects);
                return true;
            }
            Next::Wait | Next::GoOn => return true,
        };
        if self.cut_former_executor(scene, plan, master, effects) {
            return true;
        }
        let begins = matches!(order, Operation::HandOver { .. });
        if self.execute(scene, master, order, effects) && begins {
            self.announce_waiting(scene, replica, effects);
        }
        true
    }

    /// Asks the replica whether it is a master, and now and then the master whether it still tries.
    fn poll(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) {
        self.announce_waiting(scene, replica, effects);
        let Some(attempt) = self.work.get_mut(scene.name).and_then(|w| w.attempt.as_mut()) else {
            return;
        };
        let (since, look) = match &mut attempt.handover {
            Handover::Accepted { since, look_at, .. } => {
                let due = *look_at <= scene.now;
                if due {
                    *look_at = scene.now.plus(MASTER_POLL_MS);
                }
                (*since, due)
            }
            Handover::Handed { since } => (*since, false),
            _ => return,
        };
        let eager = scene.now.ms_since(since) < EAGER_MS;
        let pause = if eager { OFFSET_POLL_MS } else { PATIENT_POLL_MS };
        attempt.not_before = Some(scene.now.plus(pause));
        if let Some(work) = self.work.get_mut(scene.name) {
            wake_at(work, scene.now.plus(pause));
        }
        self.execute(scene, replica, Operation::ReadRole, effects);
        if look {
            self.execute(scene, &plan.old_address, Operation::ReadReplication, effects);
        }
    }

    /// The new master sends its clients away before the switch, so that nobody who comes because of it is sent away again.
    /// Returns whether to wait; without an answer the switch is not held up, and it is sent again afterwards.
    pub(super) fn release_promoted(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        replica: &HostPort,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let Some(work) = self.work.get_mut(scene.name) else {
            return false;
        };
        let handed_over = |a: &Attempt| plan.cause == PlanCause::Coordinated && a.was_handed_over();
        let Some(attempt) = work.attempt.as_ref().filter(|a| handed_over(a)) else {
            return false;
        };
        if attempt.released.contains(replica) || attempt.release_not_before.is_some() {
            return false;
        }
        self.execute(scene, replica, Operation::Release { demoted: false }, effects);
        true
    }

    /// After the switch: the servers rewrite their files, send their clients away and take writes again. Returns whether
    /// one still has to.
    pub(super) fn release(
        &mut self,
        scene: &Scene<'_>,
        plan: &Plan,
        effects: &mut Vec<FailoverEffect>,
    ) -> bool {
        let mut pending = false;
        for (instance, demoted) in [(&plan.old_address, true), (&scene.group.address, false)] {
            let Some(work) = self.work.get_mut(scene.name) else {
                return false;
            };
            let reachable = work
                .instances
                .get(instance)
                .is_some_and(|f| answers(f, scene.now));
            let Some(attempt) = work.attempt.as_ref() else {
                return false;
            };
            if attempt.released.contains(instance) {
                continue;
            }
            pending |= reachable;
            if let Some(not_before) = attempt.release_not_before.filter(|t| *t > scene.now) {
                wake_at(work, not_before);
                continue;
            }
            if !self.cut_former_executor(scene, plan, instance, effects) {
                self.execute(scene, instance, Operation::Release { demoted }, effects);
            }
        }
        pending
    }
}

impl FailoverCore {
    /// Whether this server has sent its clients away, or will not.
    pub(super) fn is_released(&self, scene: &Scene<'_>, instance: &HostPort) -> bool {
        let attempt = self.work.get(scene.name).and_then(|w| w.attempt.as_ref());
        attempt.is_none_or(|a| a.released.contains(instance))
    }
}

impl Attempt {
    /// As far as known, the master itself promoted the replica; one that this node promoted needs no release.
    pub(super) fn was_handed_over(&self) -> bool {
        self.handover != Handover::Over
    }
}

/// Unlike [`InstanceFacts::is_reachable`] also for a server that is subjectively down for what it says: a master that
/// hands over says that it is a replica.
fn answers(facts: &InstanceFacts, now: MonoTime) -> bool {
    let silent = |since: MonoTime| now.ms_since(since) > MASTER_PATIENCE_MS;
    facts.connected && !facts.silent_since.is_some_and(silent)
}

fn sight(work: &Work, scene: &Scene<'_>, plan: &Plan, replica: &HostPort) -> Option<(Handover, Sight)> {
    let attempt = work.attempt.as_ref()?;
    let master = work.instances.get(&plan.old_address);
    let spent = scene.now.ms_since(attempt.started);
    let master_reachable = master.is_some_and(|f| answers(f, scene.now));
    let sight = Sight {
        master_reachable,
        master_down: !master_reachable && master.is_some_and(|f| f.sdown_since.is_some()),
        replica_down: work
            .instances
            .get(replica)
            .is_some_and(|f| f.sdown_since.is_some()),
        left_ms: scene.group.options.failover_timeout_ms.saturating_sub(spent),
    };
    Some((attempt.handover, sight))
}

/// From here on it is a failover like any other, with its own time.
fn go_on(work: &mut Work, scene: &Scene<'_>) {
    let Some(attempt) = work.attempt.as_mut() else {
        return;
    };
    if attempt.handover != Handover::Over {
        attempt.handover = Handover::Over;
        attempt.started = scene.now;
        attempt.tries = 0;
        attempt.first_failure = None;
        attempt.not_before = None;
    }
}

/// What a server says about a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// A master that hands nothing over.
    Master,
    /// At it.
    Trying,
    /// A replica.
    Replica,
}

fn stand(report: &InstanceReport) -> Option<Stand> {
    let trying = report
        .failover_state
        .as_deref()
        .is_some_and(|s| s != "no-failover");
    match report.role? {
        _ if trying => Some(Stand::Trying),
        ReportedRole::Master => Some(Stand::Master),
        ReportedRole::Replica => Some(Stand::Replica),
    }
}

fn accepted(report: Option<&InstanceReport>, now: MonoTime) -> Handover {
    let offset = report.and_then(|r| r.master_repl_offset);
    Handover::Accepted {
        since: now,
        offset: offset.and_then(|o| u64::try_from(o).ok()),
        reached: false,
        look_at: now.plus(MASTER_POLL_MS),
    }
}

/// Takes the result of an operation of the hand-over. `None` = not one of it; else whether the replica said that it is
/// a master.
pub(super) fn advance(
    attempt: &mut Attempt,
    what: &Operation,
    result: &OperationResult,
    now: MonoTime,
    wall: WallTime,
) -> Option<bool> {
    if matches!(result, OperationResult::Denied(_)) {
        return None;
    }
    match (what, result) {
        (Operation::HandOver { .. }, OperationResult::Done { report, .. }) => {
            attempt.revoked_at = attempt.revoked_at.or(Some(wall));
            attempt.handover = accepted(report.as_deref(), now);
        }
        (Operation::HandOver { .. }, OperationResult::Refused(_)) => {
            attempt.handover = Handover::Look { refused: true };
        }
        (Operation::HandOver { .. }, _) => {
            attempt.handover = Handover::Look { refused: false };
            retry(attempt, now);
        }
        (
            Operation::ReadReplication | Operation::CallOff,
            OperationResult::Done {
                report: Some(report), ..
            },
        ) => looked(attempt, what, report, now),
        (Operation::ReadReplication | Operation::CallOff, _) => retry(attempt, now),
        (Operation::ResumeWrites, OperationResult::Unreachable(_))
            if attempt.handover == Handover::Resume =>
        {
            retry(attempt, now);
        }
        (Operation::ResumeWrites, _) if attempt.handover == Handover::Resume => {
            attempt.handover = Handover::Undone;
        }
        (Operation::ReadRole, result) => return polled(attempt, result, wall),
        _ => return None,
    }
    Some(false)
}

fn looked(attempt: &mut Attempt, what: &Operation, report: &InstanceReport, now: MonoTime) {
    let Some(stand) = stand(report) else {
        return retry(attempt, now);
    };
    attempt.handover = match (attempt.handover, stand) {
        (Handover::Look { refused: false }, Stand::Master) => Handover::Idle,
        (Handover::Look { .. } | Handover::Accepted { .. }, Stand::Master) => Handover::Resume,
        (Handover::Look { .. }, Stand::Trying) => accepted(Some(report), now),
        (Handover::Look { .. } | Handover::Accepted { .. }, Stand::Replica) => {
            Handover::Handed { since: now }
        }
        (same, _) => same,
    };
    if *what == Operation::CallOff && stand == Stand::Trying {
        retry(attempt, now);
    }
}

fn polled(attempt: &mut Attempt, result: &OperationResult, wall: WallTime) -> Option<bool> {
    let (Handover::Accepted { .. } | Handover::Handed { .. }) = attempt.handover else {
        return None;
    };
    let OperationResult::Done { role, report } = result else {
        return Some(false);
    };
    if matches!(role, Some(RoleReport::Master { .. })) {
        attempt.promoted_at = Some(wall);
        // The master waits for equal offsets before it steps down.
        attempt.loss_bound_bytes = Some(0);
        return Some(true);
    }
    if let Handover::Accepted {
        offset: Some(offset),
        reached,
        ..
    } = &mut attempt.handover
    {
        *reached |= offset_of(role.as_ref(), report.as_deref()).is_some_and(|o| o >= *offset);
    }
    Some(false)
}

/// Takes the result of a release. An old master that refuses because it still is one is demoted like any other.
pub(super) fn released(work: &mut Work, instance: &HostPort, result: &OperationResult, now: MonoTime) {
    let Some(attempt) = work.attempt.as_mut() else {
        return;
    };
    match result {
        OperationResult::Done { .. } | OperationResult::Refused(_) => {
            attempt.released.insert(instance.clone());
        }
        OperationResult::Unreachable(_) | OperationResult::Denied(_) => {
            attempt.release_not_before = Some(now.plus(RELEASE_PAUSE_MS));
        }
    }
}
