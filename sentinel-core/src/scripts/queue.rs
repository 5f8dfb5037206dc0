//! The queue itself; see the module's description.

use std::collections::VecDeque;
use std::sync::Arc;

use sentinel_proto::Event;

use super::types::{
    JobId, MAX_QUEUE, MAX_RUNNING, MAX_RUNS, ScriptEffect, ScriptInput, ScriptJob, ScriptPhase, ScriptTimes,
    StartFailure,
};
use crate::time::MonoTime;

/// Signal that Sentinel reports for a failed `fork`.
const NO_PROCESS_SIGNAL: i32 = 99;
/// Exit status that Sentinel's child has when `execve` fails.
const NOT_EXECUTABLE_STATUS: i32 = 2;
/// Exit status of a script that asks to be run again.
const RETRY_STATUS: i32 = 1;

/// All jobs of a process, oldest first.
#[derive(Debug, Default)]
pub struct ScriptQueue {
    jobs: VecDeque<ScriptJob>,
    last_id: u64,
    times: ScriptTimes,
}

impl ScriptQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Other times: for running jobs, too, and for retries planned from now on.
    pub fn set_times(&mut self, times: ScriptTimes) {
        self.times = times;
    }

    /// Takes an input; what is to be done is appended to `effects`. Inputs about unknown jobs are ignored.
    pub fn step(&mut self, now: MonoTime, input: ScriptInput, effects: &mut Vec<ScriptEffect>) {
        match input {
            ScriptInput::Schedule(argv) => self.schedule(now, argv),
            ScriptInput::Started { job, pid } => self.started(job, pid, effects),
            ScriptInput::NotStarted { job, why } => self.not_started(now, job, why, effects),
            ScriptInput::Ended {
                job,
                exit_status,
                signal,
            } => self.ended(now, job, (exit_status, signal), effects),
            ScriptInput::Tick => {}
        }
        self.kill_late(now, effects);
        self.start_due(now, effects);
    }

    /// When [`ScriptInput::Tick`] is due; `None` = only an input changes anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let full = self.running() >= MAX_RUNNING;
        self.jobs
            .iter()
            .filter_map(|job| match job.phase {
                ScriptPhase::Waiting { due } => (!full).then_some(due),
                ScriptPhase::Running {
                    since, killed: false, ..
                } => Some(since.plus(self.times.max_run_ms).plus(1)),
                // The answer to the start comes first.
                ScriptPhase::Starting { .. } | ScriptPhase::Running { killed: true, .. } => None,
            })
            .min()
    }

    /// Jobs, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = &ScriptJob> {
        self.jobs.iter()
    }

    /// Jobs that are starting or running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_running()).count()
    }

    fn schedule(&mut self, now: MonoTime, argv: Arc<[String]>) {
        self.last_id = self.last_id.saturating_add(1);
        self.jobs.push_back(ScriptJob {
            id: JobId(self.last_id),
            argv,
            phase: ScriptPhase::Waiting { due: now },
            runs: 0,
        });
        if self.jobs.len() > MAX_QUEUE {
            if let Some(oldest) = self.jobs.iter().position(|job| !job.is_running()) {
                self.jobs.remove(oldest);
            }
        }
    }

    fn find(&mut self, id: JobId) -> Option<&mut ScriptJob> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    fn started(&mut self, id: JobId, pid: u32, effects: &mut Vec<ScriptEffect>) {
        let Some(job) = self.find(id) else {
            return;
        };
        if let ScriptPhase::Starting { since } = job.phase {
            job.phase = ScriptPhase::Running {
                since,
                pid,
                killed: false,
            };
            effects.push(ScriptEffect::Event(Event::script_started(pid)));
        }
    }

    fn not_started(&mut self, now: MonoTime, id: JobId, why: StartFailure, effects: &mut Vec<ScriptEffect>) {
        let delay = self.times.first_retry_delay_ms;
        let Some(job) = self.find(id) else {
            return;
        };
        if !matches!(job.phase, ScriptPhase::Starting { .. }) {
            return;
        }
        let (signal, exit_status) = match why {
            StartFailure::Fork => (NO_PROCESS_SIGNAL, 0),
            StartFailure::Exec => (0, NOT_EXECUTABLE_STATUS),
        };
        let event = Event::script_error(job.path(), signal, exit_status);
        effects.push(ScriptEffect::Event(event));
        if why == StartFailure::Exec || job.runs >= MAX_RUNS {
            self.remove(id);
        } else {
            job.phase = retry(now, job.runs, delay);
        }
    }

    fn ended(
        &mut self,
        now: MonoTime,
        id: JobId,
        (exit_status, signal): (i32, i32),
        effects: &mut Vec<ScriptEffect>,
    ) {
        let delay = self.times.first_retry_delay_ms;
        let Some(job) = self.find(id) else {
            return;
        };
        let ScriptPhase::Running { pid, .. } = job.phase else {
            return;
        };
        effects.push(ScriptEffect::Event(Event::script_ended(pid, exit_status, signal)));
        if (signal != 0 || exit_status == RETRY_STATUS) && job.runs < MAX_RUNS {
            job.phase = retry(now, job.runs, delay);
            return;
        }
        if signal != 0 || exit_status != 0 {
            let event = Event::script_error(job.path(), signal, exit_status);
            effects.push(ScriptEffect::Event(event));
        }
        self.remove(id);
    }

    fn remove(&mut self, id: JobId) {
        self.jobs.retain(|job| job.id != id);
    }

    fn kill_late(&mut self, now: MonoTime, effects: &mut Vec<ScriptEffect>) {
        for job in &mut self.jobs {
            let ScriptPhase::Running {
                since,
                pid,
                killed: false,
            } = job.phase
            else {
                continue;
            };
            if now.ms_since(since) > self.times.max_run_ms {
                effects.push(ScriptEffect::Event(Event::script_timeout(job.path(), pid)));
                effects.push(ScriptEffect::Kill(job.id));
                job.phase = ScriptPhase::Running {
                    since,
                    pid,
                    killed: true,
                };
            }
        }
    }

    fn start_due(&mut self, now: MonoTime, effects: &mut Vec<ScriptEffect>) {
        let room = MAX_RUNNING.saturating_sub(self.running());
        let due = self
            .jobs
            .iter_mut()
            .filter(|job| matches!(job.phase, ScriptPhase::Waiting { due } if due <= now));
        for job in due.take(room) {
            job.phase = ScriptPhase::Starting { since: now };
            job.runs = job.runs.saturating_add(1);
            effects.push(ScriptEffect::Start {
                job: job.id,
                argv: Arc::clone(&job.argv),
            });
        }
    }
}

/// Waits for the run after `runs`: the first pause, doubled with each further one.
fn retry(now: MonoTime, runs: u32, first_delay_ms: u64) -> ScriptPhase {
    let doubled = 1_u64
        .checked_shl(runs.saturating_sub(1))
        .unwrap_or(u64::MAX)
        .saturating_mul(first_delay_ms);
    ScriptPhase::Waiting {
        due: now.plus(doubled),
    }
}
