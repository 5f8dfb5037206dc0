//! Counters per second, for INFO: one sample a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::context::{Context, Counters};

const PERIOD: Duration = Duration::from_secs(1);

/// What happened in the last second.
#[derive(Debug, Default)]
pub struct Rates {
    /// Requests answered.
    pub commands: AtomicU64,
    /// Bytes read.
    pub input_bytes: AtomicU64,
    /// Bytes written.
    pub output_bytes: AtomicU64,
}

fn totals(counters: &Counters) -> [u64; 3] {
    [&counters.commands, &counters.input_bytes, &counters.output_bytes]
        .map(|counter| counter.load(Ordering::Relaxed))
}

/// Samples until the context is stopped.
pub(super) async fn sample(context: Arc<Context>) {
    let rates = &context.rates;
    let shown = [&rates.commands, &rates.input_bytes, &rates.output_bytes];
    let mut before = totals(&context.counters);
    let mut since = context.clock.mono();
    loop {
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let (now, after) = (context.clock.mono(), totals(&context.counters));
        // Longer than the period where the process was stopped.
        let elapsed_ms = now.ms_since(since).max(1);
        for (rate, (new, old)) in shown.iter().zip(after.iter().zip(&before)) {
            let count = new.saturating_sub(*old).saturating_mul(1000);
            rate.store(count / elapsed_ms, Ordering::Relaxed);
        }
        (before, since) = (after, now);
    }
}
