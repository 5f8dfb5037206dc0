//! The proposal of an actor's core that is on its way for one group.
//!
//! ```text
//! Idle -> Sent -> (applied at an index that this core has not seen) Applied -> Idle
//!             `-> (refused, lost) pause -> Idle          no answer, or no such state: patience, then Idle
//! ```
//!
//! The answer to a proposal may be here before the state that it made: with many groups many entries are in between.
//! Who looked at the old state then would propose the same again, and every such entry would make the next state later.

use crate::time::MonoTime;

/// A proposal without an answer, or whose effect is not seen, for this long is made again.
const PATIENCE_MS: u64 = 2_500;
/// A refused or lost proposal is made again, if it still makes sense, after a moment.
const RETRY_MS: u64 = 50;

/// See the module's description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Proposing {
    /// Until when nothing else is proposed; `None` = idle.
    until: Option<MonoTime>,
    /// The log index at which it was applied, as long as this core has not seen a state from then.
    applied: Option<u64>,
}

impl Proposing {
    /// One was sent at `now`.
    pub(crate) fn sent(now: MonoTime) -> Self {
        Self {
            until: Some(now.plus(PATIENCE_MS)),
            applied: None,
        }
    }

    /// It was answered: applied at that index, `None` = refused or lost. `seen` is the index of the state at hand.
    pub(crate) fn answered(answer: Option<u64>, seen: u64, now: MonoTime) -> Self {
        match answer {
            Some(index) if index <= seen => Self::default(),
            Some(index) => Self {
                applied: Some(index),
                ..Self::sent(now)
            },
            None => Self {
                until: Some(now.plus(RETRY_MS)),
                applied: None,
            },
        }
    }

    /// The state of this index is at hand; returns whether that is what was waited for.
    pub(crate) fn see(&mut self, seen: u64) -> bool {
        let arrived = self.applied.is_some_and(|index| index <= seen);
        if arrived {
            *self = Self::default();
        }
        arrived
    }

    /// Until when nothing may be proposed; `None` = it may.
    pub(crate) fn busy(&self, now: MonoTime) -> Option<MonoTime> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_before_its_state_keeps_it_busy_until_that_is_seen() {
        let now = MonoTime(1_000);
        let mut proposing = Proposing::answered(Some(7), 5, now);
        assert!(proposing.busy(now).is_some());
        assert!(!proposing.see(6) && proposing.busy(now).is_some());
        assert!(proposing.see(7) && proposing.busy(now).is_none());
        assert_eq!(Proposing::answered(Some(7), 7, now).busy(now), None);
    }

    #[test]
    fn no_answer_no_state_and_a_refusal_end_by_themselves() {
        let now = MonoTime(1_000);
        assert_eq!(Proposing::sent(now).busy(now.plus(PATIENCE_MS)), None);
        let unseen = Proposing::answered(Some(7), 5, now);
        assert_eq!(unseen.busy(now.plus(PATIENCE_MS)), None);
        let refused = Proposing::answered(None, 5, now);
        assert_eq!(refused.busy(now), Some(now.plus(RETRY_MS)));
        assert_eq!(refused.busy(now.plus(RETRY_MS)), None);
    }
}
