//! Links are cut, nodes hang and restart, while every node proposes. Then everything heals.
//!
//! Must hold: what was answered with yes is there; what was answered with "not accepted" is not; all nodes
//! applied the same entries in the same order; never two nodes with a fresh lease.
//!
//! `RAFT_STORE_CHAOS_SEED` and `RAFT_STORE_CHAOS_STEPS` repeat or lengthen a run. The seed fixes the order of
//! faults, not the interleaving of tasks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{Cluster, SECOND, master, monitor, open};
use raft_store::{Proposal, RaftHandle, RaftSettings};
use sentinel_core::replicated::Change;
use sentinel_proto::types::NodeId;
use tokio::sync::{RwLock, mpsc};

/// xorshift64*: enough to choose faults.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

type Handles = Arc<RwLock<Vec<RaftHandle>>>;

/// Proposes names of its own until it is aborted; reports name and answer.
async fn propose(handles: Handles, proposer: usize, out: mpsc::UnboundedSender<(String, Proposal)>) {
    for n in 0u64.. {
        let name = format!("p{proposer}-{n}");
        let handle = handles.read().await.get(proposer).cloned().unwrap();
        let answer = handle.propose(monitor(&name), Duration::from_millis(300)).await;
        if out.send((name, answer)).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Panics when two nodes rely on their lease at one moment.
async fn watch_leases(handles: Handles) {
    loop {
        let nodes = handles.read().await.clone();
        for a in &nodes {
            for b in &nodes {
                let (a_id, b_id) = (a.status().node, b.status().node);
                // `a` holds it before and after the look at `b`, so both hold it while `b` is looked at.
                let both = a_id != b_id && a.has_fresh_lease() && b.has_fresh_lease() && a.has_fresh_lease();
                assert!(!both, "{a_id} and {b_id} both hold the lease");
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn fault(cluster: &mut Cluster, handles: &Handles, dice: &mut Dice) -> String {
    let ids = cluster.ids();
    let pick = |dice: &mut Dice| ids[dice.below(3) as usize];
    // Half of the faults meet the raft_leader.
    let chosen = pick(dice);
    let one = if dice.below(2) == 0 {
        cluster.leader_now().unwrap_or(chosen)
    } else {
        chosen
    };
    let other = pick(dice);
    match dice.below(6) {
        0 => {
            cluster.net.isolate(one, &ids).await;
            format!("isolate {one}")
        }
        1 if one != other => {
            cluster.net.cut(one, other).await;
            format!("cut {one} -> {other}")
        }
        2 if one != other => {
            cluster.net.silence(one, other).await;
            format!("silence {one} {other}")
        }
        3 => {
            let at = ids.iter().position(|id| *id == one).unwrap();
            let path = cluster.nodes.remove(at).stop(&cluster.net).await;
            let node = open(&cluster.net, path, cluster.settings.clone()).await.unwrap();
            handles.write().await[at] = node.handle.clone();
            cluster.nodes.insert(at, node);
            format!("restart {one}")
        }
        _ => {
            cluster.net.heal().await;
            "heal".to_owned()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_lose_nothing_and_never_give_two_leases() {
    let seed = number("RAFT_STORE_CHAOS_SEED", 0x5eed);
    let steps = number("RAFT_STORE_CHAOS_STEPS", 20);
    println!(
        "RAFT_STORE_CHAOS_SEED={seed} RAFT_STORE_CHAOS_STEPS={steps} cargo test -p raft-store --test chaos"
    );
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // Small enough for snapshots and their installation to happen.
    let settings = RaftSettings {
        snapshot_every: 150,
        keep_entries: 20,
        ..RaftSettings::default()
    };
    let mut cluster = Cluster::founded(3, settings).await;
    cluster.leader().await;
    let handles: Handles = Arc::new(RwLock::new(
        cluster.nodes.iter().map(|n| n.handle.clone()).collect(),
    ));
    let (out, mut answers) = mpsc::unbounded_channel();
    let mut tasks: Vec<_> = (0..3)
        .map(|p| tokio::spawn(propose(Arc::clone(&handles), p, out.clone())))
        .collect();
    drop(out);
    let leases = tokio::spawn(watch_leases(Arc::clone(&handles)));
    for step in 0..steps {
        let what = fault(&mut cluster, &handles, &mut dice).await;
        println!("step {step}: {what}");
        tokio::time::sleep(Duration::from_millis(50 + dice.below(900))).await;
        assert!(!leases.is_finished(), "two leases at step {step}, see above");
    }
    cluster.net.heal().await;
    cluster.leader().await;
    tasks.drain(..).for_each(|task| task.abort());
    let mut given: BTreeMap<String, Proposal> = BTreeMap::new();
    while let Some((name, answer)) = answers.recv().await {
        given.insert(name, answer);
    }
    // The first attempts may meet a raft_leader that is just being replaced.
    let mut last = String::new();
    for n in 0..20 {
        last = format!("last-{n}");
        let leader = cluster.leader().await;
        if matches!(cluster.get(leader).set(&last).await, Proposal::Yes { .. }) {
            break;
        }
    }
    let caught_up = || cluster.nodes.iter().all(|n| n.has(&last));
    cluster.wait("all caught up", 5 * SECOND, caught_up).await;
    leases.abort();
    check(&cluster, &given).await;
    cluster.stop().await;
}

async fn check(cluster: &Cluster, given: &BTreeMap<String, Proposal>) {
    let state = cluster.nodes[0].handle.state();
    let mut counts = [0; 3];
    for (name, answer) in given {
        let there = state.groups.contains_key(&master(name));
        match answer {
            Proposal::Yes { .. } => {
                counts[0] += 1;
                assert!(there, "{name} was accepted and is lost");
            }
            Proposal::NoMajority(_) => {
                counts[1] += 1;
                assert!(!there, "{name} was said not to be accepted and is there");
            }
            Proposal::Unknown(_) => counts[2] += 1,
            Proposal::No(why) => panic!("{name}: {why}"),
        }
    }
    println!(
        "{} accepted, {} not accepted, {} unknown",
        counts[0], counts[1], counts[2]
    );
    assert!(counts[0] > 50, "hardly anything was accepted");
    let last = cluster
        .nodes
        .iter()
        .map(|n| n.handle.state().last_applied)
        .min()
        .unwrap();
    let mut history: BTreeMap<u64, (NodeId, Vec<Change>)> = BTreeMap::new();
    for node in &cluster.nodes {
        let applied = node.applied.read().await;
        let mut before: Option<u64> = None;
        for item in applied.iter() {
            let (id, at) = (node.id, item.index);
            assert!(before.is_none_or(|b| at > b), "{id}: {at} after {before:?}");
            let follows = before.is_none_or(|b| at == b + 1);
            assert!(item.replayed || follows, "{id}: {at} after {before:?}");
            before = Some(item.index);
            // An installed snapshot says nothing about its entries.
            if item.changes.is_empty() {
                continue;
            }
            let (first, changes) = history
                .entry(item.index)
                .or_insert((node.id, item.changes.clone()));
            assert_eq!(
                *changes, item.changes,
                "entry {} at {first} and {}",
                item.index, node.id
            );
        }
    }
    let names: Vec<BTreeSet<String>> = cluster
        .nodes
        .iter()
        .map(|n| n.handle.state().groups.keys().map(ToString::to_string).collect())
        .collect();
    assert!(
        names.iter().all(|n| *n == names[0]),
        "states differ at entry {last}"
    );
}
