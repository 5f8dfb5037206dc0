//! Inputs and effects of the script queue, and its limits (sentinel.c `SENTINEL_SCRIPT_*`).

use std::sync::Arc;

use sentinel_proto::Event;

use crate::time::MonoTime;

/// Jobs known at a time, running ones included (`SENTINEL_SCRIPT_MAX_QUEUE`).
pub const MAX_QUEUE: usize = 256;
/// Jobs that run at a time (`SENTINEL_SCRIPT_MAX_RUNNING`).
pub const MAX_RUNNING: usize = 16;
/// Runs of one job in all (`SENTINEL_SCRIPT_MAX_RETRY`).
pub const MAX_RUNS: u32 = 10;
/// A run that takes longer, in milliseconds, is killed (`SENTINEL_SCRIPT_MAX_RUNTIME`).
pub const MAX_RUN_MS: u64 = 60_000;
/// Pause before the second run, in milliseconds; it doubles with each further run (`SENTINEL_SCRIPT_RETRY_DELAY`).
pub const FIRST_RETRY_DELAY_MS: u64 = 30_000;

/// The times among them that `SENTINEL DEBUG` changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptTimes {
    /// `SCRIPT-MAX-RUNTIME`, in milliseconds.
    pub max_run_ms: u64,
    /// `SCRIPT-RETRY-DELAY`, in milliseconds.
    pub first_retry_delay_ms: u64,
}

impl Default for ScriptTimes {
    fn default() -> Self {
        Self {
            max_run_ms: MAX_RUN_MS,
            first_retry_delay_ms: FIRST_RETRY_DELAY_MS,
        }
    }
}

/// A job, unique in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Why there is no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// The system has no room for a process: reported as signal 99, and tried again.
    Fork,
    /// The path cannot be executed: reported as exit status 2, not tried again.
    Exec,
}

/// What happens to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptInput {
    /// Run this: the path, then its arguments.
    Schedule(Arc<[String]>),
    /// The process of a started job exists.
    Started {
        /// The job.
        job: JobId,
        /// Its process.
        pid: u32,
    },
    /// There is no process for a started job.
    NotStarted {
        /// The job.
        job: JobId,
        /// Why.
        why: StartFailure,
    },
    /// The process of a job ended.
    Ended {
        /// The job.
        job: JobId,
        /// `WEXITSTATUS`; 0 when a signal ended it.
        exit_status: i32,
        /// `WTERMSIG`; 0 when it exited.
        signal: i32,
    },
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEffect {
    /// Start a process; answered with `Started` or `NotStarted`.
    Start {
        /// The job.
        job: JobId,
        /// The path, then its arguments.
        argv: Arc<[String]>,
    },
    /// Send SIGKILL to the job's process.
    Kill(JobId),
    /// Publish.
    Event(Event),
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptPhase {
    /// Not before `due`.
    Waiting {
        /// When it may be started.
        due: MonoTime,
    },
    /// Started; the process is not known yet.
    Starting {
        /// When it was started.
        since: MonoTime,
    },
    /// Running.
    Running {
        /// When it was started.
        since: MonoTime,
        /// The process.
        pid: u32,
        /// It was out of time and was told to end.
        killed: bool,
    },
}

/// A job as `SENTINEL PENDING-SCRIPTS` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptJob {
    /// Which one.
    pub id: JobId,
    /// The path, then its arguments.
    pub argv: Arc<[String]>,
    /// Where it is.
    pub phase: ScriptPhase,
    /// Times it was started: `retry-num`.
    pub runs: u32,
}

impl ScriptJob {
    /// Takes one of the places of [`MAX_RUNNING`].
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.phase, ScriptPhase::Waiting { .. })
    }

    /// Its process; 0 = none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match self.phase {
            ScriptPhase::Running { pid, .. } => pid,
            ScriptPhase::Waiting { .. } | ScriptPhase::Starting { .. } => 0,
        }
    }

    /// The script.
    #[must_use]
    pub fn path(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}
