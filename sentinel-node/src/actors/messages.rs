//! Messages between the actors of this process. Owned, and each carries what it is about.

use std::sync::Arc;

use actix::Message;
use sentinel_core::failover::FailoverInput;
use sentinel_core::monitor::{Assignment, MonitorInput};
use sentinel_core::quorum::QuorumInput;
use sentinel_core::replicated::{Change, State};
use sentinel_proto::event::Event;
use sentinel_proto::{HostPort, MasterName};

use crate::net::link::{LinkHandle, LinkSettings};

/// From a link, or the monitor's own timer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Observed(pub MonitorInput);

/// From the supervisor: what the committed state says about the instance now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Assign {
    /// For the core.
    pub assignment: Assignment,
    /// For the links.
    pub settings: LinkSettings,
}

/// From the failover actor by way of the supervisor: a reconf flag to show, `None` = none.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ShowFlag(pub Option<&'static str>);

/// From the supervisor: end, for good.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// To the quorum actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ToQuorum(pub QuorumInput);

/// To the failover actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ToFailover(pub FailoverInput);

/// To the failover actor: the link to an instance; `None` = it is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkChanged {
    /// Group.
    pub master: MasterName,
    /// Instance.
    pub address: HostPort,
    /// Its link.
    pub link: Option<LinkHandle>,
}

/// From the failover actor to the quorum actor, which publishes the group's soft state.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Executing {
    /// Group.
    pub master: MasterName,
    /// `failover-state`; `None` = this node executes nothing.
    pub state: Option<&'static str>,
    /// Forced by SENTINEL FAILOVER.
    pub forced: bool,
    /// Asked for by SENTINEL FAILOVER ... COORDINATED.
    pub coordinated: bool,
}

/// To the supervisor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToSupervisor {
    /// Look closely at all instances of a group, or no longer.
    Attention(MasterName, bool),
    /// Listen for classic sentinels on a group's master, or no longer.
    Listen(MasterName, bool),
    /// Show a reconf flag at a replica.
    ReplicaFlag(MasterName, HostPort, Option<&'static str>),
}

/// Where events go: published to subscribers and logged, in order. Never blocks.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// From the gateway, in log order, after the view shows the state. Never dropped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StateApplied {
    /// Index of the entry.
    pub index: u64,
    /// State after it.
    pub state: Arc<State>,
    /// What it changed.
    pub changes: Arc<[Change]>,
    /// Known before this process started: not to be published again.
    pub replayed: bool,
}
