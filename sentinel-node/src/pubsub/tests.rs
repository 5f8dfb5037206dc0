//! The hub on a runtime.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sentinel_proto::resp::Protocol;
use sentinel_proto::{Event, HostPort, MasterName};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::SystemClock;
use crate::config::OutputLimit;

fn switch(port: u16) -> Event {
    Event::switch_master(
        &MasterName::new("m").unwrap(),
        &HostPort::new("127.0.0.1", 1),
        &HostPort::new("127.0.0.1", port),
    )
}

/// Bytes that a subscriber may be behind.
const LIMIT: u64 = 64 * 1024;

fn backlog() -> Arc<Backlog> {
    Arc::new(Backlog::new(OutputLimit {
        hard: LIMIT,
        ..OutputLimit::default()
    }))
}

#[tokio::test]
async fn channels_and_patterns_get_events_in_order() {
    let hub = Hub::start(Arc::new(SystemClock::start()));
    let mut queue = hub.attach(1, backlog(), CancellationToken::new());
    hub.change(1, Subscription::Channel(Bytes::from_static(b"+switch-master")));
    hub.change(1, Subscription::Pattern(Bytes::from_static(b"+sw*")));
    hub.change(1, Subscription::Pattern(Bytes::from_static(b"-*")));
    hub.publish(switch(2));
    hub.publish(Event::script_started(1));
    hub.publish(switch(3));
    let mut out = BytesMut::new();
    for _ in 0..4 {
        let delivery = queue.recv().await.unwrap();
        delivery
            .event
            .encode(delivery.pattern.as_ref(), Protocol::Resp2, &mut out);
    }
    let text = String::from_utf8_lossy(&out);
    let expected = |port| {
        format!(
            "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$25\r\nm 127.0.0.1 1 127.0.0.1 {port}\r\n*4\r\n$8\r\npmessage\r\n\
             $4\r\n+sw*\r\n$14\r\n+switch-master\r\n$25\r\nm 127.0.0.1 1 127.0.0.1 {port}\r\n"
        )
    };
    assert_eq!(text, format!("{}{}", expected(2), expected(3)));
    let names = |counters: &HubCounters| {
        let count =
            |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        (count(&counters.channels), count(&counters.patterns))
    };
    assert_eq!(names(hub.counters()), (1, 2));
    hub.change(1, Subscription::NoPattern(Bytes::from_static(b"+sw*")));
    hub.change(1, Subscription::NoChannel(Bytes::from_static(b"+switch-master")));
    hub.publish(switch(4));
    assert_eq!(hub.recent(2).await.len(), 2);
    assert!(queue.try_recv().is_err());
    assert_eq!(names(hub.counters()), (0, 1));
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_closed_and_the_others_go_on() {
    let hub = Hub::start(Arc::new(SystemClock::start()));
    let close = CancellationToken::new();
    let _slow = hub.attach(1, backlog(), close.clone());
    hub.change(1, Subscription::Pattern(Bytes::from_static(b"*")));
    for _ in 0..=LIMIT / 64 {
        hub.publish(switch(1));
    }
    close.cancelled().await;
    let mut queue = hub.attach(2, backlog(), CancellationToken::new());
    hub.change(2, Subscription::Pattern(Bytes::from_static(b"*")));
    hub.publish(switch(9));
    assert!(queue.recv().await.is_some());
    let overflowed = &hub.counters().overflowed;
    assert_eq!(overflowed.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(hub.recent(5000).await.len(), 1000);
}
