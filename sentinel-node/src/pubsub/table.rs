//! The task that owns the subscriptions and the recent events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sentinel_proto::glob;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::hub::{Delivery, HubCounters, Input, Published, Subscription};

/// Events kept for the admin API.
const RECENT_EVENTS: usize = 1000;

struct Subscriber {
    queue: mpsc::Sender<Delivery>,
    close: CancellationToken,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
}

pub(super) async fn run(mut input: mpsc::UnboundedReceiver<Input>, counters: Arc<HubCounters>) {
    let mut subscribers: BTreeMap<u64, Subscriber> = BTreeMap::new();
    let mut recent: VecDeque<Arc<Published>> = VecDeque::new();
    while let Some(message) = input.recv().await {
        match message {
            Input::Publish(event) => {
                subscribers.retain(|_, subscriber| {
                    let reads = deliver(subscriber, &event, &counters);
                    if !reads {
                        counters.overflowed.fetch_add(1, Ordering::Relaxed);
                        subscriber.close.cancel();
                    }
                    reads
                });
                if recent.len() == RECENT_EVENTS {
                    recent.pop_front();
                }
                recent.push_back(event);
            }
            Input::Attach { client, queue, close } => {
                let subscriber = Subscriber {
                    queue,
                    close,
                    channels: BTreeSet::new(),
                    patterns: BTreeSet::new(),
                };
                subscribers.insert(client, subscriber);
            }
            Input::Change(client, change) => {
                if let Some(subscriber) = subscribers.get_mut(&client) {
                    apply(subscriber, change);
                }
            }
            Input::Detach(client) => {
                subscribers.remove(&client);
            }
            Input::Recent(limit, reply) => {
                let skip = recent.len().saturating_sub(limit);
                let _ = reply.send(recent.iter().skip(skip).cloned().collect());
            }
        }
        let count = u64::try_from(subscribers.len()).unwrap_or(u64::MAX);
        counters.subscribers.store(count, Ordering::Relaxed);
    }
}

fn apply(subscriber: &mut Subscriber, change: Subscription) {
    match change {
        Subscription::Channel(name) => {
            subscriber.channels.insert(name);
        }
        Subscription::NoChannel(name) => {
            subscriber.channels.remove(&name);
        }
        Subscription::Pattern(pattern) => {
            subscriber.patterns.insert(pattern);
        }
        Subscription::NoPattern(pattern) => {
            subscriber.patterns.remove(&pattern);
        }
    }
}

/// False when the subscriber is too far behind, or gone.
fn deliver(subscriber: &Subscriber, event: &Arc<Published>, counters: &HubCounters) -> bool {
    let name = event.event.name.as_str().as_bytes();
    let send = |pattern: Option<&Bytes>| {
        counters.delivered.fetch_add(1, Ordering::Relaxed);
        let delivery = Delivery {
            event: Arc::clone(event),
            pattern: pattern.cloned(),
        };
        subscriber.queue.try_send(delivery).is_ok()
    };
    (!subscriber.channels.contains(name) || send(None))
        && subscriber
            .patterns
            .iter()
            .filter(|pattern| glob::matches(pattern, name))
            .all(|pattern| send(Some(pattern)))
}
