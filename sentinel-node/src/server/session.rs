//! What a connection is, apart from its socket.

use std::collections::BTreeSet;

use bytes::Bytes;
use sentinel_proto::resp::Protocol;

use super::clients::Labels;

/// State of one connection that requests read and change. Owned by its task.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// CLIENT ID.
    pub(crate) id: u64,
    /// No password is set, or the right one was given.
    pub(crate) authenticated: bool,
    /// As chosen with HELLO.
    pub(crate) protocol: Protocol,
    /// Names it gave itself, and its last command.
    pub(crate) labels: Labels,
    /// The labels or the protocol are not what others see.
    pub(crate) labels_changed: bool,
    /// SUBSCRIBE.
    pub(crate) channels: BTreeSet<Bytes>,
    /// PSUBSCRIBE.
    pub(crate) patterns: BTreeSet<Bytes>,
    /// CLIENT REPLY OFF or SKIP: the replies to swallow.
    pub(crate) reply_mode: ReplyMode,
}

/// CLIENT REPLY.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// None is sent.
    Off,
    /// The next one is not sent.
    Skip,
}

/// Bounds of what a client may make the hub remember. Redis has none; a sentinel has about sixty channels.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 1024;
/// Bytes of a channel or pattern.
pub(crate) const MAX_CHANNEL_BYTES: usize = 1024;

impl Session {
    pub(crate) fn new(id: u64, authenticated: bool) -> Self {
        Self {
            id,
            authenticated,
            ..Self::default()
        }
    }

    /// Notes the command for CLIENT LIST. Most clients send the same one again and again.
    pub(crate) fn note_command(&mut self, command: &'static str) {
        if !std::ptr::eq(self.labels.command, command) {
            self.labels.command = command;
            self.labels_changed = true;
        }
    }

    /// The names, to be changed.
    pub(crate) fn labels_mut(&mut self) -> &mut Labels {
        self.labels_changed = true;
        &mut self.labels
    }

    /// Channels plus patterns: the count in confirmations.
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len().saturating_add(self.patterns.len())
    }

    /// In RESP2 a subscribed client may only send a few commands.
    pub(crate) fn is_restricted(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions() > 0
    }
}
