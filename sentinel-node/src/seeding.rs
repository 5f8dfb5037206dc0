//! Brings the file's per-master lines into the log at start (DESIGN.md section 8; the rule itself: `config::seed`).

use std::time::Duration;

use raft_store::{Authority, LocalFacts, Proposal, RaftHandle};
use sentinel_core::replicated::{Command, Rejection, State};

use crate::clock::SharedClock;
use crate::config::{MasterConfig, seed};
use crate::names::Resolver;

/// The lines as this node last applied or wrote them.
const FACT: &str = "config-lines";
/// The lines that this node is about to write, or has written.
const NEXT: &str = "config-lines-next";
/// Deadline of one proposal.
const PROPOSE_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a round that did not go through.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until the file is applied; a node without a group or a majority tries again until it has them.
pub async fn run(
    masters: &[MasterConfig],
    facts: &LocalFacts,
    raft: &RaftHandle,
    names: &Resolver,
    clock: &SharedClock,
) {
    let remembered = recall(masters, facts).await;
    masters.iter().for_each(|master| names.want(&master.address.host));
    let mut warned = Vec::new();
    loop {
        wait_for_majority(raft).await;
        // Compare with everything committed so far, not with what happened to be on this disk.
        if let Authority::Denied(why) = raft.confirm_authority(PROPOSE_WITHIN).await {
            tracing::debug!("the lines of the configuration file have to wait: {why}");
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        let state = raft.state();
        let spelled = spelled(masters, remembered.as_deref(), &state, names);
        let seeding = seed::plan_seeding(&spelled, remembered.as_deref(), &state, clock.wall());
        warn(&seeding.warnings, &mut warned);
        if propose_all(seeding.commands, raft).await {
            break;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
    // Another node's file may have come first with other values: say where they differ.
    let state = raft.state();
    let spelled = spelled(masters, remembered.as_deref(), &state, names);
    let differences = seed::plan_seeding(&spelled, remembered.as_deref(), &state, clock.wall());
    warn(&differences.warnings, &mut warned);
    remember(facts, seed::to_lines(masters)).await;
}

/// The file of another node may have brought the same master under another spelling of its address: no difference. Only
/// at the first start: later an edited address is meant as it is written.
fn spelled(
    masters: &[MasterConfig],
    remembered: Option<&str>,
    state: &State,
    names: &Resolver,
) -> Vec<MasterConfig> {
    let mut masters = masters.to_vec();
    for master in masters.iter_mut().filter(|_| remembered.is_none()) {
        let group = state.groups.get(&master.name);
        if let Some(group) = group.filter(|group| names.same(&group.address, &master.address)) {
            master.address = group.address.clone();
        }
    }
    masters
}

async fn wait_for_majority(raft: &RaftHandle) {
    let mut status = raft.watch();
    // An error means that the engine is gone, and with it the reason to wait; the proposal will say so.
    let _ = status
        .wait_for(|s| s.has_majority && s.raft_leader.is_some())
        .await;
}

/// Proposes in order; `false` = to be planned again.
async fn propose_all(commands: Vec<Command>, raft: &RaftHandle) -> bool {
    for command in commands {
        let what = describe(&command);
        let is_import = matches!(command, Command::Import { .. });
        match raft.propose(command, PROPOSE_WITHIN).await {
            Proposal::Yes { .. } if is_import => tracing::info!("{what} is taken over"),
            Proposal::Yes { .. } => {}
            // Lost a race against another node's file: the next round compares and warns.
            Proposal::No(Rejection::DuplicateMaster) => return false,
            Proposal::No(reason) => tracing::warn!("{what} of the configuration file was refused: {reason}"),
            Proposal::NoMajority(why) | Proposal::Unknown(why) => {
                tracing::debug!("{what} of the configuration file has to wait: {why}");
                return false;
            }
        }
    }
    true
}

fn describe(command: &Command) -> String {
    match command {
        Command::Monitor { master, .. } => format!("'sentinel monitor {master}'"),
        Command::Import {
            master,
            address,
            config_epoch,
            replicas,
            ..
        } => format!(
            "what Sentinel wrote about '{master}' (master {address} of config epoch {config_epoch}, {} replicas)",
            replicas.len()
        ),
        Command::SetOptions { master, .. } => format!("a changed option of '{master}'"),
        Command::SetAddress { master, .. } => format!("the changed address of '{master}'"),
        _ => "a line".to_owned(),
    }
}

fn warn(warnings: &[String], warned: &mut Vec<String>) {
    for warning in warnings {
        if !warned.contains(warning) {
            tracing::warn!("{warning}");
            warned.push(warning.clone());
        }
    }
}

async fn recall(masters: &[MasterConfig], facts: &LocalFacts) -> Option<String> {
    let (facts, lines) = (facts.clone(), seed::to_lines(masters));
    let read = tokio::task::spawn_blocking(move || Remembered::new(&facts).recall(&lines)).await;
    read.unwrap_or_default()
}

async fn remember(facts: &LocalFacts, lines: String) {
    let facts = facts.clone();
    let written = tokio::task::spawn_blocking(move || {
        let remembered = Remembered::new(&facts);
        if let Err(why) = remembered.announce(&lines) {
            tracing::warn!("the configuration lines cannot be remembered: {why}");
        }
        remembered.store(&lines);
    });
    // Fails only while the process ends.
    let _ = written.await;
}

/// The file's per-master lines as this node knows them. Where the node itself writes the file they are put down before and
/// after: if it stops in between, either may be what the file says. All functions block on the disk.
#[derive(Debug)]
pub(crate) struct Remembered<'a> {
    facts: &'a LocalFacts,
}

impl<'a> Remembered<'a> {
    pub(crate) fn new(facts: &'a LocalFacts) -> Self {
        Self { facts }
    }

    /// What the file's `lines` are to be compared with: what they were before anybody edited them.
    fn recall(&self, lines: &str) -> Option<String> {
        match (self.get(FACT), self.get(NEXT)) {
            (Some(last), Some(next)) => Some(nearer(lines, last, next)),
            (last, next) => last.or(next),
        }
    }

    /// These lines are about to be written.
    pub(crate) fn announce(&self, lines: &str) -> Result<(), String> {
        self.put(NEXT, lines)
    }

    /// These lines were applied, or written.
    pub(crate) fn store(&self, lines: &str) {
        if let Err(why) = self.put(FACT, lines) {
            tracing::warn!("the configuration lines cannot be remembered: {why}");
        }
    }

    /// The lines announced were not written.
    pub(crate) fn take_back(&self) {
        if let Some(last) = self.get(FACT) {
            // The next start compares with both.
            let _ = self.announce(&last);
        }
    }

    fn put(&self, fact: &str, lines: &str) -> Result<(), String> {
        if self.get(fact).is_some_and(|present| present == lines) {
            return Ok(());
        }
        let written = self.facts.put(fact, lines.as_bytes());
        written.map_err(|error| error.to_string())
    }

    fn get(&self, fact: &str) -> Option<String> {
        match self.facts.get(fact) {
            Ok(bytes) => bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
            Err(error) => {
                tracing::warn!("the remembered configuration lines cannot be read: {error}");
                None
            }
        }
    }
}

/// Which of two texts `lines` was made from: the one that it shares more lines with.
fn nearer(lines: &str, last: String, next: String) -> String {
    let differing = |other: &str| {
        let only_in = |a: &str, b: &str| a.lines().filter(|line| !b.lines().any(|l| l == *line)).count();
        only_in(lines, other).saturating_add(only_in(other, lines))
    };
    if differing(&last) <= differing(&next) {
        last
    } else {
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_measured_against_the_text_it_was_made_in() {
        let (last, next) = ("a 1\nb 1\nc 1\n", "a 2\nb 2\nc 1\n");
        let of = |lines: &str| nearer(lines, last.to_owned(), next.to_owned());
        assert_eq!((of(last), of(next)), (last.to_owned(), next.to_owned()));
        assert_eq!(of("a 1\nb 1\nc 9\n"), last);
        assert_eq!(of("a 2\nb 2\nc 9\n"), next);
    }
}
