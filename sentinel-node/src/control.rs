//! Writes that clients may ask for. RESP and admin requests go through [`Control`], never to an actor directly.

use futures::future::BoxFuture;
use sentinel_core::replicated::{Command, OptionChange, Rejection};
use sentinel_proto::hello::Hello;
use sentinel_proto::{HostPort, MasterName};

/// Why a write was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The replicated state says no.
    #[error("{0}")]
    Rejected(Rejection),
    /// No Raft majority: replied as `-NOQUORUM <text>`.
    #[error("{0}")]
    NoMajority(String),
    /// Not known whether it was done: replied as `-NOQUORUM outcome unknown: <text>`.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// `-INPROG Failover already in progress`.
    #[error("Failover already in progress")]
    InProgress,
    /// `-NOGOODSLAVE No suitable replica to promote`.
    #[error("No suitable replica to promote")]
    NoGoodReplica,
}

/// `SENTINEL SIMULATE-FAILURE` modes; a crash exits with status 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimulatedCrash {
    /// `crash-after-election`: this node was made executor (same moment as `crash-after-open`).
    AfterElection,
    /// `crash-after-promotion`: the chosen replica was promoted, nothing committed about it yet.
    AfterPromotion,
    /// `crash-after-open`: the plan is committed.
    AfterOpen,
    /// `crash-after-choose`: the choice is committed, nothing sent yet.
    AfterChoose,
    /// `crash-after-switch`: the switch is committed, replicas not yet pointed at the new master.
    AfterSwitch,
}

/// Operations of a client on the group or on this node. Every call ends within about 2 s.
pub trait Control: Send + Sync + 'static {
    /// `SENTINEL MONITOR`.
    fn monitor(
        &self,
        master: MasterName,
        address: HostPort,
        odown_quorum: u32,
    ) -> BoxFuture<'static, Result<(), ControlError>>;
    /// `SENTINEL REMOVE`.
    fn remove(&self, master: MasterName) -> BoxFuture<'static, Result<(), ControlError>>;
    /// `SENTINEL SET`, all or nothing.
    fn set(
        &self,
        master: MasterName,
        changes: Vec<OptionChange>,
    ) -> BoxFuture<'static, Result<(), ControlError>>;
    /// `SENTINEL RESET` of the masters that match.
    fn reset(&self, masters: Vec<MasterName>) -> BoxFuture<'static, Result<(), ControlError>>;
    /// `SENTINEL FAILOVER`: opens a forced plan, or one in which the master itself hands over (`COORDINATED`).
    fn failover(&self, master: MasterName, coordinated: bool)
    -> BoxFuture<'static, Result<(), ControlError>>;
    /// `SENTINEL SIMULATE-FAILURE`: replaces the armed set.
    fn simulate(&self, crashes: Vec<SimulatedCrash>);
    /// `PUBLISH __sentinel__:hello`: a classic sentinel that knows this node.
    fn heard(&self, hello: Hello);
    /// Any command, for start-up (edited lines of the file) and tests.
    fn propose(&self, command: Command) -> BoxFuture<'static, Result<(), ControlError>>;
    /// Raft status as the field/value pairs of `SENTINEL RAFT STATUS`, in order.
    fn raft_status(&self) -> Vec<(&'static str, String)>;
}
