//! A server that answers `-BUSY`: its script is killed before the server is given up.
//!
//! Sentinel sends SCRIPT KILL once when such a server is subjectively down, that is after down-after. Here it is sent at
//! that same moment, but the verdict waits longer ([`super::judge`]: a busy server works), so a script that can be
//! killed costs no failover. Redis itself refuses to kill a script that has written (`UNKILLABLE`).

use sentinel_proto::EvidenceClass;

use super::core::MonitorCore;
use super::types::MonitorEffect;
use crate::time::MonoTime;

/// Without a majority nothing is sent; it is tried again after this long.
const DENIED_PAUSE_MS: u64 = 1_000;

impl MonitorCore {
    pub(super) fn kill_script(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        let facts = &mut self.facts;
        let due = facts.class == EvidenceClass::Busy
            && facts
                .silent_since
                .is_some_and(|since| now.ms_since(since) >= self.assignment.down_after_ms);
        if due && !facts.script_kill_sent && !self.in_tilt && now >= self.kill_not_before {
            facts.script_kill_sent = true;
            effects.push(MonitorEffect::KillScript);
        }
    }

    /// The answer to [`MonitorEffect::KillScript`].
    pub(super) fn script_kill(&mut self, sent: bool, now: MonoTime) {
        if !sent {
            self.facts.script_kill_sent = false;
            self.kill_not_before = now.plus(DENIED_PAUSE_MS);
        }
    }
}
