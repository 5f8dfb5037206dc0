//! Lines that Sentinel itself writes at run time: what was learned about a master.
//!
//! References: sentinel.c `sentinelHandleConfiguration` (`config-epoch`, `leader-epoch`, `known-replica`,
//! `known-sentinel`), `sentinelCheckCreateInstanceErrors`.

use std::collections::BTreeSet;

use sentinel_proto::HostPort;

use super::lines::{ConfigError, Line, lenient_number};
use super::seed::quoted;
use super::types::Config;

/// A name where names are not accepted, or no host at all.
pub(super) const UNRESOLVED: &str = "Can't resolve instance hostname.";

/// What a file that was rewritten at run time says about one master.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learned {
    /// `config-epoch`: epoch of the address in the `monitor` line.
    pub config_epoch: u64,
    /// `leader-epoch`: epoch of the last vote.
    pub leader_epoch: u64,
    /// The highest epoch that any line of the whole file names (`current-epoch` among them): none up to it may be
    /// used again.
    pub current_epoch: u64,
    /// `known-replica` and `known-slave`, in file order.
    pub replicas: Vec<HostPort>,
    /// `known-sentinel` with their ids, in file order. Not used to reach them: `sentinel peer` lines are.
    pub sentinels: Vec<(String, HostPort)>,
}

impl Learned {
    /// Whether Sentinel ever wrote anything of value here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lines again; `name` is quoted already.
    #[must_use]
    pub(super) fn to_lines(&self, name: &str) -> String {
        let mut text = format!(
            "sentinel config-epoch {name} {}\nsentinel leader-epoch {name} {}\nsentinel current-epoch {}\n",
            self.config_epoch, self.leader_epoch, self.current_epoch
        );
        for replica in &self.replicas {
            let (host, port) = (quoted(&replica.host), replica.port);
            text.push_str(&format!("sentinel known-replica {name} {host} {port}\n"));
        }
        for (id, address) in &self.sentinels {
            let (host, port, id) = (quoted(&address.host), address.port, quoted(id));
            text.push_str(&format!("sentinel known-sentinel {name} {host} {port} {id}\n"));
        }
        text
    }

    /// Takes one line; `args` begins with the name of the master.
    pub(super) fn take(
        &mut self,
        line: &Line,
        sub: &str,
        args: &[String],
        hostnames: bool,
    ) -> Result<(), ConfigError> {
        let arg = |at: usize| args.get(at).map_or("", String::as_str);
        match sub {
            // sentinel.c `sentinelHandleConfiguration`: both only ever rise.
            "config-epoch" => self.config_epoch = self.config_epoch.max(epoch(arg(1))),
            "leader-epoch" => self.leader_epoch = self.leader_epoch.max(epoch(arg(1))),
            "known-sentinel" => {
                let address = address(line, arg(1), arg(2), hostnames)?;
                let id = arg(3).to_owned();
                if self.sentinels.iter().any(|(known, _)| *known == id) {
                    return Err(line.error("Duplicate runid for sentinel."));
                }
                self.sentinels.push((id, address));
            }
            _ => {
                let address = address(line, arg(1), arg(2), hostnames)?;
                if self.replicas.contains(&address) {
                    return Err(line.error("Duplicate hostname and port for replica."));
                }
                self.replicas.push(address);
            }
        }
        Ok(())
    }
}

/// Once all lines were read: what concerns the whole file.
pub(super) fn conclude(config: &mut Config) {
    let learned = config.masters.iter().map(|master| &master.learned);
    let highest = learned
        .map(|learned| learned.config_epoch.max(learned.leader_epoch))
        .fold(config.sentinel.current_epoch, u64::max);
    for master in &mut config.masters {
        master.learned.current_epoch = highest;
    }
    let sentinels = config.masters.iter().flat_map(|master| &master.learned.sentinels);
    let missing: BTreeSet<String> = sentinels
        .map(|(_, address)| format!("'sentinel peer {} {}'", address.host, address.port))
        .collect();
    if config.sentinel.peers.is_empty() && !missing.is_empty() {
        let lines: Vec<String> = missing.into_iter().collect();
        config.warnings.push(format!(
            "known-sentinel lines are not used to reach the other sentinels: add {}",
            lines.join(", ")
        ));
    }
}

/// An epoch as Sentinel reads it. Never so high that no failover could follow it.
pub(super) fn epoch(text: &str) -> u64 {
    u64::try_from(lenient_number(text)).unwrap_or(0)
}

/// An address as Sentinel reads it: the port is judged first.
pub(super) fn address(line: &Line, host: &str, port: &str, hostnames: bool) -> Result<HostPort, ConfigError> {
    let port = u16::try_from(lenient_number(port)).map_err(|_| line.error("Invalid port number."))?;
    let address = HostPort::new(host, port);
    if host.is_empty() || (address.ip().is_none() && !hostnames) {
        return Err(line.error(UNRESOLVED));
    }
    Ok(address)
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
