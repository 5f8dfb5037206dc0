//! The hub's handle, and what travels through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use sentinel_core::time::WallTime;
use sentinel_proto::reply::pubsub;
use sentinel_proto::resp::{Protocol, encode};
use sentinel_proto::{Event, Level};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;

use super::backlog::Backlog;
use super::table;

/// What a message costs beyond its texts.
const MESSAGE_BYTES: usize = 64;

/// An event as it is kept and sent.
#[derive(Debug)]
pub struct Published {
    /// The event.
    pub event: Event,
    /// When it was published.
    pub at: WallTime,
    payload: Bytes,
}

impl Published {
    /// An event published at `at`.
    #[must_use]
    pub fn new(event: Event, at: WallTime) -> Self {
        let payload = Bytes::from(event.payload.clone());
        Self { event, at, payload }
    }

    /// The `message` for a subscriber of the channel itself, or `pmessage` for `pattern`.
    pub fn encode(&self, pattern: Option<&Bytes>, protocol: Protocol, out: &mut BytesMut) {
        let channel = self.event.name.as_str();
        let message = match pattern {
            None => pubsub::message(channel, self.payload.clone()),
            Some(pattern) => pubsub::pattern_message(pattern.clone(), channel, self.payload.clone()),
        };
        out.reserve(self.payload.len().saturating_add(64));
        encode(&message, protocol, out);
    }
}

/// One message on its way to one subscriber.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What.
    pub event: Arc<Published>,
    /// The pattern that matched; `None` = the channel itself is subscribed.
    pub pattern: Option<Bytes>,
}

impl Delivery {
    /// What it counts for in the subscriber's [`Backlog`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, Bytes::len);
        let texts = self.event.payload.len().saturating_add(pattern);
        texts.saturating_add(MESSAGE_BYTES)
    }
}

/// A change of a connection's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// SUBSCRIBE.
    Channel(Bytes),
    /// UNSUBSCRIBE.
    NoChannel(Bytes),
    /// PSUBSCRIBE.
    Pattern(Bytes),
    /// PUNSUBSCRIBE.
    NoPattern(Bytes),
}

/// Counters of the hub.
#[derive(Debug, Default)]
pub struct HubCounters {
    /// Events published since the start.
    pub published: AtomicU64,
    /// Messages queued for subscribers.
    pub delivered: AtomicU64,
    /// Subscribers closed because they did not read.
    pub overflowed: AtomicU64,
    /// Connections with at least one subscription.
    pub subscribers: AtomicU64,
    /// Different channels subscribed to.
    pub channels: AtomicU64,
    /// Different patterns subscribed to.
    pub patterns: AtomicU64,
}

pub(super) enum Input {
    Publish(Arc<Published>),
    Attach {
        client: u64,
        queue: mpsc::UnboundedSender<Delivery>,
        backlog: Arc<Backlog>,
        close: CancellationToken,
    },
    Change(u64, Subscription),
    Detach(u64),
    Recent(usize, oneshot::Sender<Vec<Arc<Published>>>),
}

/// Handle of the hub; cheap to clone, usable from every thread.
#[derive(Debug, Clone)]
pub struct Hub {
    input: mpsc::UnboundedSender<Input>,
    counters: Arc<HubCounters>,
    clock: SharedClock,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl Hub {
    /// Starts the table task on the current tokio runtime; it ends when the last handle is dropped.
    #[must_use]
    pub fn start(clock: SharedClock) -> Self {
        let (input, receiver) = mpsc::unbounded_channel();
        let counters = Arc::new(HubCounters::default());
        tokio::spawn(table::run(receiver, Arc::clone(&counters), Arc::clone(&clock)));
        Self {
            input,
            counters,
            clock,
        }
    }

    /// Logs, remembers and publishes an event. Never blocks.
    pub fn publish(&self, event: Event) {
        match event.level {
            Level::Debug => tracing::trace!(target: "event", "{event}"),
            Level::Verbose => tracing::debug!(target: "event", "{event}"),
            Level::Notice => tracing::info!(target: "event", "{event}"),
            Level::Warning => tracing::warn!(target: "event", "{event}"),
        }
        if !event.is_published() {
            return;
        }
        self.counters.published.fetch_add(1, Ordering::Relaxed);
        let published = Published::new(event, self.clock.wall());
        // Fails only while the runtime is being shut down.
        let _ = self.input.send(Input::Publish(Arc::new(published)));
    }

    /// Registers a connection. `close` is cancelled when it is too far behind: whoever takes a message out of the queue
    /// says so to `backlog`, which bounds the queue.
    #[must_use]
    pub fn attach(
        &self,
        client: u64,
        backlog: Arc<Backlog>,
        close: CancellationToken,
    ) -> mpsc::UnboundedReceiver<Delivery> {
        let (queue, receiver) = mpsc::unbounded_channel();
        let _ = self.input.send(Input::Attach {
            client,
            queue,
            backlog,
            close,
        });
        receiver
    }

    /// Changes the subscriptions of an attached connection.
    pub fn change(&self, client: u64, change: Subscription) {
        let _ = self.input.send(Input::Change(client, change));
    }

    /// Forgets a connection.
    pub fn detach(&self, client: u64) {
        let _ = self.input.send(Input::Detach(client));
    }

    /// The latest events, oldest first, at most `limit`.
    pub async fn recent(&self, limit: usize) -> Vec<Arc<Published>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.input.send(Input::Recent(limit, reply));
        answer.await.unwrap_or_default()
    }

    /// Counters, for INFO and metrics.
    #[must_use]
    pub fn counters(&self) -> &HubCounters {
        &self.counters
    }
}
