//! CLIENT PAUSE: requests of clients wait.
//!
//! As in Redis (networking.c `pauseClients`): the stricter scope and the later end of two pauses hold; unknown commands
//! and those that the client may not run are refused at once; events are delivered meanwhile. Only clients wait: this
//! node goes on observing, voting and acting, and `SENTINEL PEER` and the admin port are served.
//!
//! Deviation: CLIENT UNPAUSE is answered during a pause of all clients. In Redis it waits as well.

use std::sync::atomic::{AtomicBool, Ordering};

use sentinel_core::time::MonoTime;
use sentinel_proto::command::{CommandSpec, PauseScope};
use tokio::sync::watch;

/// The pause in force, if any.
#[derive(Debug)]
pub struct Pause {
    /// May be ahead of the truth, never behind: one load on the fast path.
    on: AtomicBool,
    paused: watch::Sender<Option<(PauseScope, MonoTime)>>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            paused: watch::Sender::new(None),
        }
    }
}

impl Pause {
    /// CLIENT PAUSE.
    pub(super) fn start(&self, scope: PauseScope, ms: u64, now: MonoTime) {
        let end = MonoTime(now.0.saturating_add(ms));
        self.paused.send_modify(|paused| {
            self.on.store(true, Ordering::Relaxed);
            *paused = Some(match *paused {
                Some((other, until)) if until > now => (scope.max(other), end.max(until)),
                _ => (scope, end),
            });
        });
    }

    /// CLIENT UNPAUSE.
    pub(super) fn end(&self) {
        self.paused.send_modify(|paused| {
            *paused = None;
            self.on.store(false, Ordering::Relaxed);
        });
    }

    /// False = nothing waits.
    pub(super) fn may_hold(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Until when this command has to wait; `None` = not at all.
    pub(super) fn holds(&self, spec: &CommandSpec, now: MonoTime) -> Option<MonoTime> {
        let (scope, until) = (*self.paused.borrow())?;
        if until <= now {
            // Over: back to the fast path, unless a new one has just begun.
            self.paused.send_if_modified(|paused| {
                let over = paused.is_some_and(|(_, until)| until <= now);
                if over {
                    *paused = None;
                    self.on.store(false, Ordering::Relaxed);
                }
                over
            });
            return None;
        }
        let waits = match scope {
            PauseScope::All => spec.name != "client|unpause",
            PauseScope::Write => spec.name == "publish",
        };
        waits.then_some(until)
    }

    /// Tells of every change.
    pub(super) fn watch(&self) -> watch::Receiver<Option<(PauseScope, MonoTime)>> {
        self.paused.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use sentinel_proto::command::find_by_full_name;

    use super::*;

    #[test]
    fn the_stricter_scope_and_the_later_end_hold() {
        let spec = |name| find_by_full_name(name).unwrap();
        let (pause, at) = (Pause::default(), MonoTime);
        assert!(!pause.may_hold());
        pause.start(PauseScope::Write, 1000, at(0));
        assert_eq!(pause.holds(spec("publish"), at(1)), Some(at(1000)));
        assert_eq!(pause.holds(spec("ping"), at(1)), None);
        pause.start(PauseScope::All, 10, at(1));
        pause.start(PauseScope::Write, 10, at(2));
        assert_eq!(pause.holds(spec("ping"), at(3)), Some(at(1000)));
        assert_eq!(pause.holds(spec("client|unpause"), at(3)), None);
        assert!(pause.may_hold());
        assert_eq!(pause.holds(spec("ping"), at(1000)), None);
        assert!(!pause.may_hold());
        // What was before does not count any more.
        pause.start(PauseScope::Write, 10, at(2000));
        assert_eq!(pause.holds(spec("ping"), at(2001)), None);
        assert!(pause.may_hold());
        pause.end();
        assert!(!pause.may_hold());
    }
}
