//! Proposals: what clients ([`Control`]) and actors ([`ProposePort`]) want to have in the log.
//!
//! * Every proposal runs on the main runtime and ends within [`PROPOSE_WITHIN`]: "no majority" is an answer, not a hang.
//! * "Unknown" is passed on as such: whoever proposes again relies on `apply`, which refuses what is stale.
//! * A forced failover takes its executor and replica from a port; its epoch is the next one, and when another
//!   failover took that epoch in the meantime, it is tried with the next again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use raft_store::{Proposal, RaftHandle, RaftStatus};
use sentinel_core::replicated::{
    Command, EvidenceNote, GroupOptions, OptionChange, PlanCause, Refusal, Rejection, State, Step,
};
use sentinel_core::time::WallTime;
use sentinel_proto::hello::Hello;
use sentinel_proto::{HostPort, MasterName, NodeId};
use tokio::runtime;

use super::quorum::ProposePort;
use crate::clock::SharedClock;
use crate::control::{Control, ControlError, SimulatedCrash};
use crate::view::NodeView;

/// Deadline of a proposal: longer than an election takes, and `-NOQUORUM` is promised within 2 s.
pub const PROPOSE_WITHIN: Duration = Duration::from_millis(1_600);

/// Deadline of a forced failover's opening: a little more, so that a proposal's own answer comes first.
const FAILOVER_WITHIN: Duration = Duration::from_millis(1_800);

/// Attempts to get a free failover epoch: others open failovers at the same time.
const EPOCH_ATTEMPTS: usize = 16;

/// How often, and with which pauses, a write looks whether it is shown; then it is answered in any case.
const SHOWN_ATTEMPTS: usize = 200;
const SHOWN_PAUSE: Duration = Duration::from_millis(1);

/// What a forced failover is opened with.
#[derive(Debug, Clone)]
pub struct ForcedChoice {
    /// Who executes.
    pub executor: NodeId,
    /// The replica, when reports at hand suffice.
    pub choice: Option<(HostPort, Vec<Refusal>)>,
    /// What the sentinels see of the master.
    pub evidence: Vec<EvidenceNote>,
    /// Steps before opening.
    pub before: Vec<(Step, WallTime)>,
}

/// Chooses executor and replica of a forced failover.
pub type ForcedChoicePort =
    Arc<dyn Fn(MasterName) -> BoxFuture<'static, Result<ForcedChoice, ControlError>> + Send + Sync>;

/// Takes the crashes armed by `SENTINEL SIMULATE-FAILURE`.
pub type SimulatePort = Arc<dyn Fn(Vec<SimulatedCrash>) + Send + Sync>;
/// Takes hellos of classic sentinels.
pub type HeardPort = Arc<dyn Fn(Hello) + Send + Sync>;

/// Proposes to the log; cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct GatewayHandle {
    inner: Arc<Inner>,
}

struct Inner {
    raft: RaftHandle,
    main: runtime::Handle,
    clock: SharedClock,
    forced_choice: OnceLock<ForcedChoicePort>,
    simulate: OnceLock<SimulatePort>,
    heard: OnceLock<HeardPort>,
    view: OnceLock<Arc<NodeView>>,
}

impl GatewayHandle {
    /// A handle whose proposals run on `main`.
    #[must_use]
    pub fn new(raft: RaftHandle, main: runtime::Handle, clock: SharedClock) -> Self {
        let (forced_choice, simulate, view) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let heard = OnceLock::new();
        let inner = Inner {
            raft,
            main,
            clock,
            forced_choice,
            simulate,
            heard,
            view,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Who chooses for forced failovers; until set, the raft_leader executes and chooses later. Only the first call counts.
    pub fn choose_forced_with(&self, port: ForcedChoicePort) {
        let _ = self.inner.forced_choice.set(port);
    }

    /// What clients read: their writes are answered once they are shown there. Only the first call counts.
    pub fn shown_in(&self, view: Arc<NodeView>) {
        let _ = self.inner.view.set(view);
    }

    /// Who takes simulated crashes. Only the first call counts.
    pub fn simulate_with(&self, port: SimulatePort) {
        let _ = self.inner.simulate.set(port);
    }

    /// Who is told of classic sentinels. Only the first call counts.
    pub fn heard_by(&self, port: HeardPort) {
        let _ = self.inner.heard.set(port);
    }

    /// The port of the actors: `Some` = applied at that index.
    #[must_use]
    pub fn propose_port(&self) -> ProposePort {
        let handle = self.clone();
        Arc::new(move |command| {
            let answer = handle.submit(command);
            Box::pin(async move { answer.await.ok() })
        })
    }

    /// Proposes on the main runtime, wherever the future is awaited; it runs to its end even when that is dropped.
    fn submit(&self, command: Command) -> BoxFuture<'static, Result<u64, ControlError>> {
        let raft = self.inner.raft.clone();
        self.on_main(async move { ask(&raft, command).await })
    }

    /// A client's write: answered when its own next read shows it.
    fn write(&self, command: Command) -> BoxFuture<'static, Result<(), ControlError>> {
        let (answer, inner) = (self.submit(command), Arc::clone(&self.inner));
        Box::pin(async move {
            answer.await?;
            inner.wait_shown().await;
            Ok(())
        })
    }

    fn on_main<F, T>(&self, work: F) -> BoxFuture<'static, Result<T, ControlError>>
    where
        F: Future<Output = Result<T, ControlError>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.inner.main.spawn(work);
        Box::pin(async move {
            task.await
                .unwrap_or_else(|e| Err(ControlError::Unknown(e.to_string())))
        })
    }
}

/// The index at which it was applied.
async fn ask(raft: &RaftHandle, command: Command) -> Result<u64, ControlError> {
    match answer(raft.propose(command, PROPOSE_WITHIN).await) {
        Err(ControlError::NoMajority(missing)) => {
            Err(ControlError::NoMajority(with_addresses(missing, &raft.state())))
        }
        Err(ControlError::Unknown(why)) => Err(ControlError::Unknown(with_addresses(why, &raft.state()))),
        other => other,
    }
}

/// Operators know their sentinels by address, not by Raft identity.
fn with_addresses(text: String, state: &State) -> String {
    let members = state.members.iter();
    members.fold(text, |text, (node, member)| {
        text.replace(&node.to_string(), &member.address.to_string())
    })
}

/// The client's view of a proposal's answer.
fn answer(proposal: Proposal) -> Result<u64, ControlError> {
    match proposal {
        Proposal::Yes { index } => Ok(index),
        Proposal::No(Rejection::PlanOpen) => Err(ControlError::InProgress),
        Proposal::No(rejection) => Err(ControlError::Rejected(rejection)),
        Proposal::NoMajority(missing) => Err(ControlError::NoMajority(missing)),
        Proposal::Unknown(why) => Err(ControlError::Unknown(why)),
    }
}

/// The forced failover to propose in this state, or why there is none. Pure.
fn forced(
    state: &State,
    master: &MasterName,
    cause: PlanCause,
    choice: &ForcedChoice,
    at: WallTime,
) -> Result<Command, ControlError> {
    let group = state
        .groups
        .get(master)
        .ok_or(ControlError::Rejected(Rejection::NoSuchMaster))?;
    if group.plan.is_some() {
        return Err(ControlError::InProgress);
    }
    if group.replicas.is_empty() {
        return Err(ControlError::NoGoodReplica);
    }
    Ok(Command::OpenFailover {
        master: master.clone(),
        config_epoch: group.config_epoch,
        failover_epoch: state.current_epoch.saturating_add(1),
        executor: choice.executor,
        cause,
        evidence: choice.evidence.clone(),
        before: choice.before.clone(),
        choice: choice.choice.clone(),
        at,
    })
}

impl Inner {
    /// Waits until the snapshots that clients read contain what this node has applied so far: the actors take
    /// over each entry a moment after the log has applied it.
    async fn wait_shown(&self) {
        let Some(view) = self.view.get() else { return };
        let applied = self.raft.state().last_applied;
        for _ in 0..SHOWN_ATTEMPTS {
            if view.state.load().last_applied >= applied {
                return;
            }
            tokio::time::sleep(SHOWN_PAUSE).await;
        }
    }

    async fn failover(self: Arc<Self>, master: MasterName, coordinated: bool) -> Result<(), ControlError> {
        let cause = if coordinated {
            PlanCause::Coordinated
        } else {
            PlanCause::Forced
        };
        let choice = match self.forced_choice.get() {
            Some(port) => port(master.clone()).await?,
            None => self.default_choice()?,
        };
        for attempt in 0..EPOCH_ATTEMPTS {
            let (state, at) = (self.raft.state(), self.clock.wall());
            let command = forced(&state, &master, cause.clone(), &choice, at)?;
            if attempt == 0 {
                // Sentinel's log line for this command: after the checks, before the events.
                tracing::info!("Executing user requested FAILOVER of '{master}'");
            }
            match ask(&self.raft, command).await {
                // Another failover took the epoch, or the group was switched: look again.
                Err(ControlError::Rejected(Rejection::Stale(_))) => {}
                other => return other.map(|_| ()),
            }
        }
        Err(ControlError::Rejected(Rejection::Stale(
            "other failovers are being opened".to_owned(),
        )))
    }

    fn default_choice(&self) -> Result<ForcedChoice, ControlError> {
        let leader = self.raft.status().raft_leader;
        let executor =
            leader.ok_or_else(|| ControlError::NoMajority("no raft_leader is known".to_owned()))?;
        Ok(ForcedChoice {
            executor,
            choice: None,
            evidence: Vec::new(),
            before: Vec::new(),
        })
    }
}

impl Control for GatewayHandle {
    fn monitor(
        &self,
        master: MasterName,
        address: HostPort,
        odown_quorum: u32,
    ) -> BoxFuture<'static, Result<(), ControlError>> {
        let (options, at) = (GroupOptions::with_quorum(odown_quorum), self.inner.clock.wall());
        self.write(Command::Monitor {
            master,
            address,
            options,
            at,
        })
    }

    fn remove(&self, master: MasterName) -> BoxFuture<'static, Result<(), ControlError>> {
        self.write(Command::Remove { master })
    }

    fn set(
        &self,
        master: MasterName,
        changes: Vec<OptionChange>,
    ) -> BoxFuture<'static, Result<(), ControlError>> {
        self.write(Command::SetOptions { master, changes })
    }

    fn reset(&self, masters: Vec<MasterName>) -> BoxFuture<'static, Result<(), ControlError>> {
        self.write(Command::Reset { masters })
    }

    fn failover(
        &self,
        master: MasterName,
        coordinated: bool,
    ) -> BoxFuture<'static, Result<(), ControlError>> {
        let inner = Arc::clone(&self.inner);
        self.on_main(async move {
            let limit = tokio::time::timeout(FAILOVER_WITHIN, inner.failover(master, coordinated));
            limit
                .await
                .unwrap_or_else(|_| Err(ControlError::Unknown("no answer in time".to_owned())))
        })
    }

    fn simulate(&self, crashes: Vec<SimulatedCrash>) {
        if let Some(port) = self.inner.simulate.get() {
            port(crashes);
        }
    }

    fn heard(&self, hello: Hello) {
        if let Some(port) = self.inner.heard.get() {
            port(hello);
        }
    }

    fn propose(&self, command: Command) -> BoxFuture<'static, Result<(), ControlError>> {
        self.write(command)
    }

    fn raft_status(&self) -> Vec<(&'static str, String)> {
        status_fields(&self.inner.raft.status(), &self.inner.raft.state())
    }
}

/// Fields of `SENTINEL RAFT STATUS`, in order. Sentinels are shown by `myid` where it is known, else by node id. Pure.
fn status_fields(status: &RaftStatus, state: &State) -> Vec<(&'static str, String)> {
    let name = |node: &NodeId| {
        state
            .members
            .get(node)
            .map_or_else(|| node.to_string(), |m| m.myid.to_string())
    };
    let names =
        |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(name).collect::<Vec<_>>().join(",");
    let mut fields = vec![
        ("role", status.role.name().to_owned()),
        ("node-id", status.node.to_string()),
        (
            "leader",
            status.raft_leader.as_ref().map(name).unwrap_or_default(),
        ),
        ("term", status.raft_term.to_string()),
        ("last-log", status.last_log.to_string()),
        ("committed", status.committed.to_string()),
        ("applied", status.applied.to_string()),
        ("snapshot", status.snapshot.to_string()),
        ("voters", names(&status.voters)),
        ("learners", names(&status.learners)),
        (
            "quorum-ack-age-ms",
            status
                .quorum_ack_age_ms
                .map(|ms| ms.to_string())
                .unwrap_or_default(),
        ),
    ];
    if let Some(failed) = &status.failed {
        fields.push(("failed", failed.clone()));
    }
    fields
}

#[cfg(test)]
#[path = "proposals_tests.rs"]
mod tests;
