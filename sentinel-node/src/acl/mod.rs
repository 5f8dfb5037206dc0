//! The users of this node (rules and decisions: `sentinel_core::acl`).
//!
//! ```text
//! file --start--> Users (an immutable snapshot) <--read-- connections, peers
//!                   ^ one writer: the task <-- ACL SETUSER, DELUSER, LOAD, SAVE, LOG
//! ```
//!
//! - A connection holds its user. It asks for a newer one only when the generation has changed, so an unrestricted user
//!   costs one comparison of numbers a request.
//! - A change closes the connections of users that are gone, and makes subscribers look at their channels again.
//! - Changes live until the node ends unless saved (ACL SAVE, or `sentinel rewrite-config yes`), as in Sentinel.

mod file;
mod task;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use sentinel_core::acl::{Denial, Digest, LogEntry, Policy, User, Users};
use sentinel_proto::command::find_by_full_name;
use sentinel_proto::reply::ErrorReply;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::clock::SharedClock;
use crate::config::Config;
use crate::server::Clients;

use task::{Message, Task};

/// Requests to the task under way. A client waits for its own; refusals to be noted beyond it are dropped.
const QUEUE: usize = 1024;

/// SHA-256, in which passwords are kept.
#[must_use]
pub fn sha256(password: &[u8]) -> Digest {
    Sha256::digest(password).into()
}

/// How rules are read in this process.
#[must_use]
pub fn policy(all_channels: bool) -> Policy {
    Policy {
        hash: sha256,
        all_channels,
    }
}

/// What a node starts with.
#[derive(Debug, Clone)]
pub struct AclSettings {
    /// The users.
    pub users: Users,
    /// `aclfile`, absolute.
    pub file: Option<PathBuf>,
    /// `acllog-max-len`.
    pub log_max_len: usize,
    /// `acl-pubsub-default allchannels`.
    pub all_channels: bool,
}

impl AclSettings {
    /// Taken from the configuration, without the ACL file.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let acl = &config.acl;
        let mut users = acl.users.clone();
        // A `user default` line wins over `requirepass`, wherever they stand.
        if !acl.declares_default {
            let password = config.requirepass.as_ref().map(String::as_bytes);
            users.set_default_password(password, &policy(acl.all_channels));
        }
        Self {
            users,
            file: acl.file.as_ref().map(|path| config.dir.join(path)),
            log_max_len: acl.log_max_len,
            all_channels: acl.all_channels,
        }
    }

    /// Reads the ACL file, if there is one: its users are all there are, and `requirepass` does not count.
    ///
    /// # Errors
    /// Text for the log; the node must not start.
    pub fn read_file(&mut self, config: &Config) -> Result<(), String> {
        let Some(path) = &self.file else {
            for user in self.users.all() {
                if !user.is_enabled() {
                    tracing::info!(
                        "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this \
                         is not a configuration error.",
                        String::from_utf8_lossy(user.name())
                    );
                }
            }
            return Ok(());
        };
        if config.acl.declares_users {
            return Err(
                "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is \
                 invalid. This setup is very likely to lead to configuration errors and security holes, please define \
                 either an ACL file or declare users directly in your redis.conf, but not both."
                    .to_owned(),
            );
        }
        self.users = file::read(path, &policy(self.all_channels))
            .map_err(|reason| format!("Aborting Redis startup because of ACL errors: {reason}"))?;
        Ok(())
    }
}

/// The handle: cheap to clone.
#[derive(Debug, Clone)]
pub struct Acl {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Message>,
}

#[derive(Debug)]
struct Shared {
    users: ArcSwap<Users>,
    /// Raised after each change of the users.
    generation: AtomicU64,
    file: Option<PathBuf>,
}

impl Acl {
    /// Starts the task. Must be called on a tokio runtime.
    #[must_use]
    pub(crate) fn start(settings: AclSettings, clients: Clients, clock: SharedClock) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            users: ArcSwap::from_pointee(settings.users),
            generation: AtomicU64::new(0),
            file: settings.file,
        });
        let task = Task::new(
            Arc::clone(&shared),
            policy(settings.all_channels),
            settings.log_max_len,
            clients,
            clock,
        );
        tokio::spawn(task.run(receiver));
        Self { shared, sender }
    }

    /// The users as they are now.
    #[must_use]
    pub fn users(&self) -> Guard<Arc<Users>> {
        self.shared.users.load()
    }

    /// Changes with the users.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// The users as `user` lines of sentinel.conf; `None` = they live in an ACL file.
    #[must_use]
    pub fn config_lines(&self) -> Option<Vec<String>> {
        match self.shared.file {
            Some(_) => None,
            None => Some(self.users().config_lines()),
        }
    }

    /// AUTH: the user, if the password is right.
    #[must_use]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let users = self.users();
        let user = users.get(name)?;
        user.accepts(password, sha256).then(|| Arc::clone(user))
    }

    /// Whether the arguments of SENTINEL PEER prove that somebody may act as a sentinel: password, or user and
    /// password, of a user that may ask what sentinels ask each other. A user that takes any password proves nothing.
    #[must_use]
    pub fn proves_peer(&self, auth: &[Bytes]) -> bool {
        let (name, password) = match auth {
            [password] => (&b"default"[..], password),
            [name, password] => (&name[..], password),
            _ => return false,
        };
        let users = self.users();
        let Some(user) = users.get(name) else { return false };
        user.is_proven_by(password, sha256)
            && ["sentinel|is-master-down-by-addr", "sentinel|peer"]
                .into_iter()
                .filter_map(find_by_full_name)
                .any(|spec| {
                    user.check(spec, &spec.name.split('|').collect::<Vec<_>>())
                        .is_ok()
                })
    }

    /// ACL SETUSER by connection `me`.
    pub(crate) async fn set(&self, me: u64, name: Bytes, rules: Vec<Bytes>) -> Result<(), ErrorReply> {
        self.ask(|reply| Message::Set {
            me,
            name,
            rules,
            reply,
        })
        .await
    }

    /// ACL DELUSER: how many there were.
    pub(crate) async fn delete(&self, me: u64, names: Vec<Bytes>) -> Result<usize, ErrorReply> {
        self.ask(|reply| Message::Delete { me, names, reply }).await
    }

    /// ACL LOAD.
    pub(crate) async fn load(&self, me: u64) -> Result<(), ErrorReply> {
        self.ask(|reply| Message::Load { me, reply }).await
    }

    /// ACL SAVE.
    pub(crate) async fn save(&self) -> Result<(), ErrorReply> {
        self.ask(|reply| Message::Save { reply }).await
    }

    /// ACL LOG.
    pub(crate) async fn log(&self, count: usize) -> Result<Vec<LogEntry>, ErrorReply> {
        self.ask(|reply| Message::Log { count, reply }).await
    }

    /// ACL LOG RESET.
    pub(crate) async fn reset_log(&self) -> Result<(), ErrorReply> {
        self.ask(|reply| Message::ResetLog { reply }).await
    }

    /// Notes a refusal for ACL LOG; `client` is its line of CLIENT LIST.
    pub(crate) fn note(&self, denial: Denial, client: String) {
        // Beyond the queue nobody could read them all anyway.
        let _ = self.sender.try_send(Message::Denied { denial, client });
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, ErrorReply>>) -> Message,
    ) -> Result<T, ErrorReply> {
        let (reply, answer) = oneshot::channel();
        let stopping = || ErrorReply::err("this sentinel is shutting down");
        self.sender.send(message(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}
