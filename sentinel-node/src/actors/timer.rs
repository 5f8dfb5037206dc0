//! The one timer of an actor.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};
use sentinel_core::time::MonoTime;

/// Re-armed after each step to the core's next deadline: a late wake-up is one step, never a burst.
#[derive(Debug, Default)]
pub(super) struct Timer {
    armed: Option<(SpawnHandle, MonoTime)>,
}

impl Timer {
    /// Makes the timer fire at `at`, `None` = never.
    pub(super) fn arm<A>(
        &mut self,
        ctx: &mut Context<A>,
        now: MonoTime,
        at: Option<MonoTime>,
        fire: fn(&mut A, &mut Context<A>),
    ) where
        A: Actor<Context = Context<A>>,
    {
        if let (Some((_, armed)), Some(at)) = (&self.armed, at) {
            if *armed == at && at > now {
                return;
            }
        }
        if let Some((handle, _)) = self.armed.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = at {
            let delay = Duration::from_millis(at.ms_since(now));
            self.armed = Some((ctx.run_later(delay, fire), at));
        }
    }

    /// The timer fired.
    pub(super) fn fired(&mut self) {
        self.armed = None;
    }
}
