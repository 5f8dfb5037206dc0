//! The table of connected clients: one task owns it, connections register and deregister by message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use sentinel_core::time::MonoTime;
use sentinel_proto::command::Tracking;
use sentinel_proto::reply::session::ClientLine;
use sentinel_proto::resp::Protocol;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::net::stream::Endpoint;
use crate::pubsub::Backlog;

/// What others may see of a connection. Written by its task only, except `close`.
#[derive(Debug)]
pub struct ClientInfo {
    /// Number shown by CLIENT ID; never reused.
    pub id: u64,
    /// Remote address.
    pub addr: Endpoint,
    /// Local address.
    pub laddr: Endpoint,
    /// When it was accepted.
    pub since: MonoTime,
    /// Last request, as [`MonoTime`] milliseconds.
    pub last_request: AtomicU64,
    /// Protocol is RESP3.
    pub resp3: AtomicBool,
    /// Subscribed channels.
    pub channels: AtomicUsize,
    /// Subscribed patterns.
    pub patterns: AtomicUsize,
    /// What it said about itself.
    pub labels: ArcSwap<Labels>,
    /// Told to a subscriber when users changed: it may have lost a channel.
    pub recheck: Notify,
    /// The socket.
    pub fd: Option<i32>,
    /// Waits for the end of a CLIENT PAUSE.
    pub blocked: AtomicBool,
    /// Bytes of input that are not answered yet, as of the last look.
    pub query_bytes: AtomicUsize,
    /// Room in both buffers, as of the last look: input, output.
    pub capacities: [AtomicUsize; 2],
    /// What waits for it.
    pub backlog: Arc<Backlog>,
    /// Cancelled to end the connection.
    pub close: CancellationToken,
}

/// Names that a client gives itself, and who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
    /// Last command, in lower case.
    pub command: &'static str,
    /// The user it authenticated as.
    pub user: String,
    /// CLIENT NO-EVICT ON.
    pub no_evict: bool,
    /// CLIENT TRACKING.
    pub tracking: Tracking,
}

impl Default for Labels {
    /// Of a client that has said nothing yet.
    fn default() -> Self {
        Self {
            name: String::new(),
            lib_name: String::new(),
            lib_ver: String::new(),
            command: "",
            user: "default".to_owned(),
            no_evict: false,
            tracking: Tracking::default(),
        }
    }
}

impl ClientInfo {
    /// True with at least one subscription.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.channels.load(Ordering::Relaxed) > 0 || self.patterns.load(Ordering::Relaxed) > 0
    }

    /// Its line of CLIENT LIST. Sizes of buffers are those after its last batch of requests.
    #[must_use]
    pub fn line(&self, now: MonoTime) -> ClientLine {
        let labels = self.labels.load();
        let seconds = |since: MonoTime| now.ms_since(since) / 1000;
        let query_bytes = self.query_bytes.load(Ordering::Relaxed);
        let [input, output] = &self.capacities;
        ClientLine {
            id: self.id,
            address: self.addr.to_string(),
            local_address: self.laddr.to_string(),
            name: labels.name.clone(),
            age_s: seconds(self.since),
            idle_s: seconds(MonoTime(self.last_request.load(Ordering::Relaxed))),
            channels: self.channels.load(Ordering::Relaxed),
            patterns: self.patterns.load(Ordering::Relaxed),
            command: labels.command.to_owned(),
            user: labels.user.clone(),
            protocol: if self.resp3.load(Ordering::Relaxed) {
                Protocol::Resp3
            } else {
                Protocol::Resp2
            },
            lib_name: labels.lib_name.clone(),
            lib_version: labels.lib_ver.clone(),
            unix: matches!(self.addr, Endpoint::Unix(_)),
            fd: self.fd,
            blocked: self.blocked.load(Ordering::Relaxed),
            tracking: labels.tracking.is_on(),
            broadcasting: labels.tracking.is_broadcasting(),
            no_evict: labels.no_evict,
            redirect: labels.tracking.redirect(),
            query_bytes,
            query_free_bytes: input.load(Ordering::Relaxed).saturating_sub(query_bytes),
            reply_buffer_bytes: output.load(Ordering::Relaxed),
            reply_bytes: self.backlog.reply_bytes(),
            queued: self.backlog.queued(),
            queued_bytes: self.backlog.queued_bytes(),
        }
    }
}

enum Message {
    Add(Arc<ClientInfo>),
    Remove(u64),
    List(oneshot::Sender<Vec<Arc<ClientInfo>>>),
}

/// Handle of the table. The queue is unbounded but holds at most one message per connection.
#[derive(Debug, Clone)]
pub struct Clients {
    sender: mpsc::UnboundedSender<Message>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Clients {
    pub(crate) fn start() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut table: BTreeMap<u64, Arc<ClientInfo>> = BTreeMap::new();
            while let Some(message) = receiver.recv().await {
                match message {
                    Message::Add(info) => {
                        table.insert(info.id, info);
                    }
                    Message::Remove(id) => {
                        table.remove(&id);
                    }
                    Message::List(reply) => {
                        let _ = reply.send(table.values().cloned().collect());
                    }
                }
            }
        });
        Self { sender }
    }

    pub(super) fn add(&self, info: Arc<ClientInfo>) {
        let _ = self.sender.send(Message::Add(info));
    }

    pub(super) fn remove(&self, id: u64) {
        let _ = self.sender.send(Message::Remove(id));
    }

    /// All connected clients by id.
    pub async fn list(&self) -> Vec<Arc<ClientInfo>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::List(reply));
        answer.await.unwrap_or_default()
    }
}
