//! The queue of notification and client-reconfig scripts: what is started when, what is run again, what is given up.
//!
//! ```text
//! Schedule --> waiting --Start--> starting --Started--> running --Ended 0, or >= 2--> gone
//!                ^                    |                    |
//!                +--- retry delay <---+-- no process ------+-- Ended 1, or by a signal (10 runs in all)
//! ```
//!
//! Invariants:
//! - at most [`MAX_RUNNING`] are starting or running; the oldest one that may start is started first;
//! - at most [`MAX_QUEUE`] are known: one more drops the oldest that is not running, silently;
//! - a run ends with [`ScriptInput::Ended`] only: a script that is out of time is killed, and counts until it is gone.
//!
//! Scripts run in parallel, so their order is only that of their starts. The queue is lost when the process ends.
//!
//! References: sentinel.c `sentinelScheduleScriptExecution`, `sentinelRunPendingScripts`,
//! `sentinelCollectTerminatedScripts`, `sentinelKillTimedoutScripts`, `sentinelPendingScriptsCommand`. Deviations:
//! a failed `fork` is tried again after the retry delay and at most 10 times (Sentinel: every 100 ms, for ever), and
//! `-script-timeout` comes once a run (Sentinel: every 100 ms until the process is gone).

mod queue;
#[cfg(test)]
mod tests;
mod types;

pub use queue::ScriptQueue;
pub use types::{
    FIRST_RETRY_DELAY_MS, JobId, MAX_QUEUE, MAX_RUN_MS, MAX_RUNNING, MAX_RUNS, ScriptEffect, ScriptInput,
    ScriptJob, ScriptPhase, ScriptTimes, StartFailure,
};
