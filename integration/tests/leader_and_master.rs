//! Acceptance 4: master and Raft leader are killed in one instant.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::time::{ms_since, now};
use integration::harness::{Cluster, ClusterOptions, limit_ms, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const DOWN_AFTER_MS: f64 = 1000.0;
const BUDGET_MS: f64 = 1500.0;

#[test]
fn master_and_raft_leader_die_together() {
    scenario(
        "master_and_raft_leader_die_together",
        ClusterOptions::default(),
        |cluster| {
            for round in 0..runs(3, 20) {
                both_die(cluster, round).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

fn both_die(cluster: &mut Cluster, round: usize) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    // Of stock sentinels any one will do.
    let leader = if cluster.is_ours() {
        cluster.raft_leader()?
    } else {
        round % cluster.nodes.len()
    };
    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9_no_wait()?;
    cluster.node_mut(leader)?.process()?.kill9()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let took = ms_since(killed);
    println!("round {round}: new master on both survivors after {took:.0} ms");
    if cluster.is_ours() {
        let limit = DOWN_AFTER_MS + limit_ms(BUDGET_MS);
        ensure!(took <= limit, "it took {took:.0} ms, more than {limit:.0}");
    }
    ensure!(
        cluster.server_at(new)?.role()? == "master",
        "the named server is not a master"
    );
    cluster.node_mut(leader)?.start()?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()
}
