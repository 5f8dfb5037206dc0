//! Opinions, ODOWN and replica discovery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::peer::Opinion;
use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use super::open;
use super::opinion::{differs, own_opinion, show};
use super::tilt::Tilt;
use super::types::{GroupSoft, Hold, QuorumEffect, QuorumInput};
use super::{foreign, lineage};
use crate::instance::InstanceFacts;
use crate::lineage::Kinship;
use crate::odown::{OPINION_REFRESH_MS, OPINION_TTL_MS, Subject, crash_is_plausible, tally};
use crate::proposing::Proposing;
use crate::replicated::{Command, Group, State};
use crate::settle::Presence;
use crate::time::MonoTime;

/// Replica reports older than this do not count as fresh.
pub(super) const FRESH_REPORT_MS: u64 = 300;

/// See the module's description.
#[derive(Debug)]
pub struct QuorumCore {
    pub(super) me: NodeId,
    pub(super) state: Arc<State>,
    pub(super) groups: BTreeMap<MasterName, GroupSoft>,
    pub(super) is_raft_leader: bool,
    pub(super) has_majority: bool,
    pub(super) connected: BTreeSet<NodeId>,
    pub(super) presence: Presence,
    /// Highest failover epoch proposed: proposals for several groups may be on their way at once.
    pub(super) proposed_epoch: u64,
    refresh_at: MonoTime,
    pub(super) tilt: Tilt,
}

impl QuorumCore {
    /// Starts with the recovered state.
    #[must_use]
    pub fn new(me: NodeId, state: Arc<State>, now: MonoTime) -> Self {
        let mut core = Self {
            me,
            state: Arc::new(State::default()),
            groups: BTreeMap::new(),
            is_raft_leader: false,
            has_majority: false,
            connected: BTreeSet::new(),
            presence: Presence::default(),
            proposed_epoch: 0,
            refresh_at: now,
            tilt: Tilt::default(),
        };
        let _ = core.adopt(state, now);
        core
    }

    /// Soft state by group.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<MasterName, GroupSoft> {
        &self.groups
    }

    /// Takes one input at `now`; `wall` goes into proposals.
    pub fn step(
        &mut self,
        now: MonoTime,
        wall: WallTime,
        input: QuorumInput,
        effects: &mut Vec<QuorumEffect>,
    ) {
        let mut changed = Vec::new();
        if let QuorumInput::Opinions(_, opinions) = &input {
            show(opinions, effects);
        }
        let moved = self.watch_tilt(now, effects);
        if let QuorumInput::Hello(name, hello) = &input {
            self.heard(name, hello, effects);
        }
        let touched = self.take(now, input);
        match if moved { Touched::All } else { touched } {
            Touched::None => {}
            Touched::One(name) => self.evaluate(&name, now, wall, &mut changed, effects),
            Touched::Some(names) => self.evaluate_each(names, now, wall, &mut changed, effects),
            Touched::All => {
                let names = self.groups.keys().cloned().collect();
                self.evaluate_each(names, now, wall, &mut changed, effects);
            }
        }
        if now >= self.refresh_at {
            self.refresh_at = now.plus(OPINION_REFRESH_MS);
            changed = self.own_opinions();
            show(&changed, effects);
        }
        if !changed.is_empty() {
            effects.push(QuorumEffect::Broadcast(changed));
        }
        self.tilt.expect(self.poll_timeout(now));
    }

    /// When to be called with [`QuorumInput::Timer`] next.
    #[must_use]
    pub fn poll_timeout(&self, now: MonoTime) -> MonoTime {
        let pending = self.groups.values().filter(|g| g.attention).flat_map(|g| {
            let soon = (self.is_raft_leader && g.odown_since.is_some()).then(|| now.plus(50));
            [
                soon,
                g.not_before.filter(|t| *t > now),
                g.proposing.busy(now),
                g.reached_since.map(|t| t.plus(OUTVOTED_MS)),
            ]
        });
        let next = pending
            .flatten()
            .filter(|t| *t > now)
            .chain(self.tilt.until())
            .min();
        next.map_or(self.refresh_at, |t| t.min(self.refresh_at)).max(now)
    }

    fn take(&mut self, now: MonoTime, input: QuorumInput) -> Touched {
        match input {
            QuorumInput::State(state) => Touched::Some(self.adopt(state, now)),
            QuorumInput::Instance(name, facts) => {
                let Some(group) = self.groups.get_mut(&name) else {
                    return Touched::None;
                };
                group.instances.insert(facts.address.clone(), *facts);
                Touched::One(name)
            }
            QuorumInput::InstanceGone(name, address) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.instances.remove(&address);
                }
                Touched::One(name)
            }
            QuorumInput::Listed(name, by, replicas) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.listed = Some((by, replicas));
                }
                Touched::One(name)
            }
            QuorumInput::Opinions(from, opinions) => {
                let many = opinions.len() > 1;
                let first = opinions.first().map(|o| o.master.clone());
                for opinion in opinions {
                    if let Some(group) = self.groups.get_mut(&opinion.master) {
                        group.opinions.insert(from, (opinion, now));
                    }
                }
                if many {
                    Touched::All
                } else {
                    first.map_or(Touched::None, Touched::One)
                }
            }
            QuorumInput::Raft {
                is_raft_leader,
                has_majority,
            } => {
                self.is_raft_leader = is_raft_leader;
                self.has_majority = has_majority;
                self.groups
                    .values_mut()
                    .for_each(|g| g.proposing = Proposing::default());
                Touched::All
            }
            QuorumInput::Peers(connected) => {
                self.connected = connected;
                self.presence.update(self.me, &self.state, &self.connected, now);
                Touched::All
            }
            QuorumInput::Proposed(name, answer) => {
                let busy = |(other, soft): (&MasterName, &GroupSoft)| {
                    *other != name && soft.proposing.busy(now).is_some()
                };
                if answer.is_none() && !self.groups.iter().any(busy) {
                    // No epoch is on its way any more: the next proposal need not leave a gap.
                    self.proposed_epoch = self.state.current_epoch;
                }
                if let Some(group) = self.groups.get_mut(&name) {
                    group.proposing = Proposing::answered(answer, self.state.last_applied, now);
                }
                Touched::One(name)
            }
            QuorumInput::Hello(..) => Touched::None,
            QuorumInput::Timer => Touched::All,
        }
    }

    /// Takes over a state; returns the groups that differ from before (unchanged ones are shared).
    fn adopt(&mut self, state: Arc<State>, now: MonoTime) -> Vec<MasterName> {
        self.groups.retain(|name, _| state.groups.contains_key(name));
        let mut touched = Vec::new();
        for group in state.groups_changed_since(&self.state) {
            let name = &group.name;
            touched.push(name.clone());
            let soft = self.groups.entry(name.clone()).or_default();
            if soft.incarnation != group.incarnation {
                *soft = GroupSoft {
                    incarnation: group.incarnation,
                    listening: soft.listening,
                    ..GroupSoft::default()
                };
                soft.closed_plans = closed_plans(group);
                soft.config_epoch = group.config_epoch;
                soft.config_since = now;
            }
            if soft.config_epoch != group.config_epoch {
                // Opinions and ODOWN were about the former address: a new master is never judged by them.
                soft.config_epoch = group.config_epoch;
                soft.config_since = now;
                soft.opinions.clear();
                soft.odown_since = None;
                soft.reached_since = None;
                soft.first_down = None;
                soft.hold = None;
                soft.listed = None;
                soft.no_good_announced = false;
            }
            if soft.closed_plans != closed_plans(group) {
                soft.closed_plans = closed_plans(group);
                let failed = group
                    .history
                    .back()
                    .is_some_and(|closed| !closed.outcome.switched());
                soft.failures = if failed {
                    soft.failures.saturating_add(1)
                } else {
                    0
                };
                soft.not_before = failed.then(|| now.plus(backoff_ms(soft.failures)));
            }
        }
        for (name, soft) in &mut self.groups {
            if soft.proposing.see(state.last_applied) && !touched.contains(name) {
                touched.push(name.clone());
            }
        }
        self.proposed_epoch = self.proposed_epoch.max(state.current_epoch);
        self.state = state;
        self.presence.update(self.me, &self.state, &self.connected, now);
        touched
    }

    fn evaluate_each(
        &mut self,
        names: Vec<MasterName>,
        now: MonoTime,
        wall: WallTime,
        changed: &mut Vec<Opinion>,
        effects: &mut Vec<QuorumEffect>,
    ) {
        for name in names {
            self.evaluate(&name, now, wall, changed, effects);
        }
    }

    fn evaluate(
        &mut self,
        name: &MasterName,
        now: MonoTime,
        wall: WallTime,
        changed: &mut Vec<Opinion>,
        effects: &mut Vec<QuorumEffect>,
    ) {
        let Some(group) = self.state.groups.get(name).cloned() else {
            return;
        };
        let Some(soft) = self.groups.get_mut(name) else {
            return;
        };
        foreign::listen(name, soft, self.is_raft_leader && self.has_majority, effects);
        let me = self.me;
        soft.opinions
            .retain(|node, (_, at)| *node == me || now.ms_since(*at) <= OPINION_TTL_MS);
        let tilt = self.tilt.is_on();
        if let Some(opinion) = own_opinion(&group, soft, tilt, now) {
            let before = soft.opinions.insert(self.me, (opinion.clone(), now));
            if before.is_none_or(|(before, _)| differs(&before, &opinion)) {
                changed.push(opinion);
                effects.push(QuorumEffect::Changed(name.clone()));
            }
        }
        attend(name, &group, soft, effects);
        // A stalled node changes no verdict until it has looked again.
        if tilt {
            return;
        }
        judge(&group, soft, self.me, now, wall, effects);
        self.discover(name, &group, now, wall, effects);
        lineage::record(self, name, &group, now, effects);
        open::consider(self, name, &group, now, wall, effects);
    }

    fn own_opinions(&self) -> Vec<Opinion> {
        let own = self
            .groups
            .values()
            .filter_map(|soft| soft.opinions.get(&self.me));
        own.map(|(opinion, _)| opinion.clone()).collect()
    }

    /// Proposes replicas that the master lists and the log does not know.
    fn discover(
        &mut self,
        name: &MasterName,
        group: &Group,
        now: MonoTime,
        wall: WallTime,
        effects: &mut Vec<QuorumEffect>,
    ) {
        if !self.is_raft_leader || !self.has_majority {
            return;
        }
        let Some(soft) = self.groups.get_mut(name) else {
            return;
        };
        let Some((by, replicas)) = soft.listed.as_ref().filter(|(by, _)| *by == group.address) else {
            return;
        };
        let is_new = |r: &&HostPort| **r != group.address && !group.replicas.contains_key(*r);
        let new: Vec<HostPort> = replicas.iter().filter(is_new).cloned().collect();
        if new.is_empty() || soft.proposing.busy(now).is_some() {
            return;
        }
        soft.proposing = Proposing::sent(now);
        let command = Command::AddReplicas {
            master: name.clone(),
            listed_by: by.clone(),
            replicas: new,
            at: wall,
        };
        effects.push(QuorumEffect::Propose(name.clone(), command));
    }
}

enum Touched {
    None,
    One(MasterName),
    Some(Vec<MasterName>),
    All,
}

/// How long the others must agree before a node that does not see it is outvoted.
const OUTVOTED_MS: u64 = 1_000;

fn closed_plans(group: &Group) -> u64 {
    group
        .history
        .back()
        .map_or(0, |closed| closed.plan.failover_epoch)
}

/// 0.1 s doubling to 5 s.
fn backoff_ms(failures: u32) -> u64 {
    100u64
        .saturating_mul(1 << failures.saturating_sub(1).min(6))
        .min(5_000)
}

fn attend(name: &MasterName, group: &Group, soft: &mut GroupSoft, effects: &mut Vec<QuorumEffect>) {
    let own = soft.instances.get(&group.address);
    let suspect = own.is_some_and(|f| {
        let replaced = f.emptied_since.is_some() || matches!(f.kinship, Kinship::Foreign(_));
        f.silent_since.is_some() || f.sdown_since.is_some() || replaced
    });
    let others = soft.opinions.values().any(|(o, _)| o.down);
    let attention = suspect || others || group.plan.is_some();
    if attention != soft.attention {
        soft.attention = attention;
        effects.push(QuorumEffect::Attention(name.clone(), attention));
    }
}

fn judge(
    group: &Group,
    soft: &mut GroupSoft,
    me: NodeId,
    now: MonoTime,
    wall: WallTime,
    effects: &mut Vec<QuorumEffect>,
) {
    let subject = Subject {
        address: &group.address,
        config_epoch: group.config_epoch,
        odown_quorum: group.options.odown_quorum,
        down_after_ms: group.options.down_after_ms,
    };
    let replicas = replica_facts(group, soft);
    let plausible = crash_is_plausible(&replicas, MonoTime(now.0.saturating_sub(FRESH_REPORT_MS)));
    let count = tally(&soft.opinions, subject, plausible, now);
    soft.agreeing = count.agreeing;
    if soft.first_down.is_none() && soft.opinions.values().any(|(o, _)| o.down) {
        soft.first_down = Some(wall);
    }
    soft.reached_since = count.reached.then(|| soft.reached_since.unwrap_or(now));
    let mine = soft.opinions.get(&me).is_some_and(|(o, _)| o.down);
    let outvoted = soft
        .reached_since
        .is_some_and(|since| now.ms_since(since) >= OUTVOTED_MS);
    // A committed plan says so too: a node that is slower than the failover still shows what it is about.
    let committed = open::committed_agreement(group);
    let odown = count.reached && (mine || outvoted) || committed.is_some();
    // Who speaks of a later epoch knows of a switch that is still on its way here: that ends this, with its own events.
    let overtaken = soft
        .opinions
        .values()
        .any(|(o, _)| o.config_epoch > group.config_epoch);
    if odown == soft.odown_since.is_some() || !odown && overtaken {
        return;
    }
    let master = InstanceRef::master(&group.name, &group.address);
    if odown {
        soft.odown_since = Some(now);
        soft.odown_at = Some(wall);
        let agreeing = count.agreeing.max(committed.unwrap_or(0));
        let agreeing = usize::try_from(agreeing).unwrap_or(usize::MAX);
        effects.push(QuorumEffect::Event(Event::odown(
            &master,
            agreeing,
            group.options.odown_quorum,
        )));
    } else {
        soft.odown_since = None;
        soft.first_down = None;
        soft.no_good_announced = false;
        soft.hold = None;
        effects.push(QuorumEffect::Event(Event::about(EventName::OdownEnd, &master)));
    }
    effects.push(QuorumEffect::Changed(group.name.clone()));
}

pub(super) fn replica_facts<'a>(group: &Group, soft: &'a GroupSoft) -> Vec<&'a InstanceFacts> {
    group
        .replicas
        .keys()
        .filter_map(|r| soft.instances.get(r))
        .collect()
}

pub(super) fn set_hold(
    soft: &mut GroupSoft,
    hold: Option<Hold>,
    name: &MasterName,
    effects: &mut Vec<QuorumEffect>,
) {
    if soft.hold != hold {
        soft.hold = hold;
        effects.push(QuorumEffect::Changed(name.clone()));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
