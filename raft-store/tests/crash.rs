//! A process that dies at any moment forgets nothing it acknowledged.
//!
//! The test runs itself as a child that appends until it aborts, opens what the child left, and goes on with the
//! next child in the same directory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{CLUSTER, Net, Node, SECOND, master, open, wait};
use raft_store::RaftSettings;
use sentinel_core::replicated::Change;

const DIR: &str = "RAFT_STORE_CRASH_DIR";
const ABORT_AFTER_US: &str = "RAFT_STORE_CRASH_AFTER_US";
const ROUNDS: u64 = 8;

async fn node(path: &Path) -> Node {
    // Many snapshots, so that some of the crashes hit one.
    let settings = RaftSettings {
        snapshot_every: 20,
        keep_entries: 5,
        ..RaftSettings::default()
    };
    let node = open(&Arc::new(Net::default()), path.to_path_buf(), settings)
        .await
        .unwrap();
    if !node.handle.is_initialised() {
        node.handle.found(&[node.id], CLUSTER).await.unwrap();
    }
    node
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of nothing_acknowledged_is_forgotten"]
async fn child_that_aborts() {
    let Ok(path) = std::env::var(DIR) else { return };
    let after = Duration::from_micros(std::env::var(ABORT_AFTER_US).unwrap().parse().unwrap());
    let node = node(&PathBuf::from(path)).await;
    wait("a raft_leader", 5 * SECOND, || async {
        node.handle.has_fresh_lease()
    })
    .await;
    let status = node.handle.status();
    say(&format!("term {}", status.raft_term));
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        std::process::abort();
    });
    for n in 0u64.. {
        let name = format!("m{}-{n}", status.raft_term);
        say(&format!("try {name}"));
        node.must_set(&name).await;
        say(&format!("ack {name}"));
    }
}

/// What one child said: its term, and the names it tried and got acknowledged.
fn run_child(path: &Path, abort_after: Duration) -> (u64, Vec<String>, Vec<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_aborts", "--ignored", "--nocapture"])
        .env(DIR, path)
        .env(ABORT_AFTER_US, abort_after.as_micros().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut term, mut tried, mut acknowledged) = (0, Vec::new(), Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("term", number)) => term = number.parse().unwrap(),
            Some(("try", name)) => tried.push(name.to_owned()),
            Some(("ack", name)) => acknowledged.push(name.to_owned()),
            _ => {}
        }
    }
    assert!(!child.wait().unwrap().success(), "the child ended by itself");
    (term, tried, acknowledged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("raft-1");
    let (mut known, mut last_term, mut id) = (Vec::new(), 0, None);
    for round in 0..ROUNDS {
        // Odd microseconds, so that the crashes fall on different steps.
        let abort_after = Duration::from_micros(40_000 + round * 13_337);
        let (term, tried, acknowledged) = run_child(&path, abort_after);
        eprintln!("round {round}: term {term}, {} acknowledged", acknowledged.len());
        assert!(
            term > last_term,
            "round {round}: term {term} after {last_term}: a vote was forgotten"
        );
        assert!(
            !acknowledged.is_empty(),
            "round {round}: aborted too early to show anything"
        );
        last_term = term;
        known.extend(acknowledged);

        let node = node(&path).await;
        assert_eq!(
            *id.get_or_insert(node.id),
            node.id,
            "round {round}: another identity"
        );
        for name in &known {
            let there = node.recovered.groups.contains_key(&master(name));
            assert!(there, "round {round}: {name} was acknowledged and is forgotten");
        }
        wait("a raft_leader", 5 * SECOND, || async {
            node.handle.has_fresh_lease()
        })
        .await;
        // What was acknowledged was applied, so it is not news; the last attempt may be.
        for applied in node.applied.read().await.iter().filter(|a| !a.replayed) {
            for change in &applied.changes {
                let Change::Monitored(group) = change else {
                    panic!("{change:?}")
                };
                assert_eq!(
                    Some(group.name.as_str()),
                    tried.last().map(String::as_str),
                    "published twice"
                );
            }
        }
        last_term = last_term.max(node.handle.status().raft_term);
        node.handle.shutdown().await;
    }
    assert!(known.len() > 50, "only {} acknowledged in all", known.len());
}
