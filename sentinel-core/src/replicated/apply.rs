//! Application of commands: compare-and-set on epochs, generations and addresses.

use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};

use super::change::Change;
use super::command::{Command, Outcome, Rejection};
use super::plan::{ClosedPlan, Phase, Plan, PlanOutcome, Refusal, Step};
use super::state::{Group, HISTORY_LENGTH, KnownReplica, Member, State};

/// Applies one committed command.
///
/// Total and deterministic: a refused command answers [`Outcome::Rejected`] and changes nothing but
/// `last_applied`. Changes are in the order in which they are to be published.
pub fn apply(state: &mut State, index: u64, command: &Command) -> (Outcome, Vec<Change>) {
    state.last_applied = index;
    match apply_command(state, index, command) {
        Ok(changes) => (Outcome::Done, changes),
        Err(rejection) => (Outcome::Rejected(rejection), Vec::new()),
    }
}

type Applied = Result<Vec<Change>, Rejection>;

fn apply_command(state: &mut State, index: u64, command: &Command) -> Applied {
    match command {
        Command::SetMember { node, myid, address } => Ok(set_member(
            state,
            *node,
            &Member {
                myid: myid.clone(),
                address: address.clone(),
            },
        )),
        Command::Monitor { .. }
        | Command::Remove { .. }
        | Command::SetOptions { .. }
        | Command::SetAddress { .. }
        | Command::Reset { .. }
        | Command::AddReplicas { .. }
        | Command::RecordLineage { .. } => super::apply_group::apply_group(state, index, command),
        Command::Import { .. } => super::apply_import::apply_import(state, index, command),
        Command::OpenFailover { .. } => open_failover(state, command),
        Command::Choose {
            master,
            failover_epoch,
            executor_generation,
            replica,
            failed,
            refused,
            at,
        } => {
            let choice = Choice {
                replica,
                failed: failed.as_ref(),
                refused,
                at: *at,
            };
            choose(state, master, *failover_epoch, *executor_generation, &choice)
        }
        Command::Switch {
            master,
            failover_epoch,
            address,
            steps,
            at,
        } => switch(state, master, *failover_epoch, address, steps, *at),
        Command::Reassign {
            master,
            failover_epoch,
            executor_generation,
            executor,
            at,
        } => reassign(
            state,
            master,
            *failover_epoch,
            *executor_generation,
            *executor,
            *at,
        ),
        Command::Close {
            master,
            failover_epoch,
            outcome,
            loss_bound_bytes,
            at,
        } => close(state, master, *failover_epoch, outcome, *loss_bound_bytes, *at),
    }
}

fn set_member(state: &mut State, node: NodeId, member: &Member) -> Vec<Change> {
    match state.members.insert(node, member.clone()) {
        None => vec![Change::MemberAdded(node, member.clone())],
        Some(before) if before == *member => Vec::new(),
        Some(before) => vec![Change::MemberMoved(node, member.clone(), before.address)],
    }
}

/// The group by name, private to this state (copied if a reader still shares it).
///
/// Callers that may still reject must not have changed it: see [`super::apply_group`] and the order of checks.
pub(super) fn group_mut<'a>(state: &'a mut State, master: &MasterName) -> Result<&'a mut Group, Rejection> {
    state
        .groups
        .get_mut(master)
        .map(Arc::make_mut)
        .ok_or(Rejection::NoSuchMaster)
}

fn open_plan(group: &mut Group, failover_epoch: u64) -> Result<&mut Plan, Rejection> {
    group
        .plan
        .as_mut()
        .filter(|p| p.failover_epoch == failover_epoch)
        .ok_or(Rejection::StalePlan)
}

fn open_failover(state: &mut State, command: &Command) -> Applied {
    let Command::OpenFailover {
        master,
        config_epoch,
        failover_epoch,
        executor,
        cause,
        evidence,
        before,
        choice,
        at,
    } = command
    else {
        return Err(Rejection::WrongPhase);
    };
    if !state.members.contains_key(executor) {
        return Err(Rejection::NotAMember(*executor));
    }
    // Epochs are one counter for all groups; gaps are harmless, so proposals for several groups may be on their way at once.
    if *failover_epoch <= state.current_epoch {
        return Err(Rejection::Stale(format!(
            "current epoch is {}",
            state.current_epoch
        )));
    }
    let group = state.groups.get(master).ok_or(Rejection::NoSuchMaster)?;
    if group.plan.is_some() {
        return Err(Rejection::PlanOpen);
    }
    if group.config_epoch != *config_epoch {
        let stale = format!("config epoch is {}", group.config_epoch);
        return Err(Rejection::Stale(stale));
    }
    if let Some((replica, _)) = choice {
        if !group.replicas.contains_key(replica) {
            return Err(Rejection::NotAReplica(replica.clone()));
        }
    }
    state.current_epoch = *failover_epoch;
    let group = group_mut(state, master)?;
    let mut timeline = before.clone();
    timeline.push((Step::Opened, *at));
    let mut changes = vec![
        Change::EpochRaised(*failover_epoch),
        Change::PlanOpened(master.clone()),
    ];
    let (mut phase, mut refused) = (Phase::Opened, Vec::new());
    if let Some((replica, others)) = choice {
        timeline.push((Step::Chosen, *at));
        changes.push(Change::ReplicaChosen(master.clone(), replica.clone()));
        let replica = replica.clone();
        phase = Phase::Chosen { replica };
        refused.clone_from(others);
    }
    group.plan = Some(Plan {
        failover_epoch: *failover_epoch,
        cause: cause.clone(),
        executor: *executor,
        executor_generation: 1,
        previous_executor: None,
        old_address: group.address.clone(),
        phase,
        evidence: evidence.clone(),
        refused,
        failed: Vec::new(),
        timeline,
    });
    Ok(changes)
}

struct Choice<'a> {
    replica: &'a HostPort,
    failed: Option<&'a HostPort>,
    refused: &'a [Refusal],
    at: WallTime,
}

fn choose(
    state: &mut State,
    master: &MasterName,
    failover_epoch: u64,
    executor_generation: u32,
    choice: &Choice<'_>,
) -> Applied {
    let group = group_mut(state, master)?;
    let known = group.replicas.contains_key(choice.replica);
    let plan = open_plan(group, failover_epoch)?;
    if plan.executor_generation != executor_generation {
        return Err(Rejection::StalePlan);
    }
    let failed_before = plan.failed.contains(choice.replica) || choice.failed == Some(choice.replica);
    // The chosen one may have its orders already: another one is only named instead of it, never beside it, as a second
    // proposal made before the first was answered would.
    let stands = match &plan.phase {
        Phase::Opened => false,
        Phase::Chosen { replica } => choice.failed != Some(replica),
        Phase::Switched { .. } => true,
    };
    if stands || failed_before {
        return Err(Rejection::WrongPhase);
    }
    if !known {
        return Err(Rejection::NotAReplica(choice.replica.clone()));
    }
    if let Some(failed) = choice.failed.filter(|f| !plan.failed.contains(f)) {
        plan.failed.push(failed.clone());
    }
    plan.refused = choice.refused.to_vec();
    plan.phase = Phase::Chosen {
        replica: choice.replica.clone(),
    };
    plan.timeline.push((Step::Chosen, choice.at));
    Ok(vec![Change::ReplicaChosen(
        master.clone(),
        choice.replica.clone(),
    )])
}

fn switch(
    state: &mut State,
    master: &MasterName,
    failover_epoch: u64,
    address: &HostPort,
    steps: &[(Step, WallTime)],
    at: WallTime,
) -> Applied {
    let group = group_mut(state, master)?;
    let plan = open_plan(group, failover_epoch)?;
    // Whoever is executor now: the promotion of the chosen replica is a fact that any of them may report.
    match &plan.phase {
        Phase::Chosen { replica } if replica == address => {}
        Phase::Switched { replica } if replica == address => return Ok(Vec::new()),
        _ => return Err(Rejection::WrongPhase),
    }
    plan.phase = Phase::Switched {
        replica: address.clone(),
    };
    plan.timeline.extend_from_slice(steps);
    plan.timeline.push((Step::Switched, at));
    let executor = plan.executor;
    let from = std::mem::replace(&mut group.address, address.clone());
    group.config_epoch = failover_epoch;
    group.replicas.remove(address);
    group.replicas.insert(from.clone(), KnownReplica { since: at });
    Ok(vec![Change::Switched {
        master: master.clone(),
        from,
        to: address.clone(),
        executor,
        config_epoch: failover_epoch,
    }])
}

fn reassign(
    state: &mut State,
    master: &MasterName,
    failover_epoch: u64,
    executor_generation: u32,
    executor: NodeId,
    at: WallTime,
) -> Applied {
    if !state.members.contains_key(&executor) {
        return Err(Rejection::NotAMember(executor));
    }
    let group = group_mut(state, master)?;
    let plan = open_plan(group, failover_epoch)?;
    if plan.executor_generation != executor_generation {
        return Err(Rejection::StalePlan);
    }
    let from = std::mem::replace(&mut plan.executor, executor);
    plan.executor_generation = plan.executor_generation.saturating_add(1);
    plan.previous_executor = Some(from);
    plan.timeline.push((Step::Reassigned, at));
    Ok(vec![Change::ExecutorChanged {
        master: master.clone(),
        from,
        to: executor,
    }])
}

fn close(
    state: &mut State,
    master: &MasterName,
    failover_epoch: u64,
    outcome: &PlanOutcome,
    loss_bound_bytes: Option<u64>,
    at: WallTime,
) -> Applied {
    let group = group_mut(state, master)?;
    let plan = open_plan(group, failover_epoch)?;
    // A switched plan can only end as done, an unswitched one only as abandoned.
    if matches!(plan.phase, Phase::Switched { .. }) != outcome.switched() {
        return Err(Rejection::WrongPhase);
    }
    plan.timeline.push((Step::Closed, at));
    let Some(plan) = group.plan.take() else {
        return Err(Rejection::StalePlan);
    };
    let change = Change::PlanClosed {
        master: master.clone(),
        failover_epoch,
        executor: plan.executor,
        outcome: outcome.clone(),
        replica: plan.phase.replica().cloned(),
    };
    group.history.push_back(ClosedPlan {
        plan,
        outcome: outcome.clone(),
        loss_bound_bytes,
    });
    while group.history.len() > HISTORY_LENGTH {
        group.history.pop_front();
    }
    Ok(vec![change])
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
