//! The one writer of the users, and owner of ACL LOG.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sentinel_core::acl::{AclLog, Denial, LogEntry, Policy, Users};
use sentinel_proto::reply::ErrorReply;
use tokio::sync::{mpsc, oneshot};

use crate::clock::SharedClock;
use crate::server::Clients;

use super::{Shared, file};

type Reply<T> = oneshot::Sender<Result<T, ErrorReply>>;

/// What the task is asked for; `me` is the connection that asks, which looks after itself.
#[derive(Debug)]
pub(super) enum Message {
    Set {
        me: u64,
        name: Bytes,
        rules: Vec<Bytes>,
        reply: Reply<()>,
    },
    Delete {
        me: u64,
        names: Vec<Bytes>,
        reply: Reply<usize>,
    },
    Load {
        me: u64,
        reply: Reply<()>,
    },
    Save {
        reply: Reply<()>,
    },
    Denied {
        denial: Denial,
        client: String,
    },
    Log {
        count: usize,
        reply: Reply<Vec<LogEntry>>,
    },
    ResetLog {
        reply: Reply<()>,
    },
}

pub(super) struct Task {
    shared: Arc<Shared>,
    policy: Policy,
    log: AclLog,
    clients: Clients,
    clock: SharedClock,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        policy: Policy,
        log_max_len: usize,
        clients: Clients,
        clock: SharedClock,
    ) -> Self {
        Self {
            shared,
            policy,
            log: AclLog::new(log_max_len),
            clients,
            clock,
        }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        while let Some(message) = receiver.recv().await {
            self.handle(message).await;
        }
    }

    /// A reply that nobody waits for any more is dropped: the change stands, as after any lost connection.
    async fn handle(&mut self, message: Message) {
        match message {
            Message::Set {
                me,
                name,
                rules,
                reply,
            } => {
                let _ = reply.send(self.set(me, &name, &rules).await);
            }
            Message::Delete { me, names, reply } => {
                let _ = reply.send(self.delete(me, &names).await);
            }
            Message::Load { me, reply } => {
                let _ = reply.send(self.load(me).await);
            }
            Message::Save { reply } => {
                let _ = reply.send(self.save().await);
            }
            Message::Denied { denial, client } => self.log.add(denial, client, self.clock.mono()),
            Message::Log { count, reply } => {
                let _ = reply.send(Ok(self.log.newest(count)));
            }
            Message::ResetLog { reply } => {
                self.log.reset();
                let _ = reply.send(Ok(()));
            }
        }
    }

    fn users(&self) -> Users {
        Users::clone(&self.shared.users.load())
    }

    async fn set(&self, me: u64, name: &[u8], rules: &[Bytes]) -> Result<(), ErrorReply> {
        let mut users = self.users();
        users.set(name, rules, &self.policy).map_err(ErrorReply::err)?;
        self.publish(me, users).await;
        Ok(())
    }

    async fn delete(&self, me: u64, names: &[Bytes]) -> Result<usize, ErrorReply> {
        let mut users = self.users();
        let count = users.delete(names).ok_or_else(ErrorReply::acl_default_stays)?;
        if count > 0 {
            self.publish(me, users).await;
        }
        Ok(count)
    }

    async fn load(&self, me: u64) -> Result<(), ErrorReply> {
        let (path, policy) = (self.path()?, self.policy);
        let read = tokio::task::spawn_blocking(move || file::read(&path, &policy)).await;
        let loaded = read.map_err(ErrorReply::err)?.map_err(ErrorReply::err)?;
        let mut users = self.users();
        users.replace(&loaded);
        self.publish(me, users).await;
        Ok(())
    }

    async fn save(&self) -> Result<(), ErrorReply> {
        let (path, lines) = (self.path()?, self.shared.users.load().lines());
        let written = tokio::task::spawn_blocking(move || file::write(&path, &lines)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => {
                tracing::warn!("{reason}");
                Err(ErrorReply::acl_not_saved())
            }
            Err(error) => Err(ErrorReply::err(error)),
        }
    }

    fn path(&self) -> Result<std::path::PathBuf, ErrorReply> {
        self.shared.file.clone().ok_or_else(ErrorReply::acl_no_file)
    }

    /// Makes a table the present one; everybody else it concerns is told.
    async fn publish(&self, me: u64, users: Users) {
        self.shared.users.store(Arc::new(users));
        self.shared.generation.fetch_add(1, Ordering::Release);
        let users = self.shared.users.load_full();
        for client in self.clients.list().await {
            if client.id == me {
                continue;
            }
            if users.get(client.labels.load().user.as_bytes()).is_none() {
                client.close.cancel();
            } else if client.is_subscribed() {
                client.recheck.notify_one();
            }
        }
    }
}
