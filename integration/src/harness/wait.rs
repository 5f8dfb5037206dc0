//! Waiting for conditions, never for time.

use std::time::Duration;

use anyhow::{Result, bail};

use super::time::{now, pause};

/// Gap between two looks at a condition.
const GAP: Duration = Duration::from_millis(5);

/// Polls until `look` gives a value. After `deadline` an error says what did not happen, and what was seen last.
pub fn wait_for<T>(what: &str, deadline: Duration, look: impl FnMut() -> Result<T>) -> Result<T> {
    wait_for_every(GAP, what, deadline, look)
}

/// [`wait_for`] with another gap between looks.
pub fn wait_for_every<T>(
    gap: Duration,
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = now();
    loop {
        let reason = match look() {
            Ok(value) => return Ok(value),
            Err(reason) => reason,
        };
        if now().saturating_duration_since(start) > deadline {
            bail!("after {deadline:?} still not: {what} (last look: {reason:#})");
        }
        pause(gap);
    }
}

/// Holds for the whole of `length`, looked at again and again.
pub fn holds_for(what: &str, length: Duration, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let start = now();
    while now().saturating_duration_since(start) < length {
        if let Err(reason) = look() {
            bail!("did not hold: {what} ({reason:#})");
        }
        pause(GAP);
    }
    Ok(())
}
