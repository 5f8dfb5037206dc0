//! Every rule of the queue, and random histories against its invariants.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::time::MonoTime;

/// A queue with what it did.
#[derive(Default)]
struct World {
    queue: ScriptQueue,
    now: u64,
    starts: Vec<(u64, JobId, String)>,
    kills: Vec<JobId>,
    events: Vec<String>,
}

impl World {
    fn step(&mut self, input: ScriptInput) {
        let mut effects = Vec::new();
        self.queue.step(MonoTime(self.now), input, &mut effects);
        for effect in effects {
            match effect {
                ScriptEffect::Start { job, argv } => self.starts.push((self.now, job, argv.join(" "))),
                ScriptEffect::Kill(job) => self.kills.push(job),
                ScriptEffect::Event(event) => self.events.push(event.to_string()),
            }
        }
    }

    fn schedule(&mut self, text: &str) {
        self.step(ScriptInput::Schedule(
            text.split(' ').map(str::to_owned).collect(),
        ));
    }

    /// The job started last gets this process.
    fn runs_as(&mut self, pid: u32) -> JobId {
        let (_, job, _) = *self.starts.last().as_ref().unwrap();
        let job = *job;
        self.step(ScriptInput::Started { job, pid });
        job
    }

    fn ends(&mut self, job: JobId, exit_status: i32, signal: i32) {
        self.step(ScriptInput::Ended {
            job,
            exit_status,
            signal,
        });
    }

    /// To the next deadline; `None` = there is none.
    fn reach_deadline(&mut self) -> Option<u64> {
        let at = self.queue.poll_timeout()?;
        assert!(at.0 >= self.now, "a deadline in the past: {at:?} at {}", self.now);
        self.now = at.0;
        self.step(ScriptInput::Tick);
        Some(at.0)
    }

    fn length(&self) -> usize {
        self.queue.jobs().count()
    }
}

#[test]
fn a_script_that_exits_with_0_is_done() {
    let mut w = World::default();
    w.schedule("/s +sdown master");
    assert_eq!(w.starts, [(0, JobId(1), "/s +sdown master".to_owned())]);
    assert_eq!(
        w.queue.poll_timeout(),
        None,
        "the answer to the start comes first"
    );
    let job = w.runs_as(77);
    assert_eq!(w.queue.jobs().map(ScriptJob::pid).collect::<Vec<_>>(), [77]);
    w.now = 60_000;
    w.ends(job, 0, 0);
    assert_eq!(w.events, ["+script-child 77", "-script-child 77 0 0"]);
    assert_eq!((w.length(), w.queue.poll_timeout()), (0, None));
}

#[test]
fn exit_1_and_signals_are_retried_with_doubling_pauses_ten_times_in_all() {
    for (exit_status, signal) in [(1, 0), (0, 9), (0, 15)] {
        let mut w = World::default();
        w.schedule("/s");
        for _ in 0..9 {
            let job = w.runs_as(5);
            w.ends(job, exit_status, signal);
            assert!(w.reach_deadline().is_some());
        }
        let job = w.runs_as(5);
        w.ends(job, exit_status, signal);
        let pauses: Vec<u64> = w
            .starts
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) / 1000)
            .collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3840, 7680]);
        let error = format!("-script-error /s {signal} {exit_status}");
        let errors: Vec<&String> = w
            .events
            .iter()
            .filter(|e| e.starts_with("-script-error"))
            .collect();
        assert_eq!(errors, [&error]);
        assert_eq!((w.length(), w.queue.poll_timeout()), (0, None));
    }
}

#[test]
fn any_other_exit_status_and_a_failed_exec_are_final() {
    for exit_status in 2..256 {
        let mut w = World::default();
        w.schedule("/s");
        let job = w.runs_as(5);
        w.ends(job, exit_status, 0);
        assert_eq!(w.events[2], format!("-script-error /s 0 {exit_status}"));
        assert_eq!(w.length(), 0);
    }
    let mut w = World::default();
    w.schedule("/s");
    let why = StartFailure::Exec;
    w.step(ScriptInput::NotStarted { job: JobId(1), why });
    assert_eq!(w.events, ["-script-error /s 0 2"]);
    assert_eq!(w.length(), 0);
}

#[test]
fn a_failed_fork_is_said_each_time_and_tried_ten_times() {
    let mut w = World::default();
    w.schedule("/s");
    let why = StartFailure::Fork;
    for run in 1..=10 {
        w.step(ScriptInput::NotStarted { job: JobId(1), why });
        assert_eq!(w.events.len(), run);
        assert_eq!(w.reach_deadline().is_some(), run < 10);
    }
    assert!(w.events.iter().all(|event| event == "-script-error /s 99 0"));
    assert_eq!(w.length(), 0);
}

#[test]
fn a_script_that_is_out_of_time_is_killed_once_and_retried() {
    let mut w = World::default();
    w.schedule("/s");
    let job = w.runs_as(5);
    w.now = MAX_RUN_MS;
    w.step(ScriptInput::Tick);
    assert!(w.kills.is_empty(), "it has the whole minute");
    assert_eq!(w.reach_deadline(), Some(MAX_RUN_MS + 1));
    assert_eq!(w.kills, [job]);
    assert_eq!(w.events[1], "-script-timeout /s 5");
    w.now += 5_000;
    w.step(ScriptInput::Tick);
    assert_eq!((w.kills.len(), w.events.len(), w.queue.running()), (1, 2, 1));
    w.ends(job, 0, 9);
    assert_eq!(w.events[2], "-script-child 5 0 9");
    assert_eq!(
        w.reach_deadline(),
        Some(MAX_RUN_MS + 1 + 5_000 + FIRST_RETRY_DELAY_MS)
    );
    assert_eq!(w.starts.len(), 2);
    assert_eq!(w.queue.jobs().map(|job| job.runs).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_start_that_took_longer_than_the_limit_is_killed_when_it_is_known() {
    let mut w = World::default();
    w.schedule("/s");
    w.now = MAX_RUN_MS + 1;
    w.step(ScriptInput::Tick);
    assert!(w.kills.is_empty());
    let job = w.runs_as(5);
    assert_eq!(w.kills, [job]);
}

#[test]
fn sixteen_run_at_a_time_the_oldest_first() {
    let mut w = World::default();
    for i in 1..=20 {
        w.schedule(&format!("/s {i}"));
    }
    assert_eq!(w.starts.len(), MAX_RUNNING);
    assert_eq!(w.queue.poll_timeout(), None, "nothing can start while it is full");
    w.step(ScriptInput::Started {
        job: JobId(3),
        pid: 3,
    });
    w.ends(JobId(3), 0, 0);
    assert_eq!(w.starts.last().unwrap().2, "/s 17");
    // A retry that is not due yet lets younger ones pass.
    w.step(ScriptInput::Started {
        job: JobId(1),
        pid: 1,
    });
    w.ends(JobId(1), 1, 0);
    assert_eq!(w.starts.last().unwrap().2, "/s 18");
    // Once due it is the oldest.
    w.now = FIRST_RETRY_DELAY_MS;
    w.step(ScriptInput::Started {
        job: JobId(2),
        pid: 2,
    });
    w.ends(JobId(2), 0, 0);
    assert_eq!(w.starts.last().unwrap().2, "/s 1");
}

#[test]
fn the_oldest_waiting_one_is_dropped_when_there_are_too_many() {
    let mut w = World::default();
    for i in 1..=MAX_QUEUE {
        w.schedule(&format!("/s {i}"));
    }
    assert_eq!(w.length(), MAX_QUEUE);
    w.schedule("/s new");
    assert_eq!(w.length(), MAX_QUEUE);
    let ids: Vec<u64> = w.queue.jobs().map(|job| job.id.0).collect();
    assert!(!ids.contains(&17), "the running ones are 1 to 16");
    assert_eq!((ids[15], ids[16], ids[255]), (16, 18, 257));
    assert!(w.events.is_empty(), "silently");
}

#[test]
fn answers_about_unknown_or_waiting_jobs_change_nothing() {
    let mut w = World::default();
    for i in 1..=17 {
        w.schedule(&format!("/s {i}"));
    }
    for job in [JobId(17), JobId(99)] {
        w.step(ScriptInput::Started { job, pid: 1 });
        let why = StartFailure::Exec;
        w.step(ScriptInput::NotStarted { job, why });
        w.ends(job, 2, 0);
    }
    assert_eq!((w.length(), w.queue.running(), w.events.len()), (17, 16, 0));
}

proptest! {
    /// Any history of starts, answers and ends, with time going on: the limits hold, no job is started while it runs,
    /// and once every process ends with 0 nothing is left.
    #[test]
    fn limits_hold_in_any_history(steps in prop::collection::vec((0_u8..7, 0_usize..20, 0_u64..70_000), 1..400)) {
        let mut w = World::default();
        let mut alive: BTreeSet<JobId> = BTreeSet::new();
        let mut seen = 0;
        for (what, which, pause) in steps {
            let jobs: Vec<JobId> = w.queue.jobs().filter(|j| j.is_running()).map(|j| j.id).collect();
            let job = jobs.get(which % jobs.len().max(1)).copied().unwrap_or(JobId(0));
            match what {
                0 | 1 => (0..which * 2).for_each(|i| w.schedule(&format!("/s {i}"))),
                2 => w.step(ScriptInput::Started { job, pid: 7 }),
                3 => w.step(ScriptInput::NotStarted { job, why: StartFailure::Fork }),
                4 => w.ends(job, i32::try_from(which % 3).unwrap(), 0),
                5 => w.ends(job, 0, 9),
                _ => {
                    w.now += pause;
                    w.step(ScriptInput::Tick);
                }
            }
            let running: BTreeSet<JobId> = w.queue.jobs().filter(|j| j.is_running()).map(|j| j.id).collect();
            for (_, started, _) in &w.starts[seen..] {
                prop_assert!(!alive.contains(started) || *started == job, "started while running");
            }
            seen = w.starts.len();
            alive = running;
            prop_assert!(alive.len() <= MAX_RUNNING && w.length() <= MAX_QUEUE);
            prop_assert!(w.queue.jobs().all(|j| j.runs <= MAX_RUNS));
            prop_assert!(w.queue.poll_timeout().is_none_or(|at| at.0 > w.now));
        }
        for _ in 0..10_000 {
            let next = w.queue.jobs().find(|j| j.is_running()).map(|j| j.id);
            match next {
                Some(job) => {
                    w.step(ScriptInput::Started { job, pid: 7 });
                    w.ends(job, 0, 0);
                }
                None if w.reach_deadline().is_none() => break,
                None => {}
            }
        }
        prop_assert_eq!(w.length(), 0);
    }
}

#[test]
fn other_times_hold_for_running_jobs_and_for_retries() {
    let mut w = World::default();
    w.schedule("/s");
    let job = w.runs_as(5);
    w.queue.set_times(ScriptTimes {
        max_run_ms: 1_000,
        first_retry_delay_ms: 200,
    });
    assert_eq!(w.reach_deadline(), Some(1_001));
    assert_eq!(w.kills, [job]);
    w.ends(job, 0, 9);
    assert_eq!(w.reach_deadline(), Some(1_201));
    assert_eq!(w.starts.len(), 2);
}
