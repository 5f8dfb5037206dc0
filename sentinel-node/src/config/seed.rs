//! How the file's per-master lines reach the log (DESIGN.md section 8).
//!
//! | The line is | and the group | then |
//! |---|---|---|
//! | of a name unknown to the log | - | `Monitor` with all options of the file; `Import` when Sentinel rewrote it |
//! | rewritten by Sentinel since it was last applied here | known | `Import` where that brings something: see `apply_import` |
//! | as last applied here | gone (SENTINEL REMOVE) | nothing, a warning |
//! | new or edited since it was last applied here | known | `SetOptions` / `SetAddress` for what differs |
//! | as last applied here | any | nothing: what was set at run time or decided by a failover stays |
//! | applied here for the first time | known (another node's file came first) | nothing, one warning per difference |
//! | gone since it was last applied here | known | options go back to their default; a lost `monitor` line only warns |
//!
//! Invariant: an unchanged file never produces a command, whatever the state.
//! The caller remembers [`to_lines`] once all commands were answered; a `Monitor` that is rejected as a
//! duplicate lost a race against another node: plan again to get the warnings.

use sentinel_core::replicated::apply_import::{ImportEffect, effect_of};
use sentinel_core::replicated::{Command, Group, GroupOptions, OptionChange, State};
use sentinel_proto::{HostPort, WallTime};

use super::lines::NoIncludes;
use super::parse::parse;
use super::types::MasterConfig;

/// What start-up has to do about the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seeding {
    /// To be proposed in this order.
    pub commands: Vec<Command>,
    /// To be logged once, at level warning.
    pub warnings: Vec<String>,
}

/// Compares the file with what this node applied last and with the applied state.
///
/// `remembered` is what [`to_lines`] returned then; `None` on the first start, or when it is unreadable.
#[must_use]
pub fn plan_seeding(
    current: &[MasterConfig],
    remembered: Option<&str>,
    state: &State,
    now: WallTime,
) -> Seeding {
    let remembered = remembered.and_then(from_lines).unwrap_or_default();
    let mut seeding = Seeding::default();
    for master in current {
        let before = remembered.iter().find(|before| before.name == master.name);
        match (state.groups.get(&master.name), before) {
            // Last applied here just as it is, and gone since: SENTINEL REMOVE, which an unedited line must not undo.
            (None, Some(before)) if before == master => seeding.warnings.push(format!(
                "the file still has 'sentinel monitor {}', which was removed at run time: it is not monitored. Delete the \
                 line, edit it, or use SENTINEL MONITOR",
                master.name
            )),
            (None, _) if master.learned.is_empty() => seeding.commands.push(Command::Monitor {
                master: master.name.clone(),
                address: master.address.clone(),
                options: master.options.clone(),
                at: now,
            }),
            (None, _) => seeding.commands.push(import(master, now)),
            (Some(group), before) => {
                let learned = before.is_none_or(|before| before.learned != master.learned);
                if learned && is_news(master, group, state) {
                    seeding.commands.push(import(master, now));
                }
                match before {
                    Some(before) => edited(master, before, group, &mut seeding),
                    None => warn_differences(master, group, &mut seeding.warnings),
                }
            }
        }
    }
    for before in &remembered {
        let gone = !current.iter().any(|master| master.name == before.name);
        if gone && state.groups.contains_key(&before.name) {
            seeding.warnings.push(format!(
                "the file no longer has 'sentinel monitor {}', but the group still monitors it: use SENTINEL REMOVE",
                before.name
            ));
        }
    }
    seeding
}

fn import(master: &MasterConfig, now: WallTime) -> Command {
    Command::Import {
        master: master.name.clone(),
        address: master.address.clone(),
        options: Box::new(master.options.clone()),
        config_epoch: master.learned.config_epoch,
        current_epoch: master.learned.current_epoch,
        replicas: master.learned.replicas.clone(),
        at: now,
    }
}

fn import_effect(master: &MasterConfig, group: &Group) -> ImportEffect {
    effect_of(group, &master.address, master.learned.config_epoch)
}

/// Whether an import would change anything.
fn is_news(master: &MasterConfig, group: &Group, state: &State) -> bool {
    let learned = &master.learned;
    let is_new = |replica: &HostPort| *replica != group.address && !group.replicas.contains_key(replica);
    let about_group = match import_effect(master, group) {
        ImportEffect::Moves => true,
        ImportEffect::Completes => learned.replicas.iter().any(is_new),
        ImportEffect::Nothing => false,
    };
    about_group || learned.current_epoch > state.current_epoch
}

/// A line that was edited since it was last applied here.
fn edited(master: &MasterConfig, before: &MasterConfig, group: &Group, seeding: &mut Seeding) {
    let moves = master.learned != before.learned && import_effect(master, group) == ImportEffect::Moves;
    if master.address != before.address && master.address != group.address && !moves {
        if group.address == before.address {
            seeding.commands.push(Command::SetAddress {
                master: master.name.clone(),
                address: master.address.clone(),
                expected: before.address.clone(),
            });
        } else {
            seeding.warnings.push(format!(
                "the file now names {} as the address of {}, but the group has moved on to {} since the line was \
                 written: the address is left alone",
                master.address, master.name, group.address
            ));
        }
    }
    let changes: Vec<OptionChange> = differences(&before.options, &master.options)
        .into_iter()
        // Another node's edit may have brought the same value already.
        .filter(|change| changes_something(&group.options, change))
        .collect();
    if !changes.is_empty() {
        seeding.commands.push(Command::SetOptions {
            master: master.name.clone(),
            changes,
        });
    }
}

fn changes_something(options: &GroupOptions, change: &OptionChange) -> bool {
    let mut changed = options.clone();
    super::sentinel::set_option(&mut changed, change);
    changed != *options
}

/// First application here, but the name is committed already: the log wins.
fn warn_differences(master: &MasterConfig, group: &Group, warnings: &mut Vec<String>) {
    // After a failover the file of a new or wiped node still names the first address: no mistake.
    let older = group.config_epoch > master.learned.config_epoch;
    let moves = import_effect(master, group) == ImportEffect::Moves;
    if !older && !moves && group.address != master.address {
        warnings.push(format!(
            "the file says 'sentinel monitor {} {}', the group has {}: the group's value is used",
            master.name, master.address, group.address
        ));
    }
    let mut said: Vec<OptionChange> = vec![OptionChange::OdownQuorum(master.options.odown_quorum)];
    said.extend(master.given.iter().cloned());
    for (file, committed) in said.iter().filter_map(|said| {
        let committed = value_of(&group.options, said)?;
        (committed != *said).then_some((said, committed))
    }) {
        let used = match file {
            // Not a matter of the group: each sentinel may have its own.
            OptionChange::NotificationScript(_) | OptionChange::ClientReconfigScript(_) => {
                "the file's script is run here unless deny-scripts-reconfig is no"
            }
            _ => "the group's value is used",
        };
        warnings.push(format!(
            "the file says '{}' for {}, the group has '{}': {used}",
            file.event_text(),
            master.name,
            committed.event_text()
        ));
    }
}

/// The committed value of the option that `like` names; `None` for a renamed command that is renamed alike.
fn value_of(options: &GroupOptions, like: &OptionChange) -> Option<OptionChange> {
    Some(match like {
        OptionChange::OdownQuorum(_) => OptionChange::OdownQuorum(options.odown_quorum),
        OptionChange::DownAfterMs(_) => OptionChange::DownAfterMs(options.down_after_ms),
        OptionChange::FailoverTimeoutMs(_) => OptionChange::FailoverTimeoutMs(options.failover_timeout_ms),
        OptionChange::ParallelSyncs(_) => OptionChange::ParallelSyncs(options.parallel_syncs),
        OptionChange::AuthUser(_) => OptionChange::AuthUser(options.auth_user.clone()),
        OptionChange::AuthPass(_) => OptionChange::AuthPass(options.auth_pass.clone()),
        OptionChange::CrashDownAfterMs(_) => OptionChange::CrashDownAfterMs(options.crash_down_after_ms),
        OptionChange::ReplicaWitness(_) => OptionChange::ReplicaWitness(options.replica_witness),
        OptionChange::NotificationScript(_) => {
            OptionChange::NotificationScript(options.notification_script.clone())
        }
        OptionChange::ClientReconfigScript(_) => {
            OptionChange::ClientReconfigScript(options.client_reconfig_script.clone())
        }
        OptionChange::MasterRebootDownAfterMs(_) => {
            OptionChange::MasterRebootDownAfterMs(options.master_reboot_down_after_ms)
        }
        OptionChange::RenameCommand(old, new) => {
            let committed = options.rename_commands.get(old).unwrap_or(old);
            if committed == new {
                return None;
            }
            OptionChange::RenameCommand(old.clone(), committed.clone())
        }
    })
}

/// What turns `from` into `to`.
fn differences(from: &GroupOptions, to: &GroupOptions) -> Vec<OptionChange> {
    let mut changes = Vec::new();
    for change in all_options(to) {
        if changes_something(from, &change) {
            changes.push(change);
        }
    }
    for old in from.rename_commands.keys() {
        if !to.rename_commands.contains_key(old) {
            changes.push(OptionChange::RenameCommand(old.clone(), old.clone()));
        }
    }
    changes
}

/// Every option with its value.
fn all_options(options: &GroupOptions) -> Vec<OptionChange> {
    let mut all = vec![
        OptionChange::OdownQuorum(options.odown_quorum),
        OptionChange::DownAfterMs(options.down_after_ms),
        OptionChange::FailoverTimeoutMs(options.failover_timeout_ms),
        OptionChange::ParallelSyncs(options.parallel_syncs),
        OptionChange::AuthUser(options.auth_user.clone()),
        OptionChange::AuthPass(options.auth_pass.clone()),
        OptionChange::CrashDownAfterMs(options.crash_down_after_ms),
        OptionChange::ReplicaWitness(options.replica_witness),
        OptionChange::NotificationScript(options.notification_script.clone()),
        OptionChange::ClientReconfigScript(options.client_reconfig_script.clone()),
        OptionChange::MasterRebootDownAfterMs(options.master_reboot_down_after_ms),
    ];
    all.extend(
        options
            .rename_commands
            .iter()
            .map(|(old, new)| OptionChange::RenameCommand(old.clone(), new.clone())),
    );
    all
}

/// The per-master lines as canonical text, itself a valid configuration. Holds passwords.
#[must_use]
pub fn to_lines(masters: &[MasterConfig]) -> String {
    let mut text = String::from("sentinel resolve-hostnames yes\n");
    for master in masters {
        let name = quoted(master.name.as_str());
        text.push_str(&format!(
            "sentinel monitor {name} {} {} {}\n",
            quoted(&master.address.host),
            master.address.port,
            master.options.odown_quorum
        ));
        for change in &master.given {
            if let Some(line) = option_line(&name, change) {
                text.push_str(&line);
            }
        }
        if !master.learned.is_empty() {
            text.push_str(&master.learned.to_lines(&name));
        }
    }
    text
}

fn option_line(name: &str, change: &OptionChange) -> Option<String> {
    let text = |value: &Option<String>| quoted(value.as_deref().unwrap_or_default());
    let (option, value) = match change {
        OptionChange::OdownQuorum(_) => return None,
        OptionChange::DownAfterMs(n) => ("down-after-milliseconds", n.to_string()),
        OptionChange::FailoverTimeoutMs(n) => ("failover-timeout", n.to_string()),
        OptionChange::ParallelSyncs(n) => ("parallel-syncs", n.to_string()),
        OptionChange::AuthUser(v) => ("auth-user", text(v)),
        OptionChange::AuthPass(v) => ("auth-pass", text(v)),
        OptionChange::CrashDownAfterMs(n) => ("crash-down-after-milliseconds", n.to_string()),
        OptionChange::ReplicaWitness(b) => ("replica-witness", if *b { "yes" } else { "no" }.to_owned()),
        OptionChange::NotificationScript(v) => ("notification-script", text(v)),
        OptionChange::ClientReconfigScript(v) => ("client-reconfig-script", text(v)),
        OptionChange::MasterRebootDownAfterMs(n) => ("master-reboot-down-after-period", n.to_string()),
        OptionChange::RenameCommand(old, new) => {
            ("rename-command", format!("{} {}", quoted(old), quoted(new)))
        }
    };
    Some(format!("sentinel {option} {name} {value}\n"))
}

/// A word in double quotes, so that blanks, quotes and control characters survive.
pub(crate) fn quoted(word: &str) -> String {
    let mut out = String::with_capacity(word.len().saturating_add(2));
    out.push('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads [`to_lines`] back; `None` when it is not that.
fn from_lines(text: &str) -> Option<Vec<MasterConfig>> {
    parse("", text, &mut NoIncludes).ok().map(|config| config.masters)
}
