//! Selection of the replica to promote.
//!
//! Excluded, as in sentinel.c `sentinelSelectReplica`: down, disconnected, silent, priority 0, stale report, link to
//! the master down for too long before the master was. Excluded besides: in the middle of a synchronisation, already
//! a master, following a master that is not of this group, of foreign lineage, promotion failed in this plan, and blank: a replica that
//! never was in sync and holds nothing must not turn a group that has data into an empty one.
//! A master is chosen all the same, and before all others, if the group's master says that it follows it: an operator
//! made it that (`FAILOVER`), it has all the data, and whatever is written since is written there.
//! Order: lowest priority, then highest offset, then smallest run id (without case; unknown last), then address.
//!
//! The result does not depend on the order of the input.

use sentinel_proto::types::HostPort;

use crate::instance::{InstanceFacts, ReplicationLink, ReportedRole};
use crate::lineage::Kinship;
use crate::replicated::{Group, Refusal, RefusalReason};
use crate::time::MonoTime;

/// Ping silence after which a replica is not trusted: five of Sentinel's ping periods.
pub const STALE_PING_MS: u64 = 5_000;

/// What the selection depends on beside the replicas.
#[derive(Debug, Clone)]
pub struct SelectContext<'a> {
    /// A replica may follow any server of its group (chains).
    pub group: &'a Group,
    /// The server that the group's master says it follows, see [`handed_to`].
    pub handed_to: Option<&'a HostPort>,
    /// Oldest time of a reported offset that still counts.
    pub reports_since: MonoTime,
    /// How long the master has been subjectively down here, in milliseconds; 0 = it is up.
    pub master_down_ms: u64,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// Replicas whose promotion failed in this plan.
    pub failed: &'a [HostPort],
}

/// The server that the group's master says it follows; `None` = it says that it is a master, or is not connected.
#[must_use]
pub fn handed_to(master: Option<&InstanceFacts>) -> Option<&HostPort> {
    let report = master.filter(|m| m.connected)?.report.as_ref()?;
    report
        .follows
        .as_ref()
        .filter(|_| report.role == ReportedRole::Replica)
}

/// A choice: the replica, and why each other one was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The best eligible replica; `None` = no good replica.
    pub chosen: Option<HostPort>,
    /// All others, by address.
    pub refused: Vec<Refusal>,
}

/// Selects the replica to promote.
#[must_use]
pub fn select(replicas: &[&InstanceFacts], context: &SelectContext<'_>, now: MonoTime) -> Selection {
    let mut refused: Vec<Refusal> = Vec::new();
    let mut best: Option<&InstanceFacts> = None;
    for replica in replicas {
        match refuse(replica, context, now) {
            Some(reason) => refused.push(Refusal {
                replica: replica.address.clone(),
                reason,
            }),
            None => match best {
                Some(other) if rank(other, context) <= rank(replica, context) => {
                    refused.push(ranked_lower(replica))
                }
                Some(other) => {
                    refused.push(ranked_lower(other));
                    best = Some(replica);
                }
                None => best = Some(replica),
            },
        }
    }
    refused.sort_by(|a, b| a.replica.cmp(&b.replica));
    Selection {
        chosen: best.map(|b| b.address.clone()),
        refused,
    }
}

/// Whether somebody could be promoted at all, for the early answer to `SENTINEL FAILOVER`: a replica that is reachable, is
/// one, and has a priority. The choice itself is made by [`select`], from fresh reports.
#[must_use]
pub fn is_candidate(connected: bool, sdown: bool, priority: u32, role: ReportedRole) -> bool {
    connected && !sdown && priority > 0 && role == ReportedRole::Replica
}

/// How long a replica's link to its master may have been down, in milliseconds.
#[must_use]
pub fn tolerated_link_down_ms(master_down_ms: u64, down_after_ms: u64) -> u64 {
    master_down_ms.saturating_add(down_after_ms.saturating_mul(10))
}

/// Whether the replica could be chosen.
pub(crate) fn is_eligible(replica: &InstanceFacts, context: &SelectContext<'_>, now: MonoTime) -> bool {
    refuse(replica, context, now).is_none()
}

fn ranked_lower(replica: &InstanceFacts) -> Refusal {
    Refusal {
        replica: replica.address.clone(),
        reason: RefusalReason::RankedLower,
    }
}

/// A master that the group's master follows.
fn is_successor(replica: &InstanceFacts, context: &SelectContext<'_>) -> bool {
    replica.role() == Some(ReportedRole::Master) && context.handed_to == Some(&replica.address)
}

type Rank<'a> = (bool, u32, std::cmp::Reverse<u64>, bool, String, &'a HostPort);

fn rank<'a>(replica: &'a InstanceFacts, context: &SelectContext<'_>) -> Rank<'a> {
    let offset = replica.report.as_ref().map_or(0, |r| r.offset);
    let run_id = replica.run_id.to_ascii_lowercase();
    (
        !is_successor(replica, context),
        replica.priority,
        std::cmp::Reverse(offset),
        run_id.is_empty(),
        run_id,
        &replica.address,
    )
}

fn refuse(replica: &InstanceFacts, context: &SelectContext<'_>, now: MonoTime) -> Option<RefusalReason> {
    if context.failed.contains(&replica.address) {
        return Some(RefusalReason::PromotionFailed);
    }
    if replica.sdown_since.is_some() {
        return Some(RefusalReason::Down);
    }
    if !replica.connected {
        return Some(RefusalReason::Disconnected);
    }
    if replica
        .silent_since
        .is_some_and(|since| now.ms_since(since) > STALE_PING_MS)
    {
        return Some(RefusalReason::StalePing);
    }
    if replica.priority == 0 {
        return Some(RefusalReason::PriorityZero);
    }
    let Some(report) = replica
        .report
        .as_ref()
        .filter(|r| r.offset_at >= context.reports_since)
    else {
        return Some(RefusalReason::StaleReport);
    };
    if report.role == ReportedRole::Master && !is_successor(replica, context) {
        return Some(RefusalReason::NotAReplica);
    }
    if report
        .follows
        .as_ref()
        .is_some_and(|master| !context.group.has_server(master))
    {
        return Some(RefusalReason::ForeignMaster);
    }
    if matches!(replica.kinship, Kinship::Foreign(_)) {
        return Some(RefusalReason::ForeignLineage);
    }
    if replica.is_blank {
        return Some(RefusalReason::Blank);
    }
    if report.link == ReplicationLink::Syncing {
        return Some(RefusalReason::Syncing);
    }
    if report.link_down_ms > tolerated_link_down_ms(context.master_down_ms, context.down_after_ms) {
        return Some(RefusalReason::LinkDownTooLong);
    }
    None
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
