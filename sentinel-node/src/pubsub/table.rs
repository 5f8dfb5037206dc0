//! The task that owns the subscriptions and the recent events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sentinel_core::time::MonoTime;
use sentinel_proto::glob;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;

use super::backlog::Backlog;
use super::hub::{Delivery, HubCounters, Input, Published, Subscription};

/// Events kept for the admin API.
const RECENT_EVENTS: usize = 1000;

struct Subscriber {
    queue: mpsc::UnboundedSender<Delivery>,
    backlog: Arc<Backlog>,
    close: CancellationToken,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
}

pub(super) async fn run(
    mut input: mpsc::UnboundedReceiver<Input>,
    counters: Arc<HubCounters>,
    clock: SharedClock,
) {
    let mut subscribers: BTreeMap<u64, Subscriber> = BTreeMap::new();
    let mut names = Subscribed::default();
    let mut recent: VecDeque<Arc<Published>> = VecDeque::new();
    while let Some(message) = input.recv().await {
        match message {
            Input::Publish(event) => {
                let now = clock.mono();
                subscribers.retain(|_, subscriber| {
                    let reads = deliver(subscriber, &event, &counters, now);
                    if !reads {
                        counters.overflowed.fetch_add(1, Ordering::Relaxed);
                        subscriber.close.cancel();
                        names.forget(subscriber);
                        names.show(&counters);
                    }
                    reads
                });
                if recent.len() == RECENT_EVENTS {
                    recent.pop_front();
                }
                recent.push_back(event);
            }
            Input::Attach {
                client,
                queue,
                backlog,
                close,
            } => {
                let subscriber = Subscriber {
                    queue,
                    backlog,
                    close,
                    channels: BTreeSet::new(),
                    patterns: BTreeSet::new(),
                };
                subscribers.insert(client, subscriber);
            }
            Input::Change(client, change) => {
                if let Some(subscriber) = subscribers.get_mut(&client) {
                    names.change(subscriber, change);
                }
                names.show(&counters);
            }
            Input::Detach(client) => {
                if let Some(subscriber) = subscribers.remove(&client) {
                    names.forget(&subscriber);
                }
                names.show(&counters);
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

/// How many subscribers each channel or pattern has, for INFO.
#[derive(Default)]
struct Names(BTreeMap<Bytes, usize>);

impl Names {
    fn add(&mut self, name: &Bytes) {
        let count = self.0.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
    }

    fn remove(&mut self, name: &Bytes) {
        match self.0.get_mut(name) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => {
                self.0.remove(name);
            }
        }
    }

    fn shown(&self, counter: &AtomicU64) {
        let count = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        counter.store(count, Ordering::Relaxed);
    }
}

/// What all subscribers together are subscribed to.
#[derive(Default)]
struct Subscribed {
    channels: Names,
    patterns: Names,
}

impl Subscribed {
    fn change(&mut self, subscriber: &mut Subscriber, change: Subscription) {
        match change {
            Subscription::Channel(name) => {
                if subscriber.channels.insert(name.clone()) {
                    self.channels.add(&name);
                }
            }
            Subscription::NoChannel(name) => {
                if subscriber.channels.remove(&name) {
                    self.channels.remove(&name);
                }
            }
            Subscription::Pattern(pattern) => {
                if subscriber.patterns.insert(pattern.clone()) {
                    self.patterns.add(&pattern);
                }
            }
            Subscription::NoPattern(pattern) => {
                if subscriber.patterns.remove(&pattern) {
                    self.patterns.remove(&pattern);
                }
            }
        }
    }

    fn forget(&mut self, subscriber: &Subscriber) {
        subscriber
            .channels
            .iter()
            .for_each(|name| self.channels.remove(name));
        subscriber
            .patterns
            .iter()
            .for_each(|pattern| self.patterns.remove(pattern));
    }

    fn show(&self, counters: &HubCounters) {
        self.channels.shown(&counters.channels);
        self.patterns.shown(&counters.patterns);
    }
}

/// False when the subscriber is too far behind, or gone.
fn deliver(subscriber: &Subscriber, event: &Arc<Published>, counters: &HubCounters, now: MonoTime) -> bool {
    let name = event.event.name.as_str().as_bytes();
    let send = |pattern: Option<&Bytes>| {
        counters.delivered.fetch_add(1, Ordering::Relaxed);
        let delivery = Delivery {
            event: Arc::clone(event),
            pattern: pattern.cloned(),
        };
        let too_far_behind = subscriber.backlog.add(delivery.bytes(), now);
        // A connection that has just left is not behind; it says so itself, later in the queue.
        if let Err(unsent) = subscriber.queue.send(delivery) {
            subscriber.backlog.take(unsent.0.bytes());
            return true;
        }
        !too_far_behind
    };
    (!subscriber.channels.contains(name) || send(None))
        && subscriber
            .patterns
            .iter()
            .filter(|pattern| glob::matches(pattern, name))
            .all(|pattern| send(Some(pattern)))
}
