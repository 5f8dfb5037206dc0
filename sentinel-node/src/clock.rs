//! The only place of the workspace that reads a clock.

use std::sync::Arc;

use sentinel_core::time::{MonoTime, WallTime};

/// Monotonic and wall time. Read once per message and passed down.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// Milliseconds on the monotonic clock of this process; starts well above 0.
    fn mono(&self) -> MonoTime;
    /// Milliseconds since the Unix epoch.
    fn wall(&self) -> WallTime;
}

/// Shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clocks. Monotonic time is tokio's, so that paused test time moves it.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

/// Monotonic time at process start: leaves room for "long ago" without underflow.
const MONO_ORIGIN_MS: u64 = 1_000_000_000;

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn mono(&self) -> MonoTime {
        let elapsed = tokio::time::Instant::now().saturating_duration_since(self.start);
        MonoTime(MONO_ORIGIN_MS.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall(&self) -> WallTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        WallTime(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }
}
