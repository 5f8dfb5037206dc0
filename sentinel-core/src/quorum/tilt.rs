//! TILT: this process did not run for a while, so what it believes is out of date.
//!
//! Entered when a wake-up comes later than asked for by [`TiltTimes::trigger_ms`]; each further one begins the period
//! anew. Meanwhile this node finds nothing down, changes no verdict and opens no failover.
//!
//! Deviation from Sentinel (30 s): by default it is over as soon as every monitor has probed again.

use sentinel_proto::event::Event;

use super::core::QuorumCore;
use super::types::QuorumEffect;
use crate::time::MonoTime;

/// When TILT begins and ends, in milliseconds (`SENTINEL DEBUG TILT-TRIGGER`, `TILT-PERIOD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TiltTimes {
    /// A gap of more than this much between wake-up and deadline is TILT (Sentinel's trigger).
    pub trigger_ms: u64,
    /// TILT ends this long after the last trigger.
    pub period_ms: u64,
}

impl Default for TiltTimes {
    fn default() -> Self {
        Self {
            trigger_ms: 2_000,
            // Probes are at most 1 s apart.
            period_ms: 2_000,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tilt {
    times: TiltTimes,
    expected_wake: Option<MonoTime>,
    until: Option<MonoTime>,
}

impl Tilt {
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn until(&self) -> Option<MonoTime> {
        self.until
    }

    pub(super) fn expect(&mut self, wake: MonoTime) {
        self.expected_wake = Some(wake);
    }
}

impl QuorumCore {
    /// Other times, from the next input on.
    pub fn set_tilt_times(&mut self, times: TiltTimes) {
        self.tilt.times = times;
    }

    /// Returns whether TILT began or ended just now.
    pub(super) fn watch_tilt(&mut self, now: MonoTime, effects: &mut Vec<QuorumEffect>) -> bool {
        let TiltTimes {
            trigger_ms,
            period_ms,
        } = self.tilt.times;
        let late = |expected: MonoTime| now.ms_since(expected) > trigger_ms;
        let was_on = self.tilt.is_on();
        if self.tilt.expected_wake.is_some_and(late) {
            self.tilt.until = Some(now.plus(period_ms));
        } else if self.tilt.until.is_some_and(|until| now >= until) {
            self.tilt.until = None;
        }
        let on = self.tilt.is_on();
        if on == was_on {
            return false;
        }
        effects.push(QuorumEffect::Tilt(on.then_some(now)));
        effects.push(QuorumEffect::Event(if on {
            Event::tilt_entered()
        } else {
            Event::tilt_exited()
        }));
        true
    }

    pub(super) fn in_tilt(&self) -> bool {
        self.tilt.is_on()
    }
}
