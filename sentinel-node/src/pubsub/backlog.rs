//! How much waits for one client, and whether that is too much (networking.c `checkClientOutputBufferLimits`).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use sentinel_core::time::MonoTime;

use crate::config::OutputLimit;

/// What one client is behind. The hub adds messages, the client's connection takes them and writes.
#[derive(Debug)]
pub struct Backlog {
    /// What a subscriber may be behind.
    limit: OutputLimit,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    /// Bytes that the connection could not write yet.
    reply_bytes: AtomicUsize,
    /// Since when it is above the soft limit, in [`MonoTime`] milliseconds; 0 = it is not.
    soft_since: AtomicU64,
    cut: AtomicBool,
}

impl Backlog {
    /// Nothing waits; `limit` is that for subscribers.
    #[must_use]
    pub fn new(limit: OutputLimit) -> Self {
        Self {
            limit,
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            soft_since: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// A message was queued. True = that is too much now, and the subscriber is to be closed.
    pub(super) fn add(&self, bytes: usize, now: MonoTime) -> bool {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.judge(&self.limit, now)
    }

    /// The connection took a message out of the queue.
    pub fn take(&self, bytes: usize) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// So much output waits for the socket.
    pub fn set_reply_bytes(&self, bytes: usize) {
        self.reply_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether a subscriber is too far behind.
    pub fn is_over(&self, now: MonoTime) -> bool {
        self.judge(&self.limit, now)
    }

    /// Whether what waits is too much under `limit`. Once it is, [`Backlog::was_cut`].
    pub fn judge(&self, limit: &OutputLimit, now: MonoTime) -> bool {
        let waiting = self.reply_bytes().saturating_add(self.queued_bytes());
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let mut over = limit.hard != 0 && waiting > limit.hard;
        if limit.soft == 0 || waiting <= limit.soft {
            self.soft_since.store(0, Ordering::Relaxed);
        } else {
            // Time 0 stands for "not above".
            let since = match self.soft_since.load(Ordering::Relaxed) {
                0 => now.0.max(1),
                since => since,
            };
            self.soft_since.store(since, Ordering::Relaxed);
            let patience_ms = u64::from(limit.soft_s).saturating_mul(1000);
            over |= now.ms_since(MonoTime(since)) > patience_ms;
        }
        if over {
            self.cut.store(true, Ordering::Relaxed);
        }
        over
    }

    /// The client was too far behind once: it is being closed.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Messages in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Their bytes, about.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that wait for the socket.
    #[must_use]
    pub fn reply_bytes(&self) -> usize {
        self.reply_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: OutputLimit = OutputLimit {
        hard: 100,
        soft: 50,
        soft_s: 2,
    };

    #[test]
    fn the_hard_limit_cuts_at_once_and_the_soft_one_after_its_time() {
        let at = MonoTime;
        let backlog = Backlog::new(LIMIT);
        assert!(!backlog.add(50, at(0)) && !backlog.add(20, at(1000)));
        assert!(!backlog.is_over(at(3000)));
        // Below it once: the time starts again.
        backlog.take(50);
        assert!(!backlog.is_over(at(9000)) && !backlog.add(40, at(9000)));
        assert!(!backlog.is_over(at(11_000)) && !backlog.was_cut());
        assert!(backlog.is_over(at(11_001)) && backlog.was_cut());
        let backlog = Backlog::new(LIMIT);
        backlog.set_reply_bytes(60);
        assert!(backlog.add(41, at(0)));
        assert_eq!((backlog.queued(), backlog.queued_bytes()), (1, 41));
        let unlimited = Backlog::new(OutputLimit::default());
        assert!(!unlimited.add(usize::MAX / 2, at(0)));
    }
}
