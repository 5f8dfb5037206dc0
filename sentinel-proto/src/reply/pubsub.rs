//! Subscription confirmations and messages. All of them are pushes: arrays for a RESP2 client.

use bytes::Bytes;

use crate::event::Event;
use crate::resp::Frame;

/// Which confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `subscribe`.
    Subscribe,
    /// `unsubscribe`.
    Unsubscribe,
    /// `psubscribe`.
    Psubscribe,
    /// `punsubscribe`.
    Punsubscribe,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Psubscribe => "psubscribe",
            Self::Punsubscribe => "punsubscribe",
        }
    }
}

/// One confirmation; `None` for the channel only when everything was to be unsubscribed and nothing was
/// subscribed. `count` = channels plus patterns of this client afterwards.
#[must_use]
pub fn confirmation(change: Change, channel: Option<Bytes>, count: usize) -> Frame {
    Frame::Push(vec![
        change.word().into(),
        channel.map_or(Frame::NullBulk, Frame::Bulk),
        Frame::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
    ])
}

/// A message for a client that subscribed to its channel.
#[must_use]
pub fn message(channel: impl Into<Frame>, payload: impl Into<Frame>) -> Frame {
    Frame::Push(vec!["message".into(), channel.into(), payload.into()])
}

/// A message for a client whose pattern matches the channel.
#[must_use]
pub fn pattern_message(pattern: Bytes, channel: impl Into<Frame>, payload: impl Into<Frame>) -> Frame {
    Frame::Push(vec![
        "pmessage".into(),
        Frame::Bulk(pattern),
        channel.into(),
        payload.into(),
    ])
}

impl Event {
    /// The message for subscribers of the event's channel.
    #[must_use]
    pub fn message(&self) -> Frame {
        message(self.name.as_str(), self.payload.clone())
    }

    /// The message for a client that subscribed to `pattern`.
    #[must_use]
    pub fn pattern_message(&self, pattern: Bytes) -> Frame {
        pattern_message(pattern, self.name.as_str(), self.payload.clone())
    }
}
