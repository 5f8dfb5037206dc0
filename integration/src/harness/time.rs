//! The one place of this crate that reads a clock or sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the harness measures real processes in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "seeds and labels of runs")]
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Lets time pass: the gap between two polls, two writes, or two signals of a fault that is defined by its length.
#[expect(
    clippy::disallowed_methods,
    reason = "pollers pause, and faults such as SIGSTOP have a length"
)]
pub fn pause(gap: Duration) {
    std::thread::sleep(gap);
}

/// [`pause`] in milliseconds.
pub fn pause_ms(gap_ms: u64) {
    pause(Duration::from_millis(gap_ms));
}

/// Milliseconds from `since` until now, with fraction.
#[must_use]
pub fn ms_since(since: Instant) -> f64 {
    now().saturating_duration_since(since).as_secs_f64() * 1000.0
}

/// Milliseconds from `from` to `to`; negative when `to` is earlier.
#[must_use]
pub fn ms_between(from: Instant, to: Instant) -> f64 {
    if to >= from {
        to.duration_since(from).as_secs_f64() * 1000.0
    } else {
        -(from.duration_since(to).as_secs_f64() * 1000.0)
    }
}
