//! ACL LOG: the latest refusals, similar ones counted together (`acl.c: addACLLogEntry`).

use std::collections::VecDeque;

use crate::time::MonoTime;

/// Similar refusals within this time are one entry.
const GROUPING_MS: u64 = 60_000;
/// Entries that are looked at for a similar one.
const LOOKED_AT: usize = 10;
/// Names are cut here: a client chooses them.
const MAX_NAME_BYTES: usize = 1024;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A command.
    Command,
    /// A channel.
    Channel,
    /// Authentication.
    Auth,
}

impl Reason {
    /// As ACL LOG shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Kind.
    pub reason: Reason,
    /// The command as in the table, the channel, or the word AUTH or HELLO as it was sent.
    pub object: Vec<u8>,
    /// The user, or the name that was tried.
    pub username: Vec<u8>,
}

impl Denial {
    /// Long names are cut.
    #[must_use]
    pub fn new(reason: Reason, object: &[u8], username: &[u8]) -> Self {
        let cut = |text: &[u8]| {
            text.get(..MAX_NAME_BYTES.min(text.len()))
                .unwrap_or_default()
                .to_vec()
        };
        Self {
            reason,
            object: cut(object),
            username: cut(username),
        }
    }
}

/// Similar refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// What was refused.
    pub denial: Denial,
    /// How often.
    pub count: u64,
    /// The last time.
    pub at: MonoTime,
    /// The client of the last time, as in CLIENT LIST.
    pub client: String,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<LogEntry>,
    max_entries: usize,
}

impl AclLog {
    /// An empty log for so many entries (`acllog-max-len`).
    #[must_use]
    pub fn new(max_entries: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            max_entries,
        }
    }

    /// Notes a refusal.
    pub fn add(&mut self, denial: Denial, client: String, at: MonoTime) {
        let similar = |entry: &LogEntry| entry.denial == denial && at.ms_since(entry.at) <= GROUPING_MS;
        let known = self.entries.iter().take(LOOKED_AT).position(similar);
        let count = known
            .and_then(|index| self.entries.remove(index))
            .map_or(0, |entry| entry.count);
        self.entries.push_front(LogEntry {
            denial,
            count: count.saturating_add(1),
            at,
            client,
        });
        self.entries.truncate(self.max_entries);
    }

    /// The newest entries.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<LogEntry> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}
