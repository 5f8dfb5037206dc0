//! Host names as this node resolves them, and which addresses are one and the same.
//!
//! The log keeps an address as the operator or the instance spelled it; each node resolves it by itself. What other
//! instances report (the replicas that a master lists, the master that a replica follows) may spell the same address
//! otherwise. It is brought into the spelling of the log before anything is decided, so that all decisions compare
//! addresses as they are.
//!
//! * Equal ports, and equal hosts or a common IP: the same address (sentinel.c `sentinelAddrEqualsHostname`).
//! * A name that does not resolve keeps the addresses it had; one that never did is compared as text.
//! * Before the first lookup of a name has ended, nothing is said about it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sentinel_proto::types::HostPort;

/// What is known of host names: an immutable snapshot. Names are compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    known: BTreeMap<String, Vec<IpAddr>>,
}

/// How an address stands to those of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// It is this one.
    Known(&'a HostPort),
    /// It is none of them.
    New,
    /// A name has not been looked up yet.
    Undecided,
}

impl Names {
    /// Takes over the result of a lookup, the preferred IP first; none: it failed, and what was known before stays.
    /// Returns whether anything changed.
    pub fn note(&mut self, host: &str, ips: &[IpAddr]) -> bool {
        let known = self.known.entry(host.to_ascii_lowercase());
        let is_new = matches!(known, std::collections::btree_map::Entry::Vacant(_));
        let known = known.or_default();
        let ips: Vec<IpAddr> = ips.iter().map(IpAddr::to_canonical).collect();
        let mut found: Vec<IpAddr> = Vec::with_capacity(ips.len());
        // The IP in use stays the preferred one as long as it is among those found.
        let preferred = known.first().filter(|ip| ips.contains(ip)).copied();
        for ip in preferred.into_iter().chain(ips) {
            if !found.contains(&ip) {
                found.push(ip);
            }
        }
        let changed = !found.is_empty() && found != *known;
        if changed {
            *known = found;
        }
        changed || is_new
    }

    /// A connection was made to this IP of the name: it becomes the preferred one. Returns whether anything changed.
    pub fn prefer(&mut self, host: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let Some(known) = self.known.get_mut(&host.to_ascii_lowercase()) else {
            return false;
        };
        match known.iter().position(|known| *known == ip) {
            None | Some(0) => false,
            Some(at) => {
                known.get_mut(..=at).unwrap_or_default().rotate_right(1);
                true
            }
        }
    }

    /// IPs of a host, the preferred one first; empty = does not resolve, `None` = never looked up.
    #[must_use]
    pub fn ips(&self, host: &str) -> Option<Vec<IpAddr>> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(vec![ip.to_canonical()]),
            Err(_) => self.known.get(&host.to_ascii_lowercase()).cloned(),
        }
    }

    /// Names known, with or without an IP.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// No name was ever looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// All names with their IPs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        self.known
            .iter()
            .map(|(name, ips)| (name.as_str(), ips.as_slice()))
    }

    /// Whether both are one address; `None` = a lookup has to end first.
    #[must_use]
    pub fn same(&self, a: &HostPort, b: &HostPort) -> Option<bool> {
        if a.port != b.port {
            return Some(false);
        }
        if a.host.eq_ignore_ascii_case(&b.host) {
            return Some(true);
        }
        if a.ip().is_some() && b.ip().is_some() {
            return Some(false);
        }
        let (a, b) = (self.ips(&a.host)?, self.ips(&b.host)?);
        Some(a.iter().any(|ip| b.contains(ip)))
    }

    /// Finds an address among those of the log.
    pub fn spelling<'a>(
        &self,
        address: &HostPort,
        among: impl IntoIterator<Item = &'a HostPort> + Clone,
    ) -> Spelling<'a> {
        if let Some(exact) = among.clone().into_iter().find(|known| *known == address) {
            return Spelling::Known(exact);
        }
        let mut undecided = false;
        for known in among {
            match self.same(address, known) {
                Some(true) => return Spelling::Known(known),
                Some(false) => {}
                None => undecided = true,
            }
        }
        if undecided {
            Spelling::Undecided
        } else {
            Spelling::New
        }
    }

    /// The address with its preferred IP; unchanged while the name has none: a client may still resolve it.
    #[must_use]
    pub fn with_ip(&self, address: &HostPort) -> HostPort {
        let ip = self.ips(&address.host).and_then(|ips| ips.first().copied());
        HostPort {
            host: ip.map_or_else(|| address.host.clone(), |ip| ip.to_string()),
            port: address.port,
        }
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
