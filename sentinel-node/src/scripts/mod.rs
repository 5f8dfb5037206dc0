//! Notification and client-reconfig scripts: which path is run, with which arguments, and the processes themselves.
//!
//! ```text
//! any event ----notify----> path of that master? --> queue (sentinel_core::scripts) --> process, no shell
//! a new address -reconfigure->      the same                 |
//!                                                            +--> NodeView::scripts: PENDING-SCRIPTS, INFO
//! ```
//!
//! Invariants:
//! - unless `sentinel deny-scripts-reconfig no`, only a path that this node's own file names is ever run: whoever can
//!   write to the group's log cannot run anything here;
//! - nobody waits for a script, nor for its start: the queue is a task of its own, processes are started on the pool
//!   for blocking work;
//! - a script gets the environment, stdin, stdout and stderr of this process, and no other descriptor.
//!
//! References: sentinel.c `sentinelEvent`, `sentinelCallClientReconfScript`. Deviation: the client-reconfig script of
//! the executor is called when the new address is committed, right after the promotion, and not before it.

mod calls;
mod paths;
mod runner;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use sentinel_proto::Event;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use calls::{ClientReconfig, ReconfigSink, client_reconfigs};
pub use paths::{ScriptKind, ScriptPaths};

use crate::clock::SharedClock;
use crate::pubsub::Hub;
use crate::view::NodeView;
use runner::Runner;

/// Handle of the queue; cheap to clone, usable from every thread.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// Unbounded, but fed only by events of this node; the task does nothing that takes time.
    jobs: mpsc::UnboundedSender<Arc<[String]>>,
    view: Arc<NodeView>,
}

impl Scripts {
    /// Starts the task on the current tokio runtime; it ends when the last handle is dropped. Scripts run in `dir`, and
    /// paths that are not absolute are taken from it.
    ///
    /// # Errors
    /// When the end of children cannot be noticed.
    pub fn start(dir: PathBuf, view: Arc<NodeView>, hub: Hub, clock: SharedClock) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let ended = signal(SignalKind::child())?;
        tokio::spawn(Runner::new(dir, Arc::clone(&view), hub, clock).run(queue, ended));
        Ok(Self { jobs, view })
    }

    /// Queues the notification script of the event's master, if there is one and the event is of its kind.
    pub fn notify(&self, event: &Event) {
        if !event.calls_notification_script() {
            return;
        }
        let Some(master) = &event.master else {
            return;
        };
        let paths = self.view.script_paths.load();
        if let Some(path) = paths.path(ScriptKind::Notification, master, &self.view.state.load()) {
            self.queue(vec![path, event.name.to_string(), event.payload.clone()]);
        }
    }

    /// Queues the client-reconfig script of the master, if there is one.
    pub fn reconfigure(&self, call: &ClientReconfig) {
        let paths = self.view.script_paths.load();
        let state = self.view.state.load();
        if let Some(path) = paths.path(ScriptKind::ClientReconfig, &call.master, &state) {
            self.queue(call.argv(path));
        }
    }

    fn queue(&self, argv: Vec<String>) {
        // Fails only while the runtime is being shut down.
        let _ = self.jobs.send(argv.into());
    }
}
