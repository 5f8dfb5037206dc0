//! How long a proposal takes, and how long its result takes to every node. A measurement, run by hand:
//! `cargo test -p raft-store --release --test latency -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured here")]

mod common;

use std::time::Duration;

use common::{Cluster, SECOND, wait};
use raft_store::{Proposal, RaftSettings};
use tokio::time::Instant;

const PROPOSALS: usize = 500;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "{what:<44} p50 {:>9.2?}  p90 {:>9.2?}  p99 {:>9.2?}  max {:>9.2?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn proposals() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    let follower = cluster.followers(leader)[0].id;
    for (who, at) in [("raft_leader", leader), ("follower", follower)] {
        let (mut answered, mut everywhere) = (Vec::new(), Vec::new());
        for n in 0..PROPOSALS {
            let began = Instant::now();
            let answer = cluster.get(at).set(&format!("{who}-{n}")).await;
            assert!(matches!(answer, Proposal::Yes { .. }), "{answer:?}");
            answered.push(began.elapsed());
            let Proposal::Yes { index } = answer else {
                unreachable!()
            };
            for node in &cluster.nodes {
                while node.handle.state().last_applied < index {
                    tokio::task::yield_now().await;
                }
            }
            everywhere.push(began.elapsed());
        }
        report(&format!("answer at the {who}"), answered);
        report(&format!("applied on all nodes, from the {who}"), everywhere);
    }
    let began = Instant::now();
    let many = (0..1000).map(|n| {
        let node = &cluster.nodes[n % 3];
        async move { node.set(&format!("many-{n}")).await }
    });
    let answers = futures::future::join_all(many).await;
    assert!(answers.iter().all(|a| matches!(a, Proposal::Yes { .. })));
    println!("1000 proposals at once, from all nodes: {:.2?}", began.elapsed());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn elections() {
    let mut times = Vec::new();
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    for _ in 0..20 {
        let old = cluster.leader().await;
        wait("a lease", SECOND, || async {
            cluster.get(old).handle.has_fresh_lease()
        })
        .await;
        cluster.net.isolate(old, &cluster.ids()).await;
        let began = Instant::now();
        wait("a new lease", 5 * SECOND, || async {
            cluster.followers(old).iter().any(|n| n.handle.has_fresh_lease())
        })
        .await;
        times.push(began.elapsed());
        cluster.net.heal().await;
        wait("everybody follows", 5 * SECOND, || async {
            cluster.nodes.iter().all(|n| n.handle.status().has_majority)
        })
        .await;
    }
    report("raft_leader cut off to lease of the next", times);
    cluster.stop().await;
}

/// Processor time used by this process, in clock ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|f| f.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn idle() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    cluster.leader().await;
    let before = cpu_ticks();
    tokio::time::sleep(10 * SECOND).await;
    println!(
        "three idle nodes in one process: {:.1} % of one processor",
        (cpu_ticks() - before) as f64 / 10.0
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn many_groups() {
    let cluster = Cluster::founded(3, RaftSettings::default()).await;
    let leader = cluster.leader().await;
    for block in 0..4 {
        let mut answered = Vec::new();
        for n in 0..500 {
            let began = Instant::now();
            cluster.get(leader).must_set(&format!("master-{block}-{n}")).await;
            answered.push(began.elapsed());
        }
        report(
            &format!("{} to {} groups", block * 500, (block + 1) * 500),
            answered,
        );
    }
    cluster.stop().await;
}
