//! Objectively down: counting the sentinels' opinions of one master.
//!
//! Counting never votes (unlike sentinel.c `sentinelGetLeader`). An opinion counts when it is about the committed
//! address and config epoch, is fresh, and says down. One that says down *before* down-after (because connects are
//! refused, `crash-down-after-milliseconds`) counts only while no reachable replica contradicts it.

use std::collections::BTreeMap;

use sentinel_proto::peer::Opinion;
use sentinel_proto::types::{HostPort, NodeId};

use crate::instance::{InstanceFacts, ReplicationLink, ReportedRole};
use crate::time::MonoTime;

/// Opinions are refreshed each second and expire after three.
pub const OPINION_TTL_MS: u64 = 3_000;
/// Refresh period of opinions.
pub const OPINION_REFRESH_MS: u64 = 1_000;

/// Opinions by observer, with the time they arrived (for one's own: the present).
pub type Opinions = BTreeMap<NodeId, (Opinion, MonoTime)>;

/// What the opinions are counted against.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Committed master address.
    pub address: &'a HostPort,
    /// Its config epoch.
    pub config_epoch: u64,
    /// `quorum` argument.
    pub odown_quorum: u32,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
}

/// Result of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Sentinels that agree.
    pub agreeing: u32,
    /// At least `odown_quorum`.
    pub reached: bool,
}

/// Counts the opinions.
#[must_use]
pub fn tally(opinions: &Opinions, subject: Subject<'_>, crash_is_plausible: bool, now: MonoTime) -> Tally {
    let counts = |(opinion, at): &(Opinion, MonoTime)| {
        let about_it = opinion.address == *subject.address && opinion.config_epoch == subject.config_epoch;
        let fresh = now.ms_since(*at) <= OPINION_TTL_MS;
        let silent_ms = opinion.silent_ms.unwrap_or(0).saturating_add(now.ms_since(*at));
        let late = silent_ms >= subject.down_after_ms || opinion.refused_count == 0;
        about_it && fresh && opinion.down && (late || crash_is_plausible)
    };
    let agreeing = opinions.values().filter(|o| counts(o)).count();
    let agreeing = u32::try_from(agreeing).unwrap_or(u32::MAX);
    Tally {
        agreeing,
        reached: agreeing >= subject.odown_quorum.max(1),
    }
}

/// Every reachable replica reports its link to the master down: a refused connect means what it seems to mean.
///
/// `reports_since`: reports before this do not count. With no reachable replica at all there is no witness, and
/// nothing to promote either.
#[must_use]
pub fn crash_is_plausible(replicas: &[&InstanceFacts], reports_since: MonoTime) -> bool {
    let mut witnesses = replicas
        .iter()
        .filter(|r| r.connected && r.sdown_since.is_none())
        .filter_map(|r| r.report.as_ref())
        .filter(|r| r.at >= reports_since && r.role == ReportedRole::Replica)
        .peekable();
    witnesses.peek().is_some() && witnesses.all(|r| r.link != ReplicationLink::Up)
}

/// A replica that certainly received data from the master after the master fell silent for us: the problem is ours.
///
/// Redis reports whole seconds, rounded down: "n s ago" is at least `n` and less than `n + 1`.
#[must_use]
pub fn witness_against<'a>(
    replicas: &[&'a InstanceFacts],
    master: &HostPort,
    silent_since: MonoTime,
) -> Option<&'a HostPort> {
    let received_after = |replica: &&&InstanceFacts| {
        let Some(report) = replica.report.as_ref().filter(|_| replica.connected) else {
            return false;
        };
        let follows = report.follows.as_ref() == Some(master) && report.link == ReplicationLink::Up;
        let earliest = report.last_io_s.map(|s| {
            report
                .last_io_at
                .0
                .saturating_sub(s.saturating_add(1).saturating_mul(1_000))
        });
        follows && earliest.is_some_and(|at| at > silent_since.0)
    };
    replicas.iter().find(received_after).map(|r| &r.address)
}

#[cfg(test)]
#[path = "odown_tests.rs"]
mod tests;
