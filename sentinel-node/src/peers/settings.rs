//! What the peer layer is told at start.

use std::time::Duration;

use bytes::Bytes;
use sentinel_proto::{HostPort, NodeId, SentinelId};

use crate::net::outgoing::Outgoing;

/// Identity, addresses and secrets of this node.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// Raft identity.
    pub node: NodeId,
    /// `myid`.
    pub myid: SentinelId,
    /// Random number of this run of the process.
    pub boot: u64,
    /// `sentinel peer` lines, in the order of the file; may name ourselves.
    pub listed: Vec<HostPort>,
    /// `announce-ip`; `None` = the address under which the peers reach us.
    pub announce_host: Option<String>,
    /// `announce-port`, else [`PeerSettings::port`].
    pub announce_port: u16,
    /// The port announced without `announce-port`: `port`, with `tls-replication` `tls-port`.
    pub port: u16,
    /// How peers prove themselves.
    pub secret: PeerSecret,
    /// Source address and TLS of connections to peers.
    pub outgoing: Outgoing,
    /// Timers.
    pub timing: PeerTiming,
}

/// The part of the settings that changes while the node runs.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// See [`PeerSettings::announce_host`].
    pub(super) announce_host: Option<String>,
    /// See [`PeerSettings::announce_port`].
    pub(super) announce_port: u16,
    /// See [`PeerSettings::secret`].
    pub(super) secret: PeerSecret,
}

impl Live {
    /// As at the start.
    pub(super) fn of(settings: &PeerSettings) -> Self {
        Self {
            announce_host: settings.announce_host.clone(),
            announce_port: settings.announce_port,
            secret: settings.secret.clone(),
        }
    }
}

/// Timers of the connections.
#[derive(Debug, Clone, Copy)]
pub struct PeerTiming {
    /// Between two pings on a connection.
    pub ping_every: Duration,
    /// Silence after which a connection is given up, also the longest time one write may block.
    pub lost_after: Duration,
    /// Longest time for connecting, and for each step of the handshake.
    pub connect_timeout: Duration,
    /// Wait after the first failed attempt to connect; doubled each time up to `retry_max`.
    pub retry_first: Duration,
    /// Longest wait between two attempts.
    pub retry_max: Duration,
    /// A sentinel from which nothing came for this long is subjectively down.
    pub sdown_after: Duration,
}

impl Default for PeerTiming {
    /// Pings are four to a lost connection, so that one late reply is not a loss.
    fn default() -> Self {
        Self {
            ping_every: Duration::from_millis(500),
            lost_after: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(1),
            sdown_after: Duration::from_secs(2),
        }
    }
}

/// The secrets of the group, as Sentinel names them: `sentinel-user`/`sentinel-pass`, else `requirepass`.
#[derive(Clone, Default)]
pub struct PeerSecret {
    sentinel: Option<(Option<String>, String)>,
    requirepass: Option<String>,
}

impl std::fmt::Debug for PeerSecret {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PeerSecret({})",
            if self.is_none() { "none" } else { "******" }
        )
    }
}

impl PeerSecret {
    /// From `sentinel-user`, `sentinel-pass` and `requirepass`.
    #[must_use]
    pub fn new(user: Option<String>, pass: Option<String>, requirepass: Option<String>) -> Self {
        Self {
            sentinel: pass.map(|pass| (user, pass)),
            requirepass,
        }
    }

    /// The same with another `sentinel-user` and `sentinel-pass`.
    #[must_use]
    pub fn with_sentinel(&self, user: Option<String>, pass: Option<String>) -> Self {
        Self::new(user, pass, self.requirepass.clone())
    }

    /// No secret at all: only known addresses are accepted.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.sentinel.is_none() && self.requirepass.is_none()
    }

    /// The arguments to send to a peer.
    #[must_use]
    pub fn outgoing(&self) -> Vec<String> {
        match (&self.sentinel, &self.requirepass) {
            (Some((Some(user), pass)), _) => vec![user.clone(), pass.clone()],
            (Some((None, pass)), _) | (None, Some(pass)) => vec![pass.clone()],
            (None, None) => Vec::new(),
        }
    }

    /// Whether the arguments sent by a peer prove that it knows a secret of this node. Without a secret of ours
    /// every argument is right (as with Sentinel, which sends AUTH to sentinels without a password).
    #[must_use]
    pub fn accepts(&self, auth: &[Bytes]) -> bool {
        if self.is_none() {
            return true;
        }
        let (user, pass) = match auth {
            [pass] => (None, pass),
            [user, pass] => (Some(user), pass),
            _ => return false,
        };
        let by_sentinel = self.sentinel.as_ref().is_some_and(|(name, secret)| {
            same_bytes(
                user.map_or(b"".as_slice(), |u| u),
                name.as_deref().unwrap_or("").as_bytes(),
            ) & same_bytes(pass, secret.as_bytes())
        });
        let by_requirepass = self.requirepass.as_ref().is_some_and(|secret| {
            user.is_none_or(|u| u.as_ref() == b"default") & same_bytes(pass, secret.as_bytes())
        });
        by_sentinel | by_requirepass
    }
}

/// Compares without stopping at the first difference, so that time tells nothing about a secret but its length.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(words: &[&str]) -> Vec<Bytes> {
        words
            .iter()
            .map(|w| Bytes::copy_from_slice(w.as_bytes()))
            .collect()
    }

    fn secret(user: Option<&str>, pass: Option<&str>, requirepass: Option<&str>) -> PeerSecret {
        let own = |v: Option<&str>| v.map(str::to_owned);
        PeerSecret::new(own(user), own(pass), own(requirepass))
    }

    #[test]
    fn what_a_node_sends_is_accepted_by_a_node_with_the_same_settings() {
        for s in [
            secret(None, None, None),
            secret(None, Some("p"), None),
            secret(Some("u"), Some("p"), None),
            secret(None, None, Some("r")),
            secret(Some("u"), Some("p"), Some("r")),
        ] {
            let sent: Vec<String> = s.outgoing();
            let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
            assert!(s.accepts(&auth(&sent)), "{sent:?}");
        }
    }

    #[test]
    fn wrong_missing_and_extra_words_are_refused() {
        let s = secret(Some("u"), Some("p"), Some("r"));
        for words in [
            &[][..],
            &["x"],
            &["u", "x"],
            &["x", "p"],
            &["p"],
            &["u", "p", "r"],
            &["x", "r"],
        ] {
            assert!(!s.accepts(&auth(words)), "{words:?}");
        }
        assert!(s.accepts(&auth(&["r"])));
        assert!(s.accepts(&auth(&["default", "r"])));
    }

    #[test]
    fn passwords_are_not_printed() {
        assert_eq!(
            format!("{:?}", secret(None, Some("hush"), None)),
            "PeerSecret(******)"
        );
    }
}
