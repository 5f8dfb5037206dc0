//! Application of the commands that concern a group's existence, options and replicas.

use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, WallTime};

use super::apply::group_mut;
use super::change::Change;
use super::command::{Command, Rejection};
use super::state::{Group, GroupOptions, KnownReplica, OptionChange, State};
use crate::lineage::Lineage;

/// See [`super::apply`].
pub(super) fn apply_group(
    state: &mut State,
    index: u64,
    command: &Command,
) -> Result<Vec<Change>, Rejection> {
    match command {
        Command::Monitor {
            master,
            address,
            options,
            at: _,
        } => monitor(state, index, master, address, options),
        Command::Remove { master } => {
            let group = state.groups.remove(master).ok_or(Rejection::NoSuchMaster)?;
            Ok(vec![Change::Removed(group)])
        }
        Command::SetOptions { master, changes } => set_options(state, master, changes),
        Command::SetAddress {
            master,
            address,
            expected,
        } => set_address(state, master, address, expected),
        Command::Reset { masters } => Ok(reset(state, masters)),
        Command::AddReplicas {
            master,
            listed_by,
            replicas,
            at,
        } => add_replicas(state, master, listed_by, replicas, *at),
        Command::RecordLineage {
            master,
            address,
            ids,
            files,
        } => record_lineage(state, master, address, ids, files),
        _ => Err(Rejection::WrongPhase),
    }
}

fn monitor(
    state: &mut State,
    index: u64,
    master: &MasterName,
    address: &HostPort,
    options: &GroupOptions,
) -> Result<Vec<Change>, Rejection> {
    if let Some(known) = state.groups.get(master) {
        // Scripts send the same MONITOR to each sentinel: the repeats are fine, also after a failover moved the address.
        let first = known
            .history
            .front()
            .map_or(&known.address, |closed| &closed.plan.old_address);
        let same_address = known.address == *address || first == address;
        let same = same_address && known.options.odown_quorum == options.odown_quorum;
        return if same {
            Ok(Vec::new())
        } else {
            Err(Rejection::DuplicateMaster)
        };
    }
    check_options(options)?;
    let group = Arc::new(Group {
        name: master.clone(),
        incarnation: index,
        options: options.clone(),
        address: address.clone(),
        config_epoch: 0,
        replicas: Default::default(),
        plan: None,
        history: Default::default(),
        lineage: Default::default(),
    });
    state.groups.insert(master.clone(), Arc::clone(&group));
    Ok(vec![Change::Monitored(group)])
}

fn set_options(
    state: &mut State,
    master: &MasterName,
    changes: &[OptionChange],
) -> Result<Vec<Change>, Rejection> {
    let known = state.groups.get(master).ok_or(Rejection::NoSuchMaster)?;
    let mut options = known.options.clone();
    for change in changes {
        set_option(&mut options, change);
    }
    check_options(&options)?;
    group_mut(state, master)?.options = options;
    Ok(changes
        .iter()
        .map(|c| Change::OptionSet(master.clone(), c.clone()))
        .collect())
}

fn set_option(options: &mut GroupOptions, change: &OptionChange) {
    match change.clone() {
        OptionChange::OdownQuorum(n) => options.odown_quorum = n,
        OptionChange::DownAfterMs(n) => options.down_after_ms = n,
        OptionChange::FailoverTimeoutMs(n) => options.failover_timeout_ms = n,
        OptionChange::ParallelSyncs(n) => options.parallel_syncs = n,
        OptionChange::AuthUser(v) => options.auth_user = v,
        OptionChange::AuthPass(v) => options.auth_pass = v,
        OptionChange::CrashDownAfterMs(n) => options.crash_down_after_ms = n,
        OptionChange::ReplicaWitness(b) => options.replica_witness = b,
        OptionChange::NotificationScript(v) => options.notification_script = v,
        OptionChange::ClientReconfigScript(v) => options.client_reconfig_script = v,
        OptionChange::MasterRebootDownAfterMs(n) => options.master_reboot_down_after_ms = n,
        OptionChange::RenameCommand(old, new) => {
            let old = old.to_ascii_uppercase();
            if old.eq_ignore_ascii_case(&new) {
                options.rename_commands.remove(&old);
            } else {
                options.rename_commands.insert(old, new);
            }
        }
    }
}

pub(super) fn check_options(options: &GroupOptions) -> Result<(), Rejection> {
    let checks = [
        ("quorum", u64::from(options.odown_quorum)),
        ("down-after-milliseconds", options.down_after_ms),
        ("failover-timeout", options.failover_timeout_ms),
        ("parallel-syncs", u64::from(options.parallel_syncs)),
    ];
    match checks.iter().find(|(_, value)| *value == 0) {
        None => Ok(()),
        Some((option, value)) => Err(Rejection::InvalidOption {
            option: (*option).to_owned(),
            value: value.to_string(),
        }),
    }
}

fn set_address(
    state: &mut State,
    master: &MasterName,
    address: &HostPort,
    expected: &HostPort,
) -> Result<Vec<Change>, Rejection> {
    let known = state.groups.get(master).ok_or(Rejection::NoSuchMaster)?;
    if known.plan.is_some() {
        return Err(Rejection::PlanOpen);
    }
    if known.address != *expected {
        return Err(Rejection::Stale(format!(
            "the committed master is {}",
            known.address
        )));
    }
    if address == expected {
        return Ok(Vec::new());
    }
    // An address change by an operator is a new configuration: it gets an epoch of its own, so that "one address per
    // config epoch" holds and opinions about the old address no longer count.
    state.current_epoch = state.current_epoch.saturating_add(1);
    let epoch = state.current_epoch;
    let group = group_mut(state, master)?;
    group.address = address.clone();
    group.config_epoch = epoch;
    group.replicas.remove(address);
    // The operator's word: whatever is there is this group's data now.
    group.lineage = Arc::default();
    Ok(vec![
        Change::EpochRaised(epoch),
        Change::AddressSet {
            master: master.clone(),
            from: expected.clone(),
            to: address.clone(),
        },
    ])
}

fn reset(state: &mut State, masters: &[MasterName]) -> Vec<Change> {
    let mut changes = Vec::new();
    for master in masters {
        // Only replicas are refreshed, and not under an open plan: the chosen one must stay known.
        let Some(group) = state
            .groups
            .get_mut(master)
            .filter(|g| g.plan.is_none())
            .map(Arc::make_mut)
        else {
            continue;
        };
        group.replicas.clear();
        changes.push(Change::Reset(master.clone()));
    }
    changes
}

fn add_replicas(
    state: &mut State,
    master: &MasterName,
    listed_by: &HostPort,
    replicas: &[HostPort],
    at: WallTime,
) -> Result<Vec<Change>, Rejection> {
    let known = state.groups.get(master).ok_or(Rejection::NoSuchMaster)?;
    if known.address != *listed_by {
        return Err(Rejection::Stale(format!(
            "the committed master is {}",
            known.address
        )));
    }
    let mut new: Vec<HostPort> = Vec::new();
    for replica in replicas {
        let seen = *replica == known.address || known.replicas.contains_key(replica) || new.contains(replica);
        if !seen {
            new.push(replica.clone());
        }
    }
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let group = group_mut(state, master)?;
    for replica in &new {
        group.replicas.insert(replica.clone(), KnownReplica { since: at });
    }
    Ok(new
        .into_iter()
        .map(|r| Change::ReplicaAdded(master.clone(), r))
        .collect())
}

fn record_lineage(
    state: &mut State,
    master: &MasterName,
    address: &HostPort,
    ids: &[String],
    files: &[String],
) -> Result<Vec<Change>, Rejection> {
    let known = state.groups.get(master).ok_or(Rejection::NoSuchMaster)?;
    if known.address != *address {
        return Err(Rejection::Stale(format!(
            "the committed master is {}",
            known.address
        )));
    }
    let mut lineage = Lineage::clone(&known.lineage);
    if lineage.add(ids, files) {
        group_mut(state, master)?.lineage = Arc::new(lineage);
    }
    Ok(Vec::new())
}
