//! Acceptance 6: all nodes are killed during a failover and started again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::time::pause_ms;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn all_nodes_killed_at_odown_finish_the_plan() {
    scenario(
        "all_nodes_killed_at_odown_finish_the_plan",
        ClusterOptions::default(),
        |cluster| {
            for round in 0..runs(3, 20) {
                let delay_ms = [0, 4, 10, 20, 40][round % 5];
                kill_all_after_odown(cluster, delay_ms)
                    .with_context(|| format!("{delay_ms} ms after +odown"))?;
            }
            Ok(())
        },
    );
}

fn kill_all_after_odown(cluster: &mut Cluster, delay_ms: u64) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let before = switches(cluster)?;
    let mut events = cluster.events()?;
    cluster.server_at_mut(old)?.process()?.kill9()?;
    events.wait("+odown", PATIENCE, |event| event.name == "+odown")?;
    pause_ms(delay_ms);
    kill_all(cluster)?;
    start_all(cluster)?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    println!("killed {delay_ms} ms after +odown: {new} is the master");
    finish(cluster, old, new, &before)
}

/// The choice is committed and nothing was done yet: the plan must be finished with the same replica.
#[test]
fn a_committed_choice_survives_the_death_of_all_nodes() {
    scenario(
        "a_committed_choice_survives_the_death_of_all_nodes",
        ClusterOptions::default(),
        |cluster| {
            if !cluster.is_ours() {
                println!("skipped: the mode is ours");
                return Ok(());
            }
            let old = cluster.master_port()?;
            let before = switches(cluster)?;
            let executor = cluster.raft_leader()?;
            let reply =
                cluster
                    .node(executor)?
                    .command(&["SENTINEL", "SIMULATE-FAILURE", "crash-after-choose"])?;
            ensure!(reply.is_ok(), "SIMULATE-FAILURE was answered {reply}");
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let status = cluster.node_mut(executor)?.process()?.wait_exit(PATIENCE)?;
            kill_all(cluster)?;
            ensure!(
                status.code() == Some(99),
                "the executor ended with {status}, not 99"
            );
            start_all(cluster)?;
            let new = cluster.wait_new_master(old, PATIENCE)?;
            finish(cluster, old, new, &before)
        },
    );
}

fn kill_all(cluster: &mut Cluster) -> Result<()> {
    for index in cluster.running() {
        cluster.node_mut(index)?.process()?.kill9_no_wait()?;
    }
    for node in &mut cluster.nodes {
        node.process()?.wait_exit(PATIENCE)?;
    }
    Ok(())
}

fn start_all(cluster: &mut Cluster) -> Result<()> {
    for node in &mut cluster.nodes {
        node.launch()?;
    }
    for node in &mut cluster.nodes {
        node.wait_ping()?;
    }
    Ok(())
}

fn switches(cluster: &Cluster) -> Result<Vec<usize>> {
    cluster
        .nodes
        .iter()
        .map(|node| node.log_count("+switch-master"))
        .collect()
}

/// Nothing is forgotten, nothing is repeated: not now, and not after one more restart of all.
fn finish(cluster: &mut Cluster, old: u16, new: u16, before: &[usize]) -> Result<()> {
    ensure!(
        cluster.server_at(new)?.role()? == "master",
        "the named server is not a master"
    );
    let epoch = epochs(cluster)?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;
    kill_all(cluster)?;
    start_all(cluster)?;
    cluster.wait_ready()?;
    holds_for(
        "the same master after one more restart of all",
        Duration::from_secs(1),
        || {
            for node in &cluster.nodes {
                let port = node.master_port()?;
                ensure!(port == new, "node {} names {port}, not {new}", node.index());
            }
            Ok(())
        },
    )?;
    wait_for("no config epoch is forgotten", PATIENCE, || {
        let now = epochs(cluster)?;
        ensure!(now == epoch, "config epochs were {epoch:?} and are {now:?}");
        Ok(())
    })?;
    for (node, (before, after)) in before.iter().zip(switches(cluster)?).enumerate() {
        let published = after - before;
        ensure!(
            published <= 1,
            "node {node} logged +switch-master {published} times for one switch"
        );
    }
    Ok(())
}

fn epochs(cluster: &Cluster) -> Result<Vec<String>> {
    cluster
        .nodes
        .iter()
        .map(|node| node.master()?.get("config-epoch").cloned().context("no epoch"))
        .collect()
}
