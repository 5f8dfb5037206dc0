//! The task that decides when to write, and the write itself on a blocking thread.

use std::sync::Arc;
use std::time::Duration;

use raft_store::{LocalFacts, RaftHandle};
use sentinel_core::replicated::{Phase, State};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::config::{Config, Own, Rewritten, os_text, present_text, rewritten, was_edited};
use crate::seeding::Remembered;
use crate::server::Context;

use super::file::replace;

/// Entries that come in quick succession are written together.
const PAUSE: Duration = Duration::from_millis(250);
/// A write that failed is tried again so often.
const RETRY: Duration = Duration::from_secs(30);
/// How long a client waits for its FLUSHCONFIG.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Requests that wait. Overflow policy: refused.
const REQUESTS: usize = 64;

struct Request {
    /// FLUSHCONFIG: an edit of the file is overwritten.
    force: bool,
    done: oneshot::Sender<bool>,
}

/// Asks for the file to be written; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rewriter {
    requests: Option<mpsc::Sender<Request>>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

/// The requests of a [`Rewriter`], for its task.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

impl Rewriter {
    /// The handle, and what the task reads where the file is to be written.
    #[must_use]
    pub fn new(config: &Config) -> (Self, Option<Requests>) {
        if !config.sentinel.rewrite_config {
            return (Self::default(), None);
        }
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let rewriter = Self {
            requests: Some(requests),
        };
        (rewriter, Some(Requests(receiver)))
    }

    /// Whether the file is written at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.requests.is_some()
    }

    /// Writes the file now; `force` overwrites an operator's edit, too. True when it is as it should be, or is not to be
    /// written at all.
    pub async fn save(&self, force: bool) -> bool {
        let Some(requests) = &self.requests else {
            return true;
        };
        let (done, answer) = oneshot::channel();
        let asked = requests.try_send(Request { force, done }).is_ok();
        match timeout(FLUSH_WITHIN, answer).await {
            Ok(Ok(saved)) if asked => saved,
            _ => {
                tracing::warn!(
                    "WARNING: Sentinel was not able to save the new configuration on disk!!!: its lines have not been \
                     brought to the group yet"
                );
                false
            }
        }
    }
}

/// Where the lines come from.
pub struct Source {
    /// The file as it was at start.
    pub(crate) config: Config,
    /// The applied state. Not that of the view, which is told a little later: a file made from it could lack a master that
    /// was just brought to the log.
    pub(crate) raft: RaftHandle,
    /// Scripts, and what SENTINEL CONFIG SET changes.
    pub(crate) context: Arc<Context>,
    /// Where this node remembers the lines.
    pub(crate) facts: LocalFacts,
}

/// What became of a write.
enum Outcome {
    Saved,
    Unchanged,
    Edited,
    Failed(String),
}

/// What the task knows from one write to the next.
struct Writer {
    source: Arc<Source>,
    /// The file as this process last read or wrote it.
    known: Arc<str>,
    said_edited: bool,
    failed: bool,
}

impl Source {
    /// From its parts.
    #[must_use]
    pub fn new(config: Config, raft: RaftHandle, context: Arc<Context>, facts: LocalFacts) -> Self {
        Self {
            config,
            raft,
            context,
            facts,
        }
    }

    /// Runs until the process ends, once the file's lines were brought to the log.
    pub async fn run(self, requests: Requests) {
        let known = Arc::from(self.config.main_text.as_str());
        let mut writer = Writer {
            source: Arc::new(self),
            known,
            said_edited: false,
            failed: false,
        };
        let mut requests = requests.0;
        let mut written = Arc::new(State::default());
        let mut status = writer.source.raft.watch();
        writer.write(false, false).await;
        loop {
            let retry = if writer.failed { RETRY } else { Duration::MAX };
            tokio::select! {
                request = requests.recv() => {
                    let Some(Request { force, done }) = request else {
                        return;
                    };
                    let saved = writer.write(force, true).await;
                    // The client may be gone.
                    let _ = done.send(saved);
                }
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(PAUSE).await;
                    status.borrow_and_update();
                    let state = writer.source.raft.state();
                    // The status also tells of entries on their way, and of other nodes.
                    if !Arc::ptr_eq(&state, &written) && !is_switching(&state) {
                        writer.write(false, false).await;
                        written = state;
                    }
                }
                () = sleep(retry) => {
                    writer.write(false, false).await;
                }
            }
        }
    }

    /// One write; the new text when there is one.
    fn write(&self, known: &str, force: bool, asked: bool) -> (Outcome, Option<Rewritten>) {
        let path = &self.config.path;
        let on_disk = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return (Outcome::Failed(os_text(&error)), None),
        };
        let present = match present_text(&on_disk) {
            // Gone or emptied: everything that was in it is written again.
            Ok(text) if text.trim().is_empty() => known.to_owned(),
            Ok(text) => text,
            Err(why) => return (Outcome::Failed(why), None),
        };
        if !force && was_edited(known, &present) {
            return (Outcome::Edited, None);
        }
        let new = match self.text(&present) {
            Ok(new) => new,
            Err(why) => return (Outcome::Failed(why), None),
        };
        if new.text.as_bytes() == on_disk && !asked {
            return (Outcome::Unchanged, Some(new));
        }
        let remembered = Remembered::new(&self.facts);
        let written = remembered
            .announce(&new.seed_lines)
            .and_then(|()| replace(path, &new.text).map_err(|error| os_text(&error)));
        match written {
            Ok(()) => {
                remembered.store(&new.seed_lines);
                (Outcome::Saved, Some(new))
            }
            Err(why) => {
                remembered.take_back();
                (Outcome::Failed(why), None)
            }
        }
    }

    fn text(&self, present: &str) -> Result<Rewritten, String> {
        let (config, view) = (&self.config, &self.context.view);
        let parameters = self.context.parameters.load().shown();
        let users = self.context.acl.config_lines();
        let own = Own {
            node: view.node,
            myid: &view.myid,
            dir: &config.dir,
            port: config.port,
            protected_mode: config.protected_mode,
            loglevel: crate::log::level(),
            deny_scripts_reconfig: config.sentinel.deny_scripts_reconfig,
            parameters: &parameters,
            scripts: &view.script_paths.load(),
            users: users.as_deref(),
        };
        rewritten(config, present, &own, &self.raft.state())
    }
}

/// A failover that has not switched yet has the disk for itself.
fn is_switching(state: &State) -> bool {
    let open = state.groups.values().filter_map(|group| group.plan.as_ref());
    open.into_iter()
        .any(|plan| !matches!(plan.phase, Phase::Switched { .. }))
}

impl Writer {
    /// True when the file is as it should be. `asked`: by a client.
    async fn write(&mut self, force: bool, asked: bool) -> bool {
        let (source, known) = (Arc::clone(&self.source), Arc::clone(&self.known));
        let written = tokio::task::spawn_blocking(move || source.write(&known, force, asked)).await;
        let (outcome, new) = written.unwrap_or_else(|error| (Outcome::Failed(error.to_string()), None));
        if let Some(new) = new {
            self.known = Arc::from(new.text);
        }
        let failed_before = std::mem::replace(&mut self.failed, matches!(outcome, Outcome::Failed(_)));
        match outcome {
            Outcome::Saved => {
                self.said_edited = false;
                tracing::info!("Sentinel new configuration saved on disk");
            }
            Outcome::Unchanged => {}
            Outcome::Edited if self.said_edited => {}
            Outcome::Edited => {
                self.said_edited = true;
                tracing::warn!(
                    "{} was edited while this sentinel runs: it is left alone until the next start, or until SENTINEL \
                     FLUSHCONFIG",
                    self.source.config.path.display()
                );
            }
            Outcome::Failed(why) => {
                // A disk that stays full is no news each time.
                if asked || !failed_before {
                    tracing::warn!(
                        "WARNING: Sentinel was not able to save the new configuration on disk!!!: {why}"
                    );
                }
                return false;
            }
        }
        true
    }
}
