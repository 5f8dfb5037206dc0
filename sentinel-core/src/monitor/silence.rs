//! How long an instance has been silent, and what of it is this process's own fault.

use sentinel_proto::EvidenceClass;

use super::core::{Link, MonitorCore};
use crate::time::MonoTime;

/// Being woken this much later than asked means that this process did not run, or has more to do than it can.
const STALL_MS: u64 = 50;
/// A probe and its answer pass the queues of this process (link, socket, mailbox) this many times, a timer once.
const PASSES: u64 = 4;

impl MonitorCore {
    /// A process that did not run has no right to blame others: silence is moved by the gap.
    pub(super) fn forgive_stall(&mut self, now: MonoTime, timer: bool) {
        let Some(expected) = self
            .expected_wake
            .filter(|_| timer || self.expected_wake < Some(now))
        else {
            return;
        };
        let gap = now.ms_since(expected);
        let late = gap >= STALL_MS.max(self.period_ms() / 4);
        let stopped = gap >= self.assignment.down_after_ms / 2;
        let lag = if late && !stopped { gap } else { 0 };
        self.lag_ms = lag.max(self.lag_ms / 2);
        if !late {
            return;
        }
        // Of a short delay only the delay is forgiven. In a long one nobody knows when it began: at worst right after
        // the last step, while this monitor was waiting for something.
        let lost = if stopped {
            now.ms_since(self.last_step)
        } else {
            gap
        };
        let shift = |t: MonoTime| t.plus(lost).min(now);
        self.pending_since = self.pending_since.map(shift);
        self.facts.last_ok = shift(self.facts.last_ok);
        self.facts.class_since = shift(self.facts.class_since);
        self.facts.silent_since = self.facts.silent_since.map(shift);
    }

    /// How long an answer may still lie in the queues of this process: nobody is called down, and no link given up,
    /// before. At most another down-after, and 0 unless wake-ups were late just now.
    pub(super) fn own_delay_ms(&self) -> u64 {
        let lag = if self.lag_ms < STALL_MS { 0 } else { self.lag_ms };
        lag.saturating_mul(PASSES).min(self.assignment.down_after_ms)
    }

    /// Since when nothing acceptable came, if something is awaited or the link is broken. Wrong credentials are our fault:
    /// neither the time in which they were refused nor the moment in which they are put right is silence.
    pub(super) fn silence_start(&self) -> Option<MonoTime> {
        let broken = self.link != Link::Up && self.facts.class != EvidenceClass::Auth;
        self.pending_since
            .or_else(|| broken.then_some(self.facts.last_ok.max(self.last_refusal)))
    }

    /// Whether an answer is late, and may be here already without having been read: a process that gets little time
    /// finds its timer and the answer at the same moment. Whoever runs the timer reads what has arrived first.
    #[must_use]
    pub fn is_answer_overdue(&self, now: MonoTime) -> bool {
        let asked = match self.link {
            Link::Up => self.in_flight,
            Link::Connecting => self.silence_start(),
            Link::Waiting { .. } => None,
        };
        asked.is_some_and(|at| now.ms_since(at) >= self.suspicion_ms())
    }

    /// Makes it suspect once it was silent for long enough.
    pub(super) fn update_silence(&mut self, now: MonoTime) {
        let suspicion = self.suspicion_ms();
        let broken = self.failures > 0;
        self.facts.silent_since = self
            .silence_start()
            .filter(|since| broken || now.ms_since(*since) >= suspicion || self.facts.sdown_since.is_some());
    }
}
