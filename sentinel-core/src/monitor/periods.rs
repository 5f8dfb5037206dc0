//! How often an instance is asked.

use sentinel_proto::info::ReportedRole;

use super::core::MonitorCore;
use super::types::{MAX_PROBE_PERIOD_MS, SUSPECT_PROBE_PERIOD_MS, probe_period_ms};
use crate::instance::ReplicationLink;
use crate::time::MonoTime;

/// INFO period of a replica whose link is down, or of an instance that refuses ROLE (Sentinel's fast INFO).
const INFO_WATCH_PERIOD_MS: u64 = 1_000;

/// Longest gaps in milliseconds, as SENTINEL DEBUG sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Between two INFOs of a healthy instance.
    pub info_ms: u64,
    /// Between two probes; shorter ones follow from `down-after-milliseconds`.
    pub probe_ms: u64,
}

impl Default for Periods {
    /// Sentinel's.
    fn default() -> Self {
        Self {
            info_ms: 10_000,
            probe_ms: MAX_PROBE_PERIOD_MS,
        }
    }
}

impl MonitorCore {
    /// Longer or shorter gaps, from now on.
    pub fn set_periods(&mut self, periods: Periods, now: MonoTime) {
        if self.periods != periods {
            self.periods = periods;
            self.schedule.next_info = self.schedule.next_info.min(now.plus(self.info_period_ms()));
        }
    }

    /// In TILT nothing becomes, or ceases to be, subjectively down.
    pub fn set_tilt(&mut self, in_tilt: bool) {
        self.in_tilt = in_tilt;
    }

    pub(super) fn period_ms(&self) -> u64 {
        let period = probe_period_ms(self.assignment.down_after_ms).min(self.periods.probe_ms);
        if self.assignment.attention {
            period.min(SUSPECT_PROBE_PERIOD_MS)
        } else {
            period
        }
    }

    pub(super) fn info_period_ms(&self) -> u64 {
        let replica = self.assignment.role == ReportedRole::Replica;
        let link_down = replica
            && self
                .facts
                .report
                .as_ref()
                .is_none_or(|r| r.link != ReplicationLink::Up);
        if self.assignment.attention && replica {
            SUSPECT_PROBE_PERIOD_MS
        } else if link_down || self.role_refused || self.facts.origin.is_none() {
            INFO_WATCH_PERIOD_MS
        } else {
            self.periods.info_ms
        }
    }
}
