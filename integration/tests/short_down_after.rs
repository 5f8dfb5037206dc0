//! Acceptance 10: with `down-after-milliseconds 200` no failover is followed by a second one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::time::{ms_since, now};
use integration::harness::wait::holds_for;
use integration::harness::{Cluster, ClusterOptions, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn failovers_with_a_down_after_of_200_ms_are_single() {
    let options = ClusterOptions::down_after(200);
    scenario(
        "failovers_with_a_down_after_of_200_ms_are_single",
        options,
        |cluster| {
            for round in 0..runs(6, 50) {
                one_failover(cluster).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

fn one_failover(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let mut events = cluster.events()?;
    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    println!("new master everywhere {:.0} ms after the kill", ms_since(killed));
    holds_for(
        "the new master stays the master",
        Duration::from_millis(1500),
        || {
            let port = cluster.master_port()?;
            ensure!(port == new, "{port} is the master now");
            Ok(())
        },
    )?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;
    for node in cluster.running() {
        for name in ["+switch-master", "+odown"] {
            let count = events.count_at(node, name);
            let wanted = if name == "+odown" { 0..=1 } else { 1..=1 };
            ensure!(
                wanted.contains(&count),
                "node {node} published {name} {count} times:\n{}",
                events.describe(killed)
            );
        }
    }
    ensure!(cluster.master_port()? == new, "the master was changed once more");
    Ok(())
}
