//! What a connection is, apart from its socket.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sentinel_core::acl::User;
use sentinel_proto::resp::Protocol;

use crate::acl::Acl;

use super::clients::Labels;

/// State of one connection that requests read and change. Owned by its task.
#[derive(Debug)]
pub(crate) struct Session {
    /// CLIENT ID.
    pub(crate) id: u64,
    /// Who it is: `default` until it says something else.
    pub(crate) user: Arc<User>,
    /// Generation of the users when `user` was looked at.
    users_seen: u64,
    /// The password was right, or none was needed when it connected.
    authenticated: bool,
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
    pub(crate) fn new(id: u64, acl: &Acl) -> Self {
        let users_seen = acl.generation();
        let user = Arc::clone(acl.users().default_user());
        Self {
            id,
            authenticated: user.is_open(),
            user,
            users_seen,
            protocol: Protocol::default(),
            labels: Labels::default(),
            labels_changed: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            reply_mode: ReplyMode::default(),
        }
    }

    /// True while nobody changed a user since this session looked at its own.
    pub(crate) fn is_fresh(&self, acl: &Acl) -> bool {
        self.users_seen == acl.generation()
    }

    /// Takes over what became of its user; false = that user is gone.
    pub(crate) fn refresh(&mut self, acl: &Acl) -> bool {
        if self.is_fresh(acl) {
            return true;
        }
        // Before the users are looked at: a change in between is seen the next time.
        let generation = acl.generation();
        match acl.users().get(self.user.name()) {
            Some(user) if user.is_same(&self.user) => {
                self.user = Arc::clone(user);
                self.users_seen = generation;
                true
            }
            _ => false,
        }
    }

    /// Becomes this user, whose password was right.
    pub(crate) fn become_user(&mut self, user: Arc<User>) {
        self.labels_mut().user = String::from_utf8_lossy(user.name()).into_owned();
        self.authenticated = true;
        self.user = user;
    }

    /// May do what its user may. Who has not said a password is `default`, if that needs none at present.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated || self.user.is_open()
    }

    /// Whether every subscription is still allowed.
    pub(crate) fn may_listen(&self) -> bool {
        let mut channels = self.channels.iter();
        let mut patterns = self.patterns.iter();
        channels.all(|channel| self.user.may_listen(channel, false))
            && patterns.all(|pattern| self.user.may_listen(pattern, true))
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
