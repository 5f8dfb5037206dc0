//! Taking over what a classic Sentinel learned: the address, epochs and replicas in a file that it rewrote.
//!
//! | The group is | and the file's `config_epoch` | then |
//! |---|---|---|
//! | not known | any | it is monitored with the file's address, epoch and replicas |
//! | untouched: no failover was ever opened for it here | higher | address, epoch and replicas become the file's |
//! | untouched | the same, and the same address | replicas that only this file knows are added |
//! | anything else | | only `current_epoch` may rise |
//!
//! Classic sentinels that were stopped together may have written different files; Sentinel resolves that by the
//! highest config epoch (sentinel.c `sentinelProcessHelloMessage`), and so does this, in whatever order they come.
//! Once a failover was opened here, the log knows better than any file.

use std::collections::BTreeMap;
use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, WallTime};

use super::apply::group_mut;
use super::apply_group::check_options;
use super::change::Change;
use super::command::{Command, Rejection};
use super::state::{Group, GroupOptions, KnownReplica, State};

/// What an import would do to a group that is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportEffect {
    /// Address, epoch and replicas of the file replace the group's.
    Moves,
    /// Replicas may be added.
    Completes,
    /// Nothing but `current_epoch`.
    Nothing,
}

/// See [`ImportEffect`]. Also asked before proposing, so that nothing useless is committed.
#[must_use]
pub fn effect_of(group: &Group, address: &HostPort, config_epoch: u64) -> ImportEffect {
    let untouched = group.plan.is_none() && group.history.is_empty();
    if untouched && config_epoch > group.config_epoch {
        ImportEffect::Moves
    } else if untouched && config_epoch == group.config_epoch && *address == group.address {
        ImportEffect::Completes
    } else {
        ImportEffect::Nothing
    }
}

/// See [`super::apply`].
pub(super) fn apply_import(
    state: &mut State,
    index: u64,
    command: &Command,
) -> Result<Vec<Change>, Rejection> {
    let Command::Import {
        master,
        address,
        options,
        config_epoch,
        current_epoch,
        replicas,
        at,
    } = command
    else {
        return Err(Rejection::WrongPhase);
    };
    // Checked before anything changes; a known group keeps its options.
    let effect = match state.groups.get(master) {
        None => {
            check_options(options)?;
            None
        }
        Some(group) => Some(effect_of(group, address, *config_epoch)),
    };
    let mut changes = raise_epoch(state, (*current_epoch).max(*config_epoch));
    match effect {
        Some(ImportEffect::Nothing) => {}
        Some(ImportEffect::Completes) => changes.extend(complete(state, master, replicas, *at)?),
        Some(ImportEffect::Moves) => {
            let group = group_mut(state, master)?;
            group.config_epoch = *config_epoch;
            group.replicas = known(replicas, address, *at);
            let from = std::mem::replace(&mut group.address, address.clone());
            if from != *address {
                changes.push(Change::AddressSet {
                    master: master.clone(),
                    from,
                    to: address.clone(),
                });
            }
        }
        None => {
            let group = Arc::new(Group {
                name: master.clone(),
                incarnation: index,
                options: GroupOptions::clone(options),
                address: address.clone(),
                config_epoch: *config_epoch,
                replicas: known(replicas, address, *at),
                plan: None,
                history: Default::default(),
                lineage: Default::default(),
            });
            changes.push(Change::Monitored(Arc::clone(&group)));
            changes.extend(
                group
                    .replicas
                    .keys()
                    .map(|replica| Change::ReplicaAdded(master.clone(), replica.clone())),
            );
            state.groups.insert(master.clone(), group);
        }
    }
    Ok(changes)
}

fn raise_epoch(state: &mut State, to: u64) -> Vec<Change> {
    if to <= state.current_epoch {
        return Vec::new();
    }
    state.current_epoch = to;
    vec![Change::EpochRaised(to)]
}

fn known(replicas: &[HostPort], master: &HostPort, at: WallTime) -> BTreeMap<HostPort, KnownReplica> {
    let others = replicas.iter().filter(|replica| *replica != master);
    others
        .map(|replica| (replica.clone(), KnownReplica { since: at }))
        .collect()
}

fn complete(
    state: &mut State,
    master: &MasterName,
    replicas: &[HostPort],
    at: WallTime,
) -> Result<Vec<Change>, Rejection> {
    let Some(group) = state.groups.get(master) else {
        return Err(Rejection::NoSuchMaster);
    };
    let mut new = known(replicas, &group.address, at);
    new.retain(|replica, _| !group.replicas.contains_key(replica));
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let changes = new
        .keys()
        .map(|replica| Change::ReplicaAdded(master.clone(), replica.clone()))
        .collect();
    group_mut(state, master)?.replicas.extend(new);
    Ok(changes)
}

#[cfg(test)]
#[path = "apply_import_tests.rs"]
mod tests;
