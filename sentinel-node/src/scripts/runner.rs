//! The task that owns the queue and the children.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use sentinel_core::scripts::{JobId, ScriptEffect, ScriptInput, ScriptQueue, StartFailure};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::SharedClock;
use crate::pubsub::Hub;
use crate::title;
use crate::view::NodeView;

/// What starting a process came to.
type Start = (JobId, io::Result<Child>);

pub(super) struct Runner {
    queue: ScriptQueue,
    effects: Vec<ScriptEffect>,
    starting: JoinSet<Start>,
    children: BTreeMap<JobId, Child>,
    dir: Arc<Path>,
    view: Arc<NodeView>,
    hub: Hub,
    clock: SharedClock,
}

impl Runner {
    pub(super) fn new(dir: PathBuf, view: Arc<NodeView>, hub: Hub, clock: SharedClock) -> Self {
        Self {
            queue: ScriptQueue::new(),
            effects: Vec::new(),
            starting: JoinSet::new(),
            children: BTreeMap::new(),
            dir: dir.into(),
            view,
            hub,
            clock,
        }
    }

    /// `ended`: SIGCHLD. Scripts that run when this returns go on, as after the end of Sentinel.
    pub(super) async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Arc<[String]>>, mut ended: Signal) {
        let view = Arc::clone(&self.view);
        loop {
            let due = self.queue.poll_timeout();
            let pause = due.map(|at| Duration::from_millis(at.ms_since(self.clock.mono())));
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(argv) => self.step(ScriptInput::Schedule(argv)),
                    None => return,
                },
                Some(start) = self.starting.join_next() => {
                    // An error is a start that was cancelled: the runtime is shutting down.
                    if let Ok((job, started)) = start {
                        self.started(job, started);
                    }
                }
                _ = ended.recv() => {}
                // They hold for what runs already, too.
                () = view.tuning.script_times_changed() => self.step(ScriptInput::Tick),
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                    self.step(ScriptInput::Tick);
                }
            }
            // Always: a child may have ended before it was known here.
            self.reap();
            if jobs.is_empty() {
                let jobs = self.queue.jobs().cloned().collect();
                self.view.scripts.store(Arc::new(jobs));
            }
        }
    }

    fn step(&mut self, input: ScriptInput) {
        let now = self.clock.mono();
        self.queue.set_times(self.view.tuning.scripts());
        self.queue.step(now, input, &mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                ScriptEffect::Start { job, argv } => {
                    let dir = Arc::clone(&self.dir);
                    // Reading the program may take as long as its file system does.
                    self.starting.spawn_blocking(move || (job, spawn(&dir, &argv)));
                }
                ScriptEffect::Kill(job) => {
                    if let Some(Err(error)) = self.children.get_mut(&job).map(Child::kill) {
                        tracing::warn!("a script that is out of time cannot be killed: {error}");
                    }
                }
                ScriptEffect::Event(event) => self.hub.publish(event),
            }
        }
    }

    fn started(&mut self, job: JobId, started: io::Result<Child>) {
        match started {
            Ok(child) => {
                let pid = child.id();
                self.children.insert(job, child);
                self.step(ScriptInput::Started { job, pid });
            }
            Err(error) => self.step(ScriptInput::NotStarted {
                job,
                why: failure(&error),
            }),
        }
    }

    fn reap(&mut self) {
        let mut ended = Vec::new();
        self.children.retain(|job, child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                ended.push((*job, status));
                false
            }
            Err(error) => {
                tracing::warn!("how a script ended is not known: {error}");
                ended.push((*job, ExitStatus::default()));
                false
            }
        });
        for (job, status) in ended {
            self.step(ScriptInput::Ended {
                job,
                exit_status: status.code().unwrap_or(0),
                signal: status.signal().unwrap_or(0),
            });
        }
    }
}

/// Starts the file itself: no shell, no search in PATH. All descriptors but the first three are closed on exec, for the
/// standard library and tokio open nothing otherwise.
fn spawn(dir: &Path, argv: &[String]) -> io::Result<Child> {
    let (path, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(dir.join(path))
        .arg0(path)
        .args(arguments)
        .current_dir(dir)
        .env_remove(crate::background::MARK)
        .env_remove(title::MARK)
        .spawn()
}

fn failure(error: &io::Error) -> StartFailure {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => StartFailure::Fork,
        _ => StartFailure::Exec,
    }
}
