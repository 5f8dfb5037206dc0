//! Who founds the group, when, and who agrees. Pure.
//!
//! ```text
//!   met all listed peers, none has a log --lowest address--> ask all --all agree--> ask all, binding --> found
//!                                        \--others--> answer; take over after PATIENCE_MS, lowest node id first
//!   met a group: agreed to it before -> wait for its log; else -> observe and say what to do
//! ```
//!
//! * The group's identity is a hash of its node ids, so two founders of one set found the same group, with the same
//!   first entry: that is safe in Raft, and why a wrong guess about who is lowest costs nothing.
//! * A node only founds, or agrees to, a group that contains every peer of its own file.
//! * Nothing is founded while a listed peer is missing: it might belong to a group already.
//!
//! Reference: DESIGN.md section 9. Deviation from Sentinel: there is no group to found in Sentinel.

use std::collections::{BTreeMap, BTreeSet};

use sentinel_core::replicated::State;
use sentinel_proto::{HostPort, NodeId, SentinelId};

use super::directory::{Census, ListedStatus, Met};

/// How long the node with the lowest address is waited for, once everybody was met: views of addresses may differ.
pub const PATIENCE_MS: u64 = 3_000;

/// A member of the group to be.
pub type Founder = (NodeId, SentinelId, HostPort);

/// What a node knows of itself.
#[derive(Debug, Clone)]
pub struct Own {
    /// Raft identity.
    pub node: NodeId,
    /// `myid`.
    pub myid: SentinelId,
    /// `announce-ip`.
    pub announce_host: Option<String>,
    /// `announce-port`, else `port`.
    pub announce_port: u16,
    /// Used when nobody ever reached us: the first `bind` address, or loopback.
    pub fallback_host: String,
    /// Holds a log.
    pub initialised: bool,
    /// Group it belongs to or agreed to found.
    pub cluster_id: Option<u64>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is a log: nothing to found.
    Initialised,
    /// Ask the members, and found when they agree.
    Propose {
        /// Identity of the group.
        cluster_id: u64,
        /// Its members, this node among them, sorted by node id.
        members: Vec<Founder>,
    },
    /// Another node is expected to found; the text says which.
    Expect(String),
    /// Not possible now; the text is for the log.
    Wait(String),
}

/// Decides. `odown_quorums`: of all monitored masters; `waited_ms`: since everybody was met.
#[must_use]
pub fn step(own: &Own, census: &Census, odown_quorums: &[u32], waited_ms: u64) -> Step {
    if own.initialised {
        return Step::Initialised;
    }
    if let Some(group) = existing_group(own, census) {
        return Step::Wait(group);
    }
    if census.listed.is_empty() {
        return without_peer_lines(own, census, odown_quorums);
    }
    let missing = missing(census);
    if !missing.is_empty() {
        return Step::Wait(format!(
            "first start: waiting for {} before the group of sentinels is founded",
            missing.join(", ")
        ));
    }
    let members = founders(own, census);
    let lowest = members.iter().min_by_key(|(node, _, address)| (address, *node));
    let lowest_id = members.first();
    let is_me = |member: Option<&Founder>| member.is_some_and(|(node, _, _)| *node == own.node);
    if is_me(lowest) || (waited_ms >= PATIENCE_MS && is_me(lowest_id)) || waited_ms >= 2 * PATIENCE_MS {
        return Step::Propose {
            cluster_id: cluster_id(&members),
            members,
        };
    }
    let whom = lowest
        .map(|(_, _, address)| address.to_string())
        .unwrap_or_default();
    Step::Expect(format!("first start: all sentinels met, {whom} founds the group"))
}

/// A group that exists already among those met: what it means for us.
fn existing_group(own: &Own, census: &Census) -> Option<String> {
    let mut groups = census
        .met
        .values()
        .filter(|met| met.connected && met.hello.initialised);
    let met = groups
        .find(|met| met.hello.cluster_id != own.cluster_id)
        .or_else(|| {
            census
                .met
                .values()
                .find(|met| met.connected && met.hello.initialised)
        })?;
    let address = &met.address;
    if own.cluster_id.is_some() && met.hello.cluster_id == own.cluster_id {
        return Some(format!("waiting for the log of the group from {address}"));
    }
    Some(format!(
        "the sentinel at {address} belongs to a group ({:016x}) that does not contain this node. Joining a group at run \
         time is not possible yet: to make a group of all, stop all sentinels, give each the same 'sentinel peer' \
         lines, remove their data directories and start them again. Until then this node only observes",
        met.hello.cluster_id.unwrap_or_default()
    ))
}

fn without_peer_lines(own: &Own, census: &Census, odown_quorums: &[u32]) -> Step {
    match odown_quorums.iter().max() {
        None | Some(1) => {
            let members = vec![own_entry(own, census)];
            Step::Propose {
                cluster_id: cluster_id(&members),
                members,
            }
        }
        Some(quorum) => Step::Wait(format!(
            "not in a group of sentinels: the quorum of a monitored master is {quorum}, and no other sentinel is named. \
             Add 'sentinel peer <host> <port>' lines for all sentinels to each sentinel.conf and restart"
        )),
    }
}

/// Listed peers that were not met yet, with what happened there.
fn missing(census: &Census) -> Vec<String> {
    let missing = |(address, status): &(HostPort, ListedStatus)| match status {
        ListedStatus::Myself => None,
        ListedStatus::Unknown(why) => Some(format!("{address} ({why})")),
        ListedStatus::Node(node) => {
            let connected = census.met.get(node).is_some_and(|met| met.connected);
            (!connected).then(|| format!("{address} (connection lost)"))
        }
    };
    census.listed.iter().filter_map(missing).collect()
}

/// This node and everybody listed, sorted by node id.
fn founders(own: &Own, census: &Census) -> Vec<Founder> {
    let mut members = BTreeMap::from([(own.node, own_entry(own, census))]);
    for (_, status) in &census.listed {
        if let ListedStatus::Node(node) = status {
            if let Some(Met { hello, address, .. }) = census.met.get(node) {
                members.insert(*node, (*node, hello.myid.clone(), address.clone()));
            }
        }
    }
    members.into_values().collect()
}

fn own_entry(own: &Own, census: &Census) -> Founder {
    (own.node, own.myid.clone(), own_address(own, census))
}

/// Where others reach us: announced, else as dialed by them, else our end of a connection, else the fallback.
#[must_use]
pub fn own_address(own: &Own, census: &Census) -> HostPort {
    let dialed = || census.dialed_as.first().map(|address| address.host.clone());
    let local = || census.local_ips.first().map(ToString::to_string);
    let host = own.announce_host.clone().or_else(dialed).or_else(local);
    HostPort::new(
        host.unwrap_or_else(|| own.fallback_host.clone()),
        own.announce_port,
    )
}

/// Identity of the group of these members: FNV-1a over their sorted node ids. Never 0.
#[must_use]
pub fn cluster_id(members: &[Founder]) -> u64 {
    let nodes: BTreeSet<NodeId> = members.iter().map(|(node, _, _)| *node).collect();
    let bytes = nodes.iter().flat_map(|node| node.0.to_be_bytes());
    bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .max(1)
}

/// Whether this node agrees to the founding of a group.
///
/// # Errors
/// Why not, for the founder's log.
pub fn agree(own: &Own, census: &Census, cluster: u64, members: &[Founder]) -> Result<(), String> {
    let address = own_address(own, census);
    if own.initialised {
        let group = own.cluster_id.unwrap_or_default();
        return Err(format!("{address} belongs to a group already ({group:016x})"));
    }
    let nodes: BTreeSet<NodeId> = members.iter().map(|(node, _, _)| *node).collect();
    if !nodes.contains(&own.node) {
        return Err(format!("{address} is not among the members"));
    }
    if cluster_id(members) != cluster {
        return Err(format!(
            "{address} computes another identity of the group: run the same build everywhere"
        ));
    }
    let missing = missing(census);
    if !missing.is_empty() {
        return Err(format!("{address} has not met {} yet", missing.join(", ")));
    }
    for (line, status) in &census.listed {
        if let ListedStatus::Node(node) = status {
            if !nodes.contains(node) {
                return Err(format!(
                    "{address} names {line} in a 'sentinel peer' line, the founder does not: give all sentinels the same lines"
                ));
            }
        }
    }
    Ok(())
}

/// The member entry that this node should propose about itself: new, or moved by an edit of the file or of the network.
#[must_use]
pub fn own_member_change(own: &Own, census: &Census, state: &State) -> Option<HostPort> {
    let address = own_address(own, census);
    let Some(committed) = state.members.get(&own.node).map(|member| &member.address) else {
        return Some(address);
    };
    let port_moved = committed.port != own.announce_port;
    let host_moved = match &own.announce_host {
        Some(_) => address.host != committed.host,
        // Only what peers really dialed proves that the committed host is not ours any more.
        None => {
            committed.ip().is_some()
                && !census.dialed_as.is_empty()
                && census
                    .dialed_as
                    .iter()
                    .all(|dialed| dialed.host != committed.host)
        }
    };
    match (host_moved, port_moved) {
        (true, _) => Some(address),
        (false, true) => Some(HostPort::new(committed.host.clone(), own.announce_port)),
        (false, false) => None,
    }
}

#[cfg(test)]
#[path = "founding_tests.rs"]
mod tests;
