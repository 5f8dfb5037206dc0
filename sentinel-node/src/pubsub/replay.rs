//! `sentinel replay-switch yes`: who subscribes to `+switch-master` is told the last switch of each master first.
//!
//! A client that asks for the address, and subscribes after the switch, would wait for an event that has been. What is
//! replayed comes from the applied state, so that it outlives a restart. A switch that is committed at this moment may be
//! told twice, never not at all.

use sentinel_core::replicated::{Group, Phase, Plan, State};
use sentinel_core::time::WallTime;
use sentinel_proto::{Event, HostPort, glob};

use super::hub::{Published, Subscription};

const CHANNEL: &[u8] = b"+switch-master";

/// What a new subscription is told, in the order of the masters' names. Pure.
#[must_use]
pub fn replayed(subscription: &Subscription, state: &State, at: WallTime) -> Vec<Published> {
    let matches = match subscription {
        Subscription::Channel(name) => name == CHANNEL,
        Subscription::Pattern(pattern) => glob::matches(pattern, CHANNEL),
        Subscription::NoChannel(_) | Subscription::NoPattern(_) => false,
    };
    let groups = state.groups.values().filter(|_| matches);
    groups
        .filter_map(|group| {
            let (from, to) = last_switch(group)?;
            Some(Published::new(Event::switch_master(&group.name, from, to), at))
        })
        .collect()
}

/// The last switch, if the master is still where it led.
fn last_switch(group: &Group) -> Option<(&HostPort, &HostPort)> {
    let closed = group.history.iter().map(|closed| &closed.plan);
    let switch = |plan: &'_ Plan| matches!(plan.phase, Phase::Switched { .. });
    let plan = closed.chain(group.plan.as_ref()).rfind(|plan| switch(plan))?;
    let to = plan
        .phase
        .replica()
        .filter(|replica| **replica == group.address)?;
    Some((&plan.old_address, to))
}
