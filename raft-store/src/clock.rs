//! The crate's only look at a clock: monotonic, and moved by tokio's paused time in tests.

use std::time::Duration;

pub(crate) use tokio::time::Instant;

/// Now, on the runtime's monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate that reads the monotonic clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time left until `until`; zero when it has passed.
pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(now())
}
