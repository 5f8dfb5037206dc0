//! What the actors call on the outside: events, operations on Redis servers, simulated failures, forced choices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use futures::FutureExt as _;
use raft_store::{Authority, RaftHandle};
use sentinel_core::failover::{Crash, FailoverInput, Guard, Operation, OperationResult};
use sentinel_core::quorum::QuorumInput;
use sentinel_core::replicated::Group;
use sentinel_core::select::{is_candidate, tolerated_link_down_ms};
use sentinel_proto::info::InstanceReport;
use sentinel_proto::{HostPort, MasterName};
use tokio::runtime::Handle;

use crate::actors::failover::ExecutePort;
use crate::actors::messages::{EventSink, ToFailover, ToQuorum};
use crate::actors::monitor::KillScriptPort;
use crate::actors::proposals::{ForcedChoice, ForcedChoicePort, HeardPort, SimulatePort};
use crate::control::{ControlError, SimulatedCrash};
use crate::names::Resolver;
use crate::pubsub::Hub;
use crate::scripts::{ClientReconfig, ReconfigSink, Scripts};
use crate::view::NodeView;

/// How long the authority to act may take to be confirmed by the raft_leader.
const AUTHORITY_WITHIN: Duration = Duration::from_millis(500);

/// Events to the log and the subscribers, then to the notification scripts; with addresses as this node shows them.
#[must_use]
pub fn events(hub: &Hub, scripts: &Scripts, names: &Resolver) -> EventSink {
    let (hub, scripts, names) = (hub.clone(), scripts.clone(), names.clone());
    Arc::new(move |event| {
        let event = event.respelled(&|address| names.shown(address));
        hub.publish(event.clone());
        scripts.notify(&event);
    })
}

/// New addresses to the client-reconfig scripts.
#[must_use]
pub fn reconfigured(scripts: Scripts, names: Resolver) -> ReconfigSink {
    Arc::new(move |call| {
        let (from, to) = (names.shown(&call.from), names.shown(&call.to));
        scripts.reconfigure(&ClientReconfig { from, to, ..call });
    })
}

/// Operations; each is sent only with a fresh authority and while its guard holds.
#[must_use]
pub fn execute(raft: RaftHandle, main: Handle, view: Arc<NodeView>) -> ExecutePort {
    Arc::new(move |link, what, guard| {
        let raft = raft.clone();
        let what = spelled(what, &view, &guard.master, &link.address());
        let work = main.spawn(async move {
            let (text, master) = (format!("{what:?}"), guard.master.clone());
            let result = link
                .operate(what, Box::new(move || permit(raft, guard).boxed()))
                .await;
            match &result {
                OperationResult::Refused(why) => {
                    tracing::warn!("{master}: {text} was refused: {why}")
                }
                OperationResult::Unreachable(why) => tracing::debug!("{master}: {text}: {why}"),
                OperationResult::Done { .. } | OperationResult::Denied(_) => {}
            }
            result
        });
        work.map(|result| result.unwrap_or_else(|e| OperationResult::Unreachable(e.to_string())))
            .boxed()
    })
}

/// `SCRIPT KILL`, for a server that says it is busy.
#[must_use]
pub fn kill_script(raft: RaftHandle, main: Handle) -> KillScriptPort {
    Arc::new(move |link| {
        let raft = raft.clone();
        let address = link.address();
        let work = main.spawn(async move {
            let permit = async move {
                match raft.confirm_authority(AUTHORITY_WITHIN).await {
                    Authority::Denied(why) => Err(why),
                    _ => Ok(()),
                }
            };
            let result = link
                .operate(Operation::KillScript, Box::new(move || permit.boxed()))
                .await;
            match &result {
                OperationResult::Done { .. } => tracing::warn!("{address} is busy: its script was killed"),
                OperationResult::Refused(why) | OperationResult::Unreachable(why) => {
                    tracing::warn!("{address} is busy, and SCRIPT KILL did not help: {why}");
                }
                OperationResult::Denied(why) => tracing::debug!("{address} is busy: {why}"),
            }
            !matches!(result, OperationResult::Denied(_))
        });
        work.map(|sent| sent.unwrap_or(false)).boxed()
    })
}

/// A master is named to its replicas as it is to clients, and a replica to its master as that one lists it.
fn spelled(what: Operation, view: &NodeView, group: &MasterName, instance: &HostPort) -> Operation {
    let names = &view.names;
    match what {
        Operation::HandOver { to, ms } => {
            let info = view.instance(group, instance).and_then(|i| i.info_text.clone());
            let listed = info.map(|text| InstanceReport::parse(text.as_bytes()).replicas);
            let same = |listed: &HostPort| names.same(listed, &to);
            let listed = listed.and_then(|replicas| replicas.into_iter().find(same));
            let to = listed.unwrap_or_else(|| names.shown(&to));
            Operation::HandOver { to, ms }
        }
        Operation::Follow {
            master,
            resume_writes,
        } => Operation::Follow {
            master: names.shown(&master),
            resume_writes,
        },
        other => other,
    }
}

/// A Raft majority stands behind this node, and what it has applied since still wants the operation.
async fn permit(raft: RaftHandle, guard: Guard) -> Result<(), String> {
    if let Authority::Denied(why) = raft.confirm_authority(AUTHORITY_WITHIN).await {
        return Err(why);
    }
    if guard.holds(&raft.state()) {
        Ok(())
    } else {
        Err("the plan is not the applied one any more".to_owned())
    }
}

/// Ends the process as if it had died: status 99, nothing is cleaned up.
pub fn crash(_: Crash) {
    tracing::warn!("Sentinel CRASH because of SENTINEL simulate-failure");
    crate::log::flush();
    std::process::exit(99);
}

/// `SENTINEL SIMULATE-FAILURE`.
#[must_use]
pub fn simulate(failover: Recipient<ToFailover>) -> SimulatePort {
    Arc::new(move |crashes: Vec<SimulatedCrash>| {
        let armed: BTreeSet<Crash> = crashes
            .into_iter()
            .map(|crash| match crash {
                SimulatedCrash::AfterElection | SimulatedCrash::AfterOpen => Crash::AfterOpen,
                SimulatedCrash::AfterChoose => Crash::AfterChoose,
                SimulatedCrash::AfterPromotion => Crash::AfterPromotion,
                SimulatedCrash::AfterSwitch => Crash::AfterSwitch,
            })
            .collect();
        if failover.try_send(ToFailover(FailoverInput::Arm(armed))).is_err() {
            metrics::counter!("sentinel_mailbox_full").increment(1);
        }
    })
}

/// Hellos that classic sentinels publish to this node: about the group of that name.
#[must_use]
pub fn heard(quorum: Recipient<ToQuorum>) -> HeardPort {
    Arc::new(move |hello| {
        let input = QuorumInput::Hello(hello.master_name.clone(), hello);
        if quorum.try_send(ToQuorum(input)).is_err() {
            metrics::counter!("sentinel_mailbox_full").increment(1);
        }
    })
}

/// `SENTINEL FAILOVER`: refused at once when nobody could be promoted; else the raft_leader chooses from fresh reports.
#[must_use]
pub fn forced_choice(view: Arc<NodeView>, raft: RaftHandle) -> ForcedChoicePort {
    Arc::new(move |master: MasterName| {
        let answer = choose_forced(&view, &raft, &master);
        std::future::ready(answer).boxed()
    })
}

fn choose_forced(
    view: &NodeView,
    raft: &RaftHandle,
    master: &MasterName,
) -> Result<ForcedChoice, ControlError> {
    let state = view.state.load();
    if let Some(group) = state.groups.get(master) {
        if group.plan.is_some() {
            return Err(ControlError::InProgress);
        }
        if !has_candidate(view, group) {
            return Err(ControlError::NoGoodReplica);
        }
    }
    let no_leader = || ControlError::NoMajority("no raft_leader is known".to_owned());
    let executor = raft.status().raft_leader.ok_or_else(no_leader)?;
    Ok(ForcedChoice {
        executor,
        choice: None,
        evidence: Vec::new(),
        before: Vec::new(),
    })
}

fn has_candidate(view: &NodeView, group: &Group) -> bool {
    let mut replicas = group
        .replicas
        .keys()
        .filter_map(|replica| view.instance(&group.name, replica));
    let master = view.instance(&group.name, &group.address);
    // Links to a master that is down are down, too: how long is left to the choice.
    let tolerated = match master.and_then(|master| master.sdown_since) {
        Some(_) => u64::MAX,
        None => tolerated_link_down_ms(0, group.options.down_after_ms),
    };
    replicas.any(|r| {
        let candidate = is_candidate(r.connected, r.sdown_since.is_some(), r.priority, r.role);
        candidate && r.master_link_down_ms <= tolerated
    })
}
