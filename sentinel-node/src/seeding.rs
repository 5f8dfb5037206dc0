//! Brings the file's per-master lines into the log at start (DESIGN.md section 8; the rule itself: `config::seed`).

use std::time::Duration;

use raft_store::{Authority, LocalFacts, Proposal, RaftHandle};
use sentinel_core::replicated::{Command, Rejection};

use crate::clock::SharedClock;
use crate::config::{MasterConfig, seed};

/// The lines as this node last applied them.
const FACT: &str = "config-lines";
/// Deadline of one proposal.
const PROPOSE_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a round that did not go through.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until the file is applied; a node without a group or a majority tries again until it has them.
pub async fn run(masters: &[MasterConfig], facts: &LocalFacts, raft: &RaftHandle, clock: &SharedClock) {
    let remembered = recall(facts).await;
    let mut warned = Vec::new();
    loop {
        wait_for_majority(raft).await;
        // Compare with everything committed so far, not with what happened to be on this disk.
        if let Authority::Denied(why) = raft.confirm_authority(PROPOSE_WITHIN).await {
            tracing::debug!("the lines of the configuration file have to wait: {why}");
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        let seeding = seed::plan_seeding(masters, remembered.as_deref(), &raft.state(), clock.wall());
        warn(&seeding.warnings, &mut warned);
        if propose_all(seeding.commands, raft).await {
            break;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
    // Another node's file may have come first with other values: say where they differ.
    let differences = seed::plan_seeding(masters, remembered.as_deref(), &raft.state(), clock.wall());
    warn(&differences.warnings, &mut warned);
    remember(facts, seed::to_lines(masters)).await;
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

async fn recall(facts: &LocalFacts) -> Option<String> {
    let facts = facts.clone();
    let read = tokio::task::spawn_blocking(move || facts.get(FACT)).await;
    match read {
        Ok(Ok(bytes)) => bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
        Ok(Err(error)) => {
            tracing::warn!("the remembered configuration lines cannot be read: {error}");
            None
        }
        Err(_) => None,
    }
}

async fn remember(facts: &LocalFacts, lines: String) {
    let facts = facts.clone();
    let written = tokio::task::spawn_blocking(move || facts.put(FACT, lines.as_bytes())).await;
    if let Ok(Err(error)) = written {
        tracing::warn!("the configuration lines cannot be remembered: {error}");
    }
}
