//! `SENTINEL DEBUG`: times of this process, never kept, never told to others.
//!
//! | Name | Effect here |
//! |---|---|
//! | INFO-PERIOD, PING-PERIOD | longest gap between two INFOs and two probes |
//! | DEFAULT-DOWN-AFTER, DEFAULT-FAILOVER-TIMEOUT | masters that `SENTINEL MONITOR` adds through this node |
//! | TILT-TRIGGER | a pause of this process that is TILT |
//! | TILT-PERIOD | length of TILT, once set; else it ends when this node has looked at everything again |
//! | SLAVE-RECONF-TIMEOUT | a replica that is this late no longer holds the others up |
//! | SCRIPT-MAX-RUNTIME, SCRIPT-RETRY-DELAY | limits of a script, pause before it is run again |
//! | all others | only shown: what they time does not exist here, or follows other rules |

use std::sync::atomic::{AtomicU64, Ordering};

use sentinel_core::quorum::TiltTimes;
use sentinel_core::scripts::ScriptTimes;
use tokio::sync::Notify;

/// Names in the order of the reply, and defaults in milliseconds.
const TIMES: [(&str, u64); 13] = [
    ("INFO-PERIOD", 10_000),
    ("PING-PERIOD", 1_000),
    ("ASK-PERIOD", 1_000),
    ("PUBLISH-PERIOD", 2_000),
    ("DEFAULT-DOWN-AFTER", 30_000),
    ("DEFAULT-FAILOVER-TIMEOUT", 180_000),
    ("TILT-TRIGGER", 2_000),
    ("TILT-PERIOD", 30_000),
    ("SLAVE-RECONF-TIMEOUT", 10_000),
    ("MIN-LINK-RECONNECT-PERIOD", 15_000),
    ("ELECTION-TIMEOUT", 10_000),
    ("SCRIPT-MAX-RUNTIME", 60_000),
    ("SCRIPT-RETRY-DELAY", 30_000),
];

/// The times in force; 0 = the default, for a time that is set is never 0.
#[derive(Debug)]
pub struct Tuning {
    values: [AtomicU64; TIMES.len()],
    script_times_changed: Notify,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            values: TIMES.map(|_| AtomicU64::new(0)),
            script_times_changed: Notify::new(),
        }
    }
}

impl Tuning {
    /// The value of a time in milliseconds; 0 for an unknown name. `name` in upper case.
    #[must_use]
    pub fn ms(&self, name: &str) -> u64 {
        let default = TIMES.iter().find(|(known, _)| *known == name);
        self.set_ms(name).or(default.map(|(_, ms)| *ms)).unwrap_or(0)
    }

    /// The value of a time in milliseconds, if it was ever set. `name` in upper case.
    #[must_use]
    pub fn set_ms(&self, name: &str) -> Option<u64> {
        let value = self.cell(name)?.load(Ordering::Relaxed);
        (value != 0).then_some(value)
    }

    /// When TILT begins and ends.
    #[must_use]
    pub fn tilt(&self) -> TiltTimes {
        TiltTimes {
            trigger_ms: self.ms("TILT-TRIGGER"),
            period_ms: self
                .set_ms("TILT-PERIOD")
                .unwrap_or(TiltTimes::default().period_ms),
        }
    }

    /// Limits of scripts.
    #[must_use]
    pub fn scripts(&self) -> ScriptTimes {
        ScriptTimes {
            max_run_ms: self.ms("SCRIPT-MAX-RUNTIME"),
            first_retry_delay_ms: self.ms("SCRIPT-RETRY-DELAY"),
        }
    }

    /// Changes a time; `name` in any case. False: there is no such time.
    pub fn set(&self, name: &str, ms: u64) -> bool {
        let name = name.to_ascii_uppercase();
        let cell = self.cell(&name);
        let found = cell.map(|cell| cell.store(ms, Ordering::Relaxed)).is_some();
        if name.starts_with("SCRIPT-") {
            self.script_times_changed.notify_one();
        }
        found
    }

    /// Waits until the limits of scripts may have changed. For one task: a change wakes only one.
    pub async fn script_times_changed(&self) {
        self.script_times_changed.notified().await;
    }

    /// All times in the order of the reply.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        TIMES.iter().map(|(name, _)| (*name, self.ms(name).to_string()))
    }

    /// Whether there is such a time; `name` in any case.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        TIMES.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn cell(&self, name: &str) -> Option<&AtomicU64> {
        let at = TIMES.iter().position(|(known, _)| *known == name)?;
        self.values.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        let tuning = Tuning::default();
        assert_eq!(tuning.ms("PING-PERIOD"), 1_000);
        assert!(tuning.set("ping-Period", 7));
        assert_eq!(tuning.ms("PING-PERIOD"), 7);
        assert!(!tuning.set("nosuch", 7) && !Tuning::knows("nosuch") && Tuning::knows("ask-period"));
        assert_eq!(tuning.shown().count(), 13);
        assert_eq!(
            (tuning.set_ms("TILT-PERIOD"), tuning.ms("TILT-PERIOD")),
            (None, 30_000)
        );
        assert!(tuning.set("tilt-period", 30_000));
        assert_eq!(tuning.tilt().period_ms, 30_000, "acts once it was set");
    }
}
