//! `SENTINEL DEBUG`: times of this process, never kept, never told to others.
//!
//! | Name | Effect here |
//! |---|---|
//! | INFO-PERIOD, PING-PERIOD | longest gap between two INFOs and two probes |
//! | DEFAULT-DOWN-AFTER, DEFAULT-FAILOVER-TIMEOUT | masters that `SENTINEL MONITOR` adds through this node |
//! | all others | only shown: what they time does not exist here, or follows other rules |

use std::sync::atomic::{AtomicU64, Ordering};

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

/// The times in force.
#[derive(Debug)]
pub struct Tuning {
    values: [AtomicU64; TIMES.len()],
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            values: TIMES.map(|(_, default)| AtomicU64::new(default)),
        }
    }
}

impl Tuning {
    /// The value of a time in milliseconds; 0 for an unknown name. `name` in upper case.
    #[must_use]
    pub fn ms(&self, name: &str) -> u64 {
        self.cell(name).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Changes a time; `name` in any case. False: there is no such time.
    pub fn set(&self, name: &str, ms: u64) -> bool {
        let cell = self.cell(&name.to_ascii_uppercase());
        cell.map(|cell| cell.store(ms, Ordering::Relaxed)).is_some()
    }

    /// All times in the order of the reply.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        let values = TIMES.iter().zip(&self.values);
        values.map(|((name, _), value)| (*name, value.load(Ordering::Relaxed).to_string()))
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
    }
}
