//! Inputs, effects and the soft state of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sentinel_proto::event::Event;
use sentinel_proto::hello::Hello;
use sentinel_proto::peer::Opinion;
use sentinel_proto::types::{HostPort, MasterName, NodeId, SentinelId, WallTime};

use crate::instance::InstanceFacts;
use crate::odown::Opinions;
use crate::proposing::Proposing;
use crate::replicated::{Command, State};
use crate::time::MonoTime;

/// What the quorum core is told.
#[derive(Debug, Clone)]
pub enum QuorumInput {
    /// A newer applied state.
    State(Arc<State>),
    /// Facts of one of this node's monitors.
    Instance(MasterName, Box<InstanceFacts>),
    /// That monitor ended.
    InstanceGone(MasterName, HostPort),
    /// The master at the address lists these replicas.
    Listed(MasterName, HostPort, Vec<HostPort>),
    /// A classic sentinel says this of a group: on our master, or directly to us.
    Hello(MasterName, Hello),
    /// Opinions of another sentinel.
    Opinions(NodeId, Vec<Opinion>),
    /// Raft role of this node.
    Raft {
        /// This node is the raft_leader.
        is_raft_leader: bool,
        /// In touch with a majority.
        has_majority: bool,
    },
    /// Sentinels that this node is connected to.
    Peers(BTreeSet<NodeId>),
    /// A proposal for this group got its answer: applied at this log index, `None` = refused or lost.
    Proposed(MasterName, Option<u64>),
    /// The deadline passed.
    Timer,
}

/// What it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuorumEffect {
    /// Send to all peers at once.
    Broadcast(Vec<Opinion>),
    /// Look closely at (all instances of) this group, or no longer.
    Attention(MasterName, bool),
    /// Publish.
    Event(Event),
    /// Propose; answer with `Proposed`.
    Propose(MasterName, Command),
    /// Listen for classic sentinels on this group's master, or no longer.
    Listen(MasterName, bool),
    /// The soft state of this group changed.
    Changed(MasterName),
    /// TILT since then; `None` = over.
    Tilt(Option<MonoTime>),
}

/// Why an objectively down master is not failed over now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// This replica received data after the master fell silent for us.
    Witness(HostPort),
    /// No replica can be promoted, as far as any sentinel sees.
    NoGoodReplica,
    /// Waiting for fresh reports of the replicas.
    Reports,
    /// An attempt failed: waiting before the next.
    Backoff,
    /// Not in touch with a Raft majority.
    NoMajority,
    /// This replica says that it is a master, and the file of another sentinel may yet say so, too.
    Unsettled(HostPort),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witness(replica) => {
                write!(f, "replica {replica} still receives data from the master")
            }
            Self::NoGoodReplica => f.write_str("no replica can be promoted"),
            Self::Reports => f.write_str("waiting for fresh reports of the replicas"),
            Self::Backoff => f.write_str("waiting before the next attempt"),
            Self::NoMajority => f.write_str("no Raft majority"),
            Self::Unsettled(replica) => {
                write!(
                    f,
                    "replica {replica} is a master: waiting for the files of the other sentinels"
                )
            }
        }
    }
}

/// Soft state of one group at this node.
#[derive(Debug, Clone, Default)]
pub struct GroupSoft {
    /// Identity of the group: a new one forgets everything.
    pub incarnation: u64,
    /// Config epoch that the rest is about.
    pub config_epoch: u64,
    /// When it was applied here.
    pub(super) config_since: MonoTime,
    /// Last opinion of each sentinel, this one included.
    pub opinions: Opinions,
    /// Facts of this node's monitors.
    pub instances: BTreeMap<HostPort, InstanceFacts>,
    /// Since when objectively down.
    pub odown_since: Option<MonoTime>,
    /// Why nothing is done about it.
    pub hold: Option<Hold>,
    pub(super) first_down: Option<WallTime>,
    pub(super) odown_at: Option<WallTime>,
    pub(super) reached_since: Option<MonoTime>,
    pub(super) attention: bool,
    pub(super) listed: Option<(HostPort, Vec<HostPort>)>,
    pub(super) proposing: Proposing,
    pub(super) failures: u32,
    pub(super) not_before: Option<MonoTime>,
    pub(super) closed_plans: u64,
    pub(super) no_good_announced: bool,
    pub(super) agreeing: u32,
    pub(super) listening: bool,
    /// Classic sentinels that were warned of.
    pub(super) foreign: BTreeSet<SentinelId>,
    /// Since when the lineage in the log is behind.
    pub(super) lineage_since: Option<MonoTime>,
}
