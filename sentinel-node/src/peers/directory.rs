//! Who is who: which addresses to dial, who may connect, what is known for founding. Pure.
//!
//! * A sentinel is its node id; an address is only where it was last found. What it says of itself while connected
//!   comes before the committed member address, so a moved node is reached at once.
//! * A `sentinel peer` line is dialed until the node behind it turns out to be ourselves, or a member that is connected.
//! * One node id at two places, or one `myid` at two nodes, is a copied data directory or configuration file: refused,
//!   with what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sentinel_core::replicated::Member;
use sentinel_proto::peer::PeerHello;
use sentinel_proto::{HostPort, NodeId, SentinelId};

/// A peer that said hello in this run of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// What it last said.
    pub hello: PeerHello,
    /// Where clients and peers reach it: as announced, else as seen.
    pub address: HostPort,
    /// A connection is up.
    pub connected: bool,
}

/// What is known about one `sentinel peer` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedStatus {
    /// Nobody answered there yet; the text says what happened last.
    Unknown(String),
    /// It is our own address.
    Myself,
    /// That node answered there.
    Node(NodeId),
}

/// What founding and the choice of our own address need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// `sentinel peer` lines in the order of the file.
    pub listed: Vec<(HostPort, ListedStatus)>,
    /// Everybody met.
    pub met: BTreeMap<NodeId, Met>,
    /// Addresses under which peers dialed us.
    pub dialed_as: BTreeSet<HostPort>,
    /// Our ends of the connections to peers.
    pub local_ips: BTreeSet<IpAddr>,
}

/// A connection that asks to be admitted.
#[derive(Debug, Clone)]
pub(super) struct Arrival<'a> {
    /// What it says of itself.
    pub(super) hello: &'a PeerHello,
    /// The address we dialed; `None` = it dialed us.
    pub(super) dialed: Option<&'a HostPort>,
    /// Where its packets come from.
    pub(super) remote: Option<IpAddr>,
}

/// Answer to an [`Arrival`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// Come in.
    Welcome,
    /// It is this process.
    Myself,
    /// Not wanted, and why.
    Refuse(String),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Directory {
    me: NodeId,
    myid: SentinelId,
    boot: u64,
    /// Group this node belongs to, or agreed to found.
    pub(super) cluster_id: Option<u64>,
    /// It has a log: the group is more than an agreement.
    pub(super) initialised: bool,
    members: BTreeMap<NodeId, Member>,
    /// Addresses that turned out to be our own.
    own: BTreeSet<HostPort>,
    census: Census,
}

impl Directory {
    /// Knows nothing but ourselves and the configured lines.
    pub(super) fn new(me: NodeId, myid: SentinelId, boot: u64, listed: &[HostPort]) -> Self {
        let mut lines: Vec<(HostPort, ListedStatus)> = Vec::new();
        for address in listed {
            if !lines.iter().any(|(known, _)| known == address) {
                lines.push((
                    address.clone(),
                    ListedStatus::Unknown("not contacted yet".to_owned()),
                ));
            }
        }
        Self {
            me,
            myid,
            boot,
            cluster_id: None,
            initialised: false,
            members: BTreeMap::new(),
            own: BTreeSet::new(),
            census: Census {
                listed: lines,
                ..Census::default()
            },
        }
    }

    /// Committed members.
    pub(super) fn set_members(&mut self, members: &BTreeMap<NodeId, Member>) {
        if &self.members != members {
            self.members.clone_from(members);
        }
    }

    /// What is known.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Whether somebody may connect, and is who it says.
    pub(super) fn admit(&self, arrival: &Arrival<'_>) -> Admission {
        let hello = arrival.hello;
        let address = address_of(arrival);
        if hello.node == self.me {
            if hello.boot == self.boot {
                return Admission::Myself;
            }
            return Admission::Refuse(format!(
                "the sentinel at {address} has the same node id as this one: its data directory is a copy. \
                 Stop one of the two and remove its data directory; it then starts as a new sentinel"
            ));
        }
        if hello.myid == self.myid {
            return Admission::Refuse(format!(
                "the sentinel at {address} has the same id {}: remove the 'sentinel myid' line from one of the two \
                 configuration files, and that node's data directory",
                hello.myid
            ));
        }
        if let Some(refusal) = self.foreign(hello, &address) {
            return Admission::Refuse(refusal);
        }
        if let Some(met) = self.census.met.get(&hello.node) {
            if met.connected && met.hello.boot != hello.boot && met.address != address {
                return Admission::Refuse(format!(
                    "node id {} is in use at {} and at {address}: one data directory is a copy of the other. \
                     Stop one of the two and remove its data directory",
                    hello.node, met.address
                ));
            }
        }
        Admission::Welcome
    }

    /// Why this hello does not belong to our group, `None` when it may. Before founding two nodes may hold different
    /// agreements that came to nothing; they have to meet to agree again.
    pub(super) fn foreign(&self, hello: &PeerHello, address: &HostPort) -> Option<String> {
        match (self.cluster_id, hello.cluster_id) {
            (Some(ours), Some(theirs)) if ours != theirs && (self.initialised || hello.initialised) => {
                Some(foreign_group(address, theirs, ours))
            }
            _ => None,
        }
    }

    /// A connection was admitted.
    pub(super) fn arrived(&mut self, arrival: &Arrival<'_>, local: Option<IpAddr>) {
        let address = address_of(arrival);
        let node = arrival.hello.node;
        if let Some(dialed) = arrival.dialed {
            self.mark(dialed, ListedStatus::Node(node));
        }
        if let Some(as_seen) = &arrival.hello.dialed {
            self.census.dialed_as.insert(as_seen.clone());
        }
        self.census.local_ips.extend(local.map(|ip| ip.to_canonical()));
        let met = Met {
            hello: arrival.hello.clone(),
            address,
            connected: true,
        };
        // A dialed address is proven to accept connections; one guessed from an incoming connection does not replace it.
        match self.census.met.get_mut(&node) {
            Some(known)
                if known.connected && known.hello.boot == met.hello.boot && arrival.dialed.is_none() =>
            {
                known.hello = met.hello;
            }
            _ => {
                self.census.met.insert(node, met);
            }
        }
    }

    /// It said something new about itself on an admitted connection, where it is reached included.
    pub(super) fn heard(&mut self, arrival: &Arrival<'_>) {
        let Some(met) = self.census.met.get_mut(&arrival.hello.node) else {
            return;
        };
        if arrival.hello.announce_host.is_some() || arrival.dialed.is_some() {
            met.address = address_of(arrival);
        }
        met.hello = arrival.hello.clone();
    }

    /// The last connection to that node ended.
    pub(super) fn left(&mut self, node: NodeId) {
        if let Some(met) = self.census.met.get_mut(&node) {
            met.connected = false;
        }
    }

    /// That address turned out to be our own.
    pub(super) fn is_myself(&mut self, address: &HostPort) {
        self.mark(address, ListedStatus::Myself);
        self.own.insert(address.clone());
        self.census.dialed_as.insert(address.clone());
    }

    /// That address cannot be reached, or refuses us. Does not forget who was there before.
    pub(super) fn failed(&mut self, address: &HostPort, reason: &str) {
        for (listed, status) in &mut self.census.listed {
            if listed == address && matches!(status, ListedStatus::Unknown(_)) {
                *status = ListedStatus::Unknown(reason.to_owned());
            }
        }
    }

    fn mark(&mut self, address: &HostPort, status: ListedStatus) {
        for (listed, known) in &mut self.census.listed {
            if listed == address {
                *known = status.clone();
            }
        }
    }

    /// Where a node is reached: as it says, else as committed.
    pub(super) fn address(&self, node: NodeId) -> Option<HostPort> {
        let met = self.census.met.get(&node).map(|met| &met.address);
        met.or_else(|| self.members.get(&node).map(|member| &member.address))
            .cloned()
    }

    /// Every address to keep dialing. A member that we are connected to is left where it was reached (`connected`); else
    /// it is sought where it says it is, and at the lines that led to it: what it announces may be a name that does not
    /// resolve here.
    pub(super) fn targets(&self, connected: &BTreeMap<NodeId, HostPort>) -> BTreeSet<HostPort> {
        let others = self.members.keys().filter(|node| **node != self.me);
        let mut targets: BTreeSet<HostPort> = others
            .filter_map(|node| connected.get(node).cloned().or_else(|| self.address(*node)))
            .collect();
        for (address, status) in &self.census.listed {
            match status {
                ListedStatus::Myself => {}
                ListedStatus::Node(node)
                    if self.members.contains_key(node) && connected.contains_key(node) => {}
                ListedStatus::Node(_) | ListedStatus::Unknown(_) => {
                    targets.insert(address.clone());
                }
            }
        }
        targets.retain(|address| !self.own.contains(address));
        targets
    }

    /// Hosts that may connect without a secret: of members and of configured lines.
    pub(super) fn known_hosts(&self) -> BTreeSet<String> {
        let members = self.members.values().map(|member| &member.address);
        let listed = self.census.listed.iter().map(|(address, _)| address);
        members
            .chain(listed)
            .map(|address| address.host.clone())
            .collect()
    }

    /// Sentinels of our group as far as known, except ourselves: members, and who says that it belongs to it.
    pub(super) fn fellows(&self) -> BTreeMap<NodeId, (SentinelId, HostPort)> {
        let mut fellows = BTreeMap::new();
        for (node, met) in &self.census.met {
            if self.cluster_id.is_some() && met.hello.cluster_id == self.cluster_id {
                fellows.insert(*node, (met.hello.myid.clone(), met.address.clone()));
            }
        }
        for (node, member) in &self.members {
            if *node != self.me {
                let address = self.address(*node).unwrap_or_else(|| member.address.clone());
                fellows.insert(*node, (member.myid.clone(), address));
            }
        }
        fellows
    }
}

/// The text for a node of another group.
fn foreign_group(address: &HostPort, theirs: u64, ours: u64) -> String {
    format!(
        "the sentinel at {address} belongs to another group ({theirs:016x}, this one is {ours:016x}): remove its address \
         from the 'sentinel peer' lines, or, to let it join this group, stop it and remove its data directory"
    )
}

/// Announced, else dialed, else seen.
pub(super) fn address_of(arrival: &Arrival<'_>) -> HostPort {
    let hello = arrival.hello;
    let seen = || {
        arrival
            .remote
            .map(|ip| ip.to_canonical().to_string())
            .unwrap_or_default()
    };
    let host = match (&hello.announce_host, arrival.dialed) {
        (Some(host), _) => host.clone(),
        (None, Some(dialed)) => dialed.host.clone(),
        (None, None) => seen(),
    };
    HostPort::new(host, hello.announce_port)
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
