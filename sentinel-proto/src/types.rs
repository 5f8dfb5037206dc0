//! Names, identities, addresses and wall-clock time.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::literal::literal_ip;

/// The name of a monitored master, as written in `sentinel monitor`. Case-sensitive, never empty. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MasterName(Arc<str>);

/// Why a text is not a usable name, identity or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// An empty master name.
    #[error("a master name must not be empty")]
    EmptyName,
    /// Control characters or blanks would break event payloads, which are split at single spaces.
    #[error("master name '{0}' must not contain blanks or control characters")]
    NameCharacters(String),
    /// Not 40 lower-case hexadecimal characters.
    #[error("'{0}' is not a sentinel id (40 hexadecimal characters)")]
    SentinelId(String),
    /// Not `host:port` or `[v6]:port`.
    #[error("'{0}' is not an address (host:port or [v6]:port)")]
    Address(String),
}

impl MasterName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`TypeError::EmptyName`] and [`TypeError::NameCharacters`].
    pub fn new(name: impl Into<String>) -> Result<Self, TypeError> {
        let name = name.into();
        if name.is_empty() {
            return Err(TypeError::EmptyName);
        }
        if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(TypeError::NameCharacters(name));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Finds a name as a request spells it. What is no name is not found.
impl Borrow<str> for MasterName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What a peer or a file says is checked like anything else.
impl TryFrom<String> for MasterName {
    type Error = TypeError;

    fn try_from(name: String) -> Result<Self, TypeError> {
        Self::new(name)
    }
}

impl fmt::Display for MasterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MasterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// `myid`: 40 lower-case hexadecimal characters, the identity that clients see. Never reused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SentinelId(String);

impl SentinelId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`TypeError::SentinelId`] when it is not 40 hexadecimal characters.
    pub fn new(id: impl Into<String>) -> Result<Self, TypeError> {
        let id = id.into().to_ascii_lowercase();
        if id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(id))
        } else {
            Err(TypeError::SentinelId(id))
        }
    }

    /// Builds an id from 20 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(40);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters: what connection names (`sentinel-<8>-cmd`) carry.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

/// As for [`MasterName`].
impl TryFrom<String> for SentinelId {
    type Error = TypeError;

    fn try_from(id: String) -> Result<Self, TypeError> {
        Self::new(id)
    }
}

impl fmt::Display for SentinelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SentinelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The Raft identity of a node: a random number made at first start, bound to the data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:04x}", self.0 >> 48)
    }
}

/// Host (IPv4, IPv6 without brackets, or a name) and port. Never split at ':' by anyone else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// Host as clients see it: no brackets around IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl HostPort {
    /// Joins a host and a port. IP literals are stored in canonical form, v4-mapped IPv6 as IPv4.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let host = match literal_ip(&host) {
            Some(ip) => ip.to_string(),
            None => host,
        };
        Self { host, port }
    }

    /// The literal IP, or `None` when the host is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The socket address, or `None` when the host is a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip().to_string(), addr.port())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for HostPort {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let bad = || TypeError::Address(text.to_owned());
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            rest.split_once("]:").ok_or_else(bad)?
        } else {
            text.rsplit_once(':').ok_or_else(bad)?
        };
        if host.is_empty() || (!text.starts_with('[') && host.contains(':')) {
            return Err(bad());
        }
        Ok(Self::new(host, port.parse().map_err(|_| bad())?))
    }
}

/// Milliseconds since the Unix epoch. Only for log entries, display and the detection of clock jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WallTime(pub u64);

impl WallTime {
    /// Milliseconds from `earlier` to `self`; 0 when the clock went backwards.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_in_each_form() {
        for text in ["127.0.0.1:6379", "[::1]:6379", "redis-1.example:6379"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert_eq!(
            "[::ffff:10.0.0.1]:1".parse::<HostPort>().unwrap().host,
            "10.0.0.1"
        );
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "host",
            "::1:6379",
            ":6379",
            "host:",
            "host:70000",
            "[::1]6379",
            "[::1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_would_break_payloads_are_refused() {
        assert!(MasterName::new("my-master.1").is_ok());
        for name in ["", "a b", "a\nb", "\u{7f}"] {
            assert!(MasterName::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn sentinel_ids_are_forty_hex_characters() {
        let id = SentinelId::from_bytes([0xab; 20]);
        assert_eq!(SentinelId::new(id.as_str()).unwrap(), id);
        assert_eq!(id.short(), "abababab");
        assert!(SentinelId::new("xyz").is_err());
    }
}
