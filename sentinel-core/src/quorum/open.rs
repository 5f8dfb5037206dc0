//! The raft_leader's decision to open a failover.

use std::collections::BTreeSet;

use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use super::core::{FRESH_REPORT_MS, QuorumCore, replica_facts, set_hold};
use super::types::{GroupSoft, Hold, QuorumEffect};
use crate::instance::{InstanceFacts, ReportedRole};
use crate::odown::witness_against;
use crate::proposing::Proposing;
use crate::replicated::{Command, EvidenceNote, Group, Phase, PlanCause, RefusalReason, Step};
use crate::select::{SelectContext, Selection, handed_to, is_eligible, select};
use crate::settle::{Presence, is_followed, settled_at};
use crate::time::MonoTime;

/// How long to wait for the fresh report of a replica that seems reachable before going on without it.
const REPORT_PATIENCE_MS: u64 = 150;

/// Proposes `OpenFailover` when everything speaks for it; else records what holds it back.
pub(super) fn consider(
    core: &mut QuorumCore,
    name: &MasterName,
    group: &Group,
    now: MonoTime,
    wall: WallTime,
    effects: &mut Vec<QuorumEffect>,
) {
    let (leads, majority, tilt, me) = (core.is_raft_leader, core.has_majority, core.in_tilt(), core.me);
    let epoch = core
        .proposed_epoch
        .max(core.state.current_epoch)
        .saturating_add(1);
    let others = (core.connected.clone(), core.presence);
    let Some(soft) = core.groups.get_mut(name) else {
        return;
    };
    let Some(odown_since) = soft.odown_since.filter(|_| group.plan.is_none()) else {
        return;
    };
    if !majority {
        return set_hold(soft, Some(Hold::NoMajority), name, effects);
    }
    if !leads || tilt || soft.proposing.busy(now).is_some() {
        return;
    }
    let (executor, selection) = match decide(group, soft, me, &others, odown_since, now) {
        Ok(decision) => decision,
        Err(hold) => {
            if hold == Hold::NoGoodReplica && !soft.no_good_announced {
                soft.no_good_announced = true;
                let master = InstanceRef::master(name, &group.address);
                let event = Event::about(EventName::FailoverAbortNoGoodSlave, &master);
                effects.push(QuorumEffect::Event(event));
            }
            return set_hold(soft, Some(hold), name, effects);
        }
    };
    set_hold(soft, None, name, effects);
    soft.proposing = Proposing::sent(now);
    let command = Command::OpenFailover {
        master: name.clone(),
        config_epoch: group.config_epoch,
        failover_epoch: epoch,
        executor,
        cause: PlanCause::ObjectivelyDown {
            agreeing: soft.agreeing,
            odown_quorum: group.options.odown_quorum,
        },
        evidence: evidence(soft, &core.state.members, now),
        before: [
            (Step::FirstDown, soft.first_down),
            (Step::ObjectivelyDown, soft.odown_at),
        ]
        .into_iter()
        .filter_map(|(step, at)| at.map(|at| (step, at)))
        .collect(),
        choice: selection.and_then(|s| s.chosen.map(|chosen| (chosen, s.refused))),
        at: wall,
    };
    core.proposed_epoch = epoch;
    effects.push(QuorumEffect::Propose(name.clone(), command));
}

/// Without a suspicion replicas are probed once a second.
const RECENT_REPORT_MS: u64 = 2_000;

type Decision = (NodeId, Option<Selection>);

fn decide(
    group: &Group,
    soft: &GroupSoft,
    me: NodeId,
    (connected, presence): &(BTreeSet<NodeId>, Presence),
    odown_since: MonoTime,
    now: MonoTime,
) -> Result<Decision, Hold> {
    if soft.not_before.is_some_and(|t| t > now) {
        return Err(Hold::Backoff);
    }
    let replicas = replica_facts(group, soft);
    // One that the group's master itself follows is beyond doubt: it is the one to be chosen.
    let report = soft.instances.get(&group.address).and_then(|m| m.report.as_ref());
    let followed = report.and_then(|r| r.follows.as_ref());
    let is_master = |r: &&&InstanceFacts| {
        r.connected && r.role() == Some(ReportedRole::Master) && followed != Some(&r.address)
    };
    if let Some(master) = replicas.iter().find(is_master) {
        let followed = is_followed(&master.address, replicas.iter().copied());
        let settled = settled_at(group, soft.config_since, *presence, followed);
        if settled.is_some_and(|at| at > now) {
            return Err(Hold::Unsettled(master.address.clone()));
        }
    }
    let master = soft.instances.get(&group.address);
    if group.options.replica_witness {
        let silent = master.and_then(|m| m.silent_since);
        let witness = silent.and_then(|since| witness_against(&replicas, &group.address, since));
        if let Some(witness) = witness {
            return Err(Hold::Witness(witness.clone()));
        }
    }
    let selection = select_for(group, soft, &[], now);
    let waiting = selection
        .refused
        .iter()
        .any(|r| r.reason == RefusalReason::StaleReport);
    if waiting && now.ms_since(odown_since) < REPORT_PATIENCE_MS {
        return Err(Hold::Reports);
    }
    if selection.chosen.is_some() {
        return Ok((me, Some(selection)));
    }
    // This node sees nobody to promote; another one may.
    let better = soft
        .opinions
        .iter()
        .filter(|(node, (opinion, _))| connected.contains(node) && opinion.promotable_replicas > 0)
        .max_by_key(|(node, (opinion, _))| (opinion.promotable_replicas, std::cmp::Reverse(**node)));
    let mine = soft.opinions.get(&me).map_or(0, |(o, _)| o.promotable_replicas);
    match better {
        Some((node, (opinion, _))) if opinion.promotable_replicas > mine => Ok((*node, None)),
        _ => Err(Hold::NoGoodReplica),
    }
}

/// Selection from this node's facts, with reports of the last moments only.
pub(super) fn select_for(group: &Group, soft: &GroupSoft, failed: &[HostPort], now: MonoTime) -> Selection {
    select(
        &replica_facts(group, soft),
        &context(group, soft, failed, now),
        now,
    )
}

/// Replicas that this node could promote, by reports of the last probes.
pub(super) fn promotable(group: &Group, soft: &GroupSoft, now: MonoTime) -> u32 {
    let reachable = |r: &&InstanceFacts| r.is_reachable(now, 1_000);
    let context = SelectContext {
        reports_since: MonoTime(now.0.saturating_sub(RECENT_REPORT_MS)),
        ..context(group, soft, &[], now)
    };
    let replicas = replica_facts(group, soft).into_iter().filter(reachable);
    let eligible = replicas.filter(|r| is_eligible(r, &context, now));
    u32::try_from(eligible.count()).unwrap_or(u32::MAX)
}

fn context<'a>(
    group: &'a Group,
    soft: &'a GroupSoft,
    failed: &'a [HostPort],
    now: MonoTime,
) -> SelectContext<'a> {
    let down_since = soft.instances.get(&group.address).and_then(|m| m.sdown_since);
    SelectContext {
        group,
        handed_to: handed_to(soft.instances.get(&group.address)),
        reports_since: MonoTime(now.0.saturating_sub(FRESH_REPORT_MS)),
        master_down_ms: down_since.map_or(0, |since| now.ms_since(since)),
        down_after_ms: group.options.down_after_ms,
        failed,
    }
}

fn evidence(
    soft: &GroupSoft,
    members: &std::collections::BTreeMap<NodeId, crate::replicated::Member>,
    now: MonoTime,
) -> Vec<EvidenceNote> {
    let note = |(node, (opinion, at)): (&NodeId, &(sentinel_proto::peer::Opinion, MonoTime))| {
        let observer = members.get(node)?.myid.clone();
        let age_ms = opinion.class_age_ms.saturating_add(now.ms_since(*at));
        Some(EvidenceNote {
            observer,
            class: opinion.class,
            age_ms,
        })
    };
    soft.opinions.iter().filter_map(note).collect()
}

/// Sentinels that agreed when the open plan was committed, until it switches.
pub(super) fn committed_agreement(group: &Group) -> Option<u32> {
    let plan = group
        .plan
        .as_ref()
        .filter(|plan| !matches!(plan.phase, Phase::Switched { .. }))?;
    match plan.cause {
        PlanCause::ObjectivelyDown { agreeing, .. } => Some(agreeing),
        PlanCause::Forced | PlanCause::Coordinated => None,
    }
}
