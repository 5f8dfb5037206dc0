//! The event hub: every event of this node is logged, remembered and given to subscribers here.
//!
//! ```text
//! any thread --publish--> log line, then one queue --> table task --> queue per subscriber, its bytes bounded --> client
//! connection --subscribe-->      the same queue
//! ```
//!
//! Invariants:
//! - one queue for events and subscriptions: an event published after a client was told that it is
//!   subscribed reaches it, and all subscribers see all events in the same order;
//! - a subscriber that does not read never delays anybody: beyond `client-output-buffer-limit` it is closed and counted;
//! - debug events are logged but not published (sentinel.c `sentinelEvent`).
//!
//! The input queue is unbounded but fed only by events of this node and one request per connection at a time.

mod backlog;
mod hub;
mod replay;
mod table;
#[cfg(test)]
mod tests;

pub use backlog::Backlog;
pub use hub::{Delivery, Hub, HubCounters, Published, Subscription};
pub use replay::replayed;
