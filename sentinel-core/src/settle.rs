//! When the log's word about a group may be trusted against what its servers say.
//!
//! A new group is filled from the files of its sentinels, in the order in which they come. A file that was not written
//! for a while may name a former master; until the file that knows better has arrived, the true master looks like a
//! replica that has gone astray. So of a group for which no failover was ever opened:
//!
//! * nothing is put right for [`SETTLE_MS`];
//! * a master that others follow is left alone for longer while a sentinel is away, whose file may name it: until
//!   [`SETTLE_MS`] after all are there, at most [`ABSENT_MS`].
//!
//! Deviation from Sentinel: there each sentinel waits 8 s, for hello messages (`sentinelRefreshInstanceInfo`).

use std::collections::BTreeSet;

use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::{HostPort, NodeId};

use crate::instance::{InstanceFacts, ReplicationLink};
use crate::replicated::{Group, State};
use crate::time::MonoTime;

/// Files of the other sentinels are waited for this long: each is proposed as soon as its sentinel is in the group.
pub const SETTLE_MS: u64 = 5_000;
/// A sentinel that stays away is not waited for any longer.
pub const ABSENT_MS: u64 = 60_000;

/// Since when all sentinels of the group are connected to this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    complete_since: Option<MonoTime>,
}

impl Presence {
    /// Takes in who is there.
    pub fn update(&mut self, me: NodeId, state: &State, connected: &BTreeSet<NodeId>, now: MonoTime) {
        let mut members = state.members.keys();
        let complete = members.all(|node| *node == me || connected.contains(node));
        self.complete_since = complete.then(|| self.complete_since.unwrap_or(now));
    }
}

/// When the group may be acted on; `None` = its address was decided here, so at once. `since`: when its present
/// config epoch was applied on this node. `has_rival`: it is about a master that others follow.
#[must_use]
pub fn settled_at(group: &Group, since: MonoTime, presence: Presence, has_rival: bool) -> Option<MonoTime> {
    if group.plan.is_some() || !group.history.is_empty() {
        return None;
    }
    let soon = since.plus(SETTLE_MS);
    let late = since.plus(ABSENT_MS);
    Some(match presence.complete_since {
        _ if !has_rival => soon,
        Some(complete) => complete.plus(SETTLE_MS).clamp(soon, late),
        None => late,
    })
}

/// Whether the server at `address` says that it is a master, and one of the others follows it.
pub fn is_followed<'a>(
    address: &HostPort,
    mut servers: impl Iterator<Item = &'a InstanceFacts> + Clone,
) -> bool {
    let is_it = |f: &InstanceFacts| f.address == *address && f.role() == Some(ReportedRole::Master);
    let follows = |f: &InstanceFacts| {
        let report = f.report.as_ref().filter(|_| f.connected);
        report.is_some_and(|r| r.follows.as_ref() == Some(address) && r.link == ReplicationLink::Up)
    };
    servers.clone().any(is_it) && servers.any(follows)
}
