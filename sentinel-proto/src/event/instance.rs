//! How events name an instance (`sentinel.c: sentinelEvent`, `%@`).

use std::fmt;

use crate::types::{HostPort, MasterName, SentinelId};

/// An instance as payloads spell it. Addresses are the announced ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceRef {
    /// `master NAME IP PORT`.
    Master {
        /// Group.
        name: MasterName,
        /// Its master's address.
        address: HostPort,
    },
    /// `slave IP:PORT IP PORT @ NAME MASTERIP MASTERPORT`.
    Replica {
        /// Its own address.
        address: HostPort,
        /// Group.
        master: MasterName,
        /// Its master's address.
        master_address: HostPort,
    },
    /// `sentinel ID IP PORT @ NAME MASTERIP MASTERPORT`.
    Sentinel {
        /// `myid` of that sentinel.
        id: SentinelId,
        /// Where clients reach it.
        address: HostPort,
        /// Group.
        master: MasterName,
        /// Its master's address.
        master_address: HostPort,
    },
}

impl InstanceRef {
    /// A master.
    #[must_use]
    pub fn master(name: &MasterName, address: &HostPort) -> Self {
        Self::Master {
            name: name.clone(),
            address: address.clone(),
        }
    }

    /// A replica of `master` at `master_address`.
    #[must_use]
    pub fn replica(address: &HostPort, master: &MasterName, master_address: &HostPort) -> Self {
        Self::Replica {
            address: address.clone(),
            master: master.clone(),
            master_address: master_address.clone(),
        }
    }

    /// Another sentinel that watches `master` at `master_address`.
    #[must_use]
    pub fn sentinel(
        id: &SentinelId,
        address: &HostPort,
        master: &MasterName,
        master_address: &HostPort,
    ) -> Self {
        Self::Sentinel {
            id: id.clone(),
            address: address.clone(),
            master: master.clone(),
            master_address: master_address.clone(),
        }
    }

    /// The same with other spellings of its addresses.
    #[must_use]
    pub fn respelled(&self, spell: &dyn Fn(&HostPort) -> HostPort) -> Self {
        match self {
            Self::Master { name, address } => Self::master(name, &spell(address)),
            Self::Replica {
                address,
                master,
                master_address,
            } => Self::replica(&spell(address), master, &spell(master_address)),
            Self::Sentinel {
                id,
                address,
                master,
                master_address,
            } => Self::sentinel(id, &spell(address), master, &spell(master_address)),
        }
    }

    /// The group it belongs to.
    #[must_use]
    pub fn master_name(&self) -> &MasterName {
        match self {
            Self::Master { name, .. } => name,
            Self::Replica { master, .. } | Self::Sentinel { master, .. } => master,
        }
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> &HostPort {
        match self {
            Self::Master { address, .. } | Self::Replica { address, .. } | Self::Sentinel { address, .. } => {
                address
            }
        }
    }
}

impl fmt::Display for InstanceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPort { host, port } = self.address();
        match self {
            Self::Master { name, .. } => write!(f, "master {name} {host} {port}"),
            Self::Replica {
                address,
                master,
                master_address: at,
            } => write!(
                f,
                "slave {address} {host} {port} @ {master} {} {}",
                at.host, at.port
            ),
            Self::Sentinel {
                id,
                master,
                master_address: at,
                ..
            } => write!(
                f,
                "sentinel {id} {host} {port} @ {master} {} {}",
                at.host, at.port
            ),
        }
    }
}
