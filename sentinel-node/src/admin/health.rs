//! Probes for service managers and load balancers.

use crate::server::instances::Reader;

use super::model::Health;

/// Why this node should not be asked by clients; empty = ready.
pub(super) fn not_ready(reader: &Reader<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if !reader.has_majority() {
        reasons.push("no contact to a Raft majority of the sentinels".to_owned());
    }
    if !reader.state.members.contains_key(&reader.view.node) {
        reasons.push("the replicated state does not list this sentinel yet: the group is not founded, or this node has not caught up".to_owned());
    }
    let unseen = reader
        .state
        .groups
        .values()
        .filter(|group| reader.instance(group, &group.address).is_none())
        .count();
    if unseen > 0 {
        reasons.push(format!("{unseen} masters are not probed yet"));
    }
    reasons
}

/// The answer with its reasons.
pub(super) fn answer(reasons: Vec<String>) -> Health {
    let status = if reasons.is_empty() { "ok" } else { "not ready" };
    Health {
        status: status.to_owned(),
        reasons,
    }
}
