//! What a node says about a change of the replicated state: Sentinel's events, in Sentinel's order. Pure.
//!
//! ```text
//! change          every node                      executor only                    others only
//! PlanOpened      +new-epoch, +vote-for-leader    +try-failover, +elected-leader,
//!                                                 +failover-state-select-slave
//! ReplicaChosen                                   +selected-slave,
//!                                                 +failover-state-send-slaveof-noone
//! Switched        +switch-master, +slave ...      +promoted-slave before,          +config-update-from
//!                                                 +failover-state-reconf-slaves    before
//!                                                 after
//! PlanClosed                                      +failover-end, -failover-abort-...
//! ```
//!
//! * The executor is what Sentinel calls the leader of a failover; its log reads like that leader's log, the others'
//!   like those of followers.
//! * `+switch-master` comes once from each node, when the switch is applied, and `+slave` for every replica right after
//!   it: clients depend on both.
//!
//! References: sentinel.c `sentinelStartFailover`, `sentinelVoteLeader`, `sentinelFailoverSelectSlave`,
//! `sentinelResetMasterAndChangeAddress`. Deviations from Sentinel: `+switch-master` comes when the switch is committed, not
//! after the last replica follows, so `+failover-state-reconf-slaves` and `+failover-end` name the new address; an attempt
//! that ended because the master came back is `-failover-abort-not-elected`, for Sentinel has no name for it.

use sentinel_core::replicated::{Change, Group, Member, Phase, PlanOutcome, State};
use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::{HostPort, MasterName, NodeId};

/// The events of one change. `before` and `after`: the state before and after the entry that made it.
#[must_use]
pub fn events(change: &Change, before: &State, after: &State, me: NodeId) -> Vec<Event> {
    match change {
        Change::MemberAdded(node, member) => member_added(*node, member, after, me),
        Change::MemberMoved(node, member, _) => member_moved(*node, member, after, me),
        Change::Monitored(group) => monitored(group, after, me),
        Change::Removed(group) => vec![Event::about(EventName::MonitorEnd, &master_of(group))],
        Change::OptionSet(master, option) => about_group(after, master, |group| {
            let text = option.event_text();
            let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
            vec![Event::set(&master_of(group), name, &[value])]
        }),
        Change::Reset(master) => about_group(after, master, |group| {
            vec![Event::about(EventName::ResetMaster, &master_of(group))]
        }),
        Change::ReplicaAdded(master, replica) => about_group(after, master, |group| {
            vec![Event::about(EventName::Slave, &replica_of(group, replica))]
        }),
        // Epochs rise only with a plan, whose events begin with the new epoch.
        Change::EpochRaised(_) => Vec::new(),
        Change::PlanOpened(master) => about_group(after, master, |group| plan_opened(group, after, me)),
        Change::ReplicaChosen(master, replica) => about_group(after, master, |group| {
            if group.plan.as_ref().is_none_or(|plan| plan.executor != me) {
                return Vec::new();
            }
            let replica = replica_of(group, replica);
            vec![
                Event::about(EventName::SelectedSlave, &replica),
                Event::about(EventName::FailoverStateSendSlaveofNoone, &replica),
            ]
        }),
        Change::ExecutorChanged { master, to, .. } => {
            about_group(after, master, |group| executor_changed(group, *to, after, me))
        }
        Change::Switched {
            master,
            from,
            to,
            executor,
            ..
        } => about_group(after, master, |group| {
            let mut events = before_switch(group, (from, to), *executor, before, me);
            events.extend(moved(group, from, to));
            if *executor == me {
                events.push(Event::about(
                    EventName::FailoverStateReconfSlaves,
                    &master_of(group),
                ));
            }
            events
        }),
        Change::AddressSet { master, from, to } => about_group(after, master, |group| moved(group, from, to)),
        Change::PlanClosed {
            master,
            executor,
            outcome,
            ..
        } => about_group(after, master, |group| {
            if *executor == me {
                plan_closed(group, outcome)
            } else {
                Vec::new()
            }
        }),
    }
}

/// The events of a snapshot: what changed for clients, without the steps in between. Nothing when nothing did.
#[must_use]
pub fn jumped(before: &State, after: &State, me: NodeId) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, group) in &before.groups {
        if !after.groups.contains_key(name) {
            events.push(Event::about(EventName::MonitorEnd, &master_of(group)));
        }
    }
    for (name, group) in &after.groups {
        match before.groups.get(name) {
            None => events.extend(monitored(group, after, me)),
            Some(known) if known.address != group.address => {
                events.extend(moved(group, &known.address, &group.address))
            }
            Some(_) => {}
        }
    }
    events
}

/// The events of a start with state already in the log: `+monitor` for each master, as Sentinel does.
#[must_use]
pub fn startup_events(state: &State) -> Vec<Event> {
    let groups = state.groups.values();
    groups
        .map(|group| Event::monitor(&master_of(group), group.options.odown_quorum))
        .collect()
}

/// `+sdown` or `-sdown` of another sentinel: one for each master, as Sentinel keeps it once per master.
#[must_use]
pub fn sentinel_sdown(member: &Member, down: bool, state: &State) -> Vec<Event> {
    let name = if down {
        EventName::Sdown
    } else {
        EventName::SdownEnd
    };
    let groups = state.groups.values();
    groups
        .map(|group| Event::about(name, &sentinel_of(group, member)))
        .collect()
}

/// Nothing when the group is gone: a later change of the same entry removed it.
fn about_group(state: &State, master: &MasterName, build: impl FnOnce(&Group) -> Vec<Event>) -> Vec<Event> {
    state
        .groups
        .get(master)
        .map(|group| build(group))
        .unwrap_or_default()
}

fn master_of(group: &Group) -> InstanceRef {
    InstanceRef::master(&group.name, &group.address)
}

fn replica_of(group: &Group, replica: &HostPort) -> InstanceRef {
    InstanceRef::replica(replica, &group.name, &group.address)
}

fn sentinel_of(group: &Group, member: &Member) -> InstanceRef {
    InstanceRef::sentinel(&member.myid, &member.address, &group.name, &group.address)
}

fn member_added(node: NodeId, member: &Member, after: &State, me: NodeId) -> Vec<Event> {
    if node == me {
        return Vec::new();
    }
    let groups = after.groups.values();
    groups
        .map(|group| Event::about(EventName::Sentinel, &sentinel_of(group, member)))
        .collect()
}

fn member_moved(node: NodeId, member: &Member, after: &State, me: NodeId) -> Vec<Event> {
    let mut groups = after.groups.values();
    let Some(first) = groups.next().filter(|_| node != me) else {
        return Vec::new();
    };
    let mut events = vec![Event::sentinel_address_switch(
        &master_of(first),
        &member.address,
        &member.myid,
    )];
    let others = groups.count();
    if others > 0 {
        events.push(Event::sentinel_address_update(
            &sentinel_of(first, member),
            others,
        ));
    }
    events
}

fn monitored(group: &Group, after: &State, me: NodeId) -> Vec<Event> {
    let mut events = vec![Event::monitor(&master_of(group), group.options.odown_quorum)];
    let others = after.members.iter().filter(|(node, _)| **node != me);
    events.extend(others.map(|(_, member)| Event::about(EventName::Sentinel, &sentinel_of(group, member))));
    events
}

fn plan_opened(group: &Group, after: &State, me: NodeId) -> Vec<Event> {
    let Some(plan) = &group.plan else {
        return Vec::new();
    };
    let master = master_of(group);
    let mut events = vec![Event::new_epoch(&group.name, plan.failover_epoch)];
    let executes = plan.executor == me;
    if executes {
        events.push(Event::about(EventName::TryFailover, &master));
    }
    if let Some(executor) = after.members.get(&plan.executor) {
        events.push(Event::vote_for_leader(
            &group.name,
            &executor.myid,
            plan.failover_epoch,
        ));
    }
    if executes {
        events.push(Event::about(EventName::ElectedLeader, &master));
        events.push(Event::about(EventName::FailoverStateSelectSlave, &master));
    }
    events
}

/// The new executor says where it takes over; `+try-failover` is not repeated, for it is the same attempt.
fn executor_changed(group: &Group, to: NodeId, after: &State, me: NodeId) -> Vec<Event> {
    let Some(plan) = &group.plan else {
        return Vec::new();
    };
    let mut events = Vec::new();
    if let Some(executor) = after.members.get(&to) {
        events.push(Event::vote_for_leader(
            &group.name,
            &executor.myid,
            plan.failover_epoch,
        ));
    }
    if to == me {
        let master = master_of(group);
        events.push(Event::about(EventName::ElectedLeader, &master));
        events.push(match &plan.phase {
            Phase::Opened => Event::about(EventName::FailoverStateSelectSlave, &master),
            Phase::Chosen { replica } => Event::about(
                EventName::FailoverStateSendSlaveofNoone,
                &replica_of(group, replica),
            ),
            Phase::Switched { .. } => Event::about(EventName::FailoverStateReconfSlaves, &master),
        });
    }
    events
}

/// What comes before `+switch-master`; still with the old address, as in Sentinel.
fn before_switch(
    group: &Group,
    (from, to): (&HostPort, &HostPort),
    executor: NodeId,
    before: &State,
    me: NodeId,
) -> Vec<Event> {
    if executor == me {
        let promoted = InstanceRef::replica(to, &group.name, from);
        return vec![Event::about(EventName::PromotedSlave, &promoted)];
    }
    let Some(member) = before.members.get(&executor) else {
        return Vec::new();
    };
    let sentinel = InstanceRef::sentinel(&member.myid, &member.address, &group.name, from);
    vec![Event::about(EventName::ConfigUpdateFrom, &sentinel)]
}

/// `+switch-master`, then `+slave` for each replica of the new master, the old one last.
fn moved(group: &Group, from: &HostPort, to: &HostPort) -> Vec<Event> {
    let mut events = vec![Event::switch_master(&group.name, from, to)];
    let others = group.replicas.keys().filter(|replica| *replica != from);
    let old = group.replicas.keys().filter(|replica| *replica == from);
    events.extend(
        others
            .chain(old)
            .map(|replica| Event::about(EventName::Slave, &replica_of(group, replica))),
    );
    events
}

fn plan_closed(group: &Group, outcome: &PlanOutcome) -> Vec<Event> {
    let names: &[EventName] = match outcome {
        PlanOutcome::Done => &[EventName::FailoverEnd],
        PlanOutcome::DoneForTimeout => &[EventName::FailoverEndForTimeout, EventName::FailoverEnd],
        PlanOutcome::NoGoodReplica => &[EventName::FailoverAbortNoGoodSlave],
        PlanOutcome::ReplicaTimeout => &[EventName::FailoverAbortSlaveTimeout],
        PlanOutcome::RevokeTimeout => &[EventName::FailoverAbortMasterTimeout],
        PlanOutcome::MasterReturned => &[EventName::FailoverAbortNotElected],
    };
    names
        .iter()
        .map(|name| Event::about(*name, &master_of(group)))
        .collect()
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
