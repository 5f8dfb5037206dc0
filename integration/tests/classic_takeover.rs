//! Take-over: classic sentinels that have been running for a while are stopped, and our nodes start on the very files
//! that they rewrote. Uses the system's `redis-sentinel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::scenario::is_here;
use integration::harness::sentinel::{GROUP, Program, Sentinel};
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

fn classic() -> ClusterOptions {
    ClusterOptions {
        program: Some(Program::Stock),
        ..ClusterOptions::default()
    }
}

/// What must not be lost.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    myid: String,
    master: u16,
    config_epoch: u64,
    replicas: BTreeSet<u16>,
}

fn seen(node: &Sentinel) -> Result<Seen> {
    let reply = node.command(&["SENTINEL", "REPLICAS", GROUP])?;
    let mut replicas = BTreeSet::new();
    for replica in reply.array()? {
        let fields: BTreeMap<String, String> = replica.pairs()?;
        replicas.insert(fields.get("port").context("no port")?.parse()?);
    }
    let epoch = node.master()?.get("config-epoch").context("no epoch")?.parse()?;
    Ok(Seen {
        myid: node.myid()?,
        master: node.master_port()?,
        config_epoch: epoch,
        replicas,
    })
}

fn all_seen(cluster: &Cluster) -> Result<Vec<Seen>> {
    cluster.nodes.iter().map(seen).collect()
}

/// A number that the file of a node says.
fn number_in_file(node: &Sentinel, line: &str) -> Result<u64> {
    let text = std::fs::read_to_string(node.config_path())?;
    let rest = text.lines().find_map(|found| found.strip_prefix(line));
    let rest = rest.with_context(|| format!("no line {line} in the file"))?;
    Ok(rest.trim().parse()?)
}

fn flush(cluster: &Cluster) -> Result<()> {
    for node in &cluster.nodes {
        let reply = node.command(&["SENTINEL", "FLUSHCONFIG"])?;
        ensure!(reply.is_ok(), "FLUSHCONFIG was answered {reply}");
    }
    Ok(())
}

/// The master dies; all nodes name the same new one, of a higher epoch.
fn fail_over(cluster: &mut Cluster) -> Result<(u16, u16)> {
    let old = cluster.master_port()?;
    let before = all_seen(cluster)?;
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    wait_for("the config epoch is higher", PATIENCE, || {
        for (before, after) in before.iter().zip(all_seen(cluster)?) {
            ensure!(
                after.config_epoch > before.config_epoch,
                "{} is not above {}",
                after.config_epoch,
                before.config_epoch
            );
        }
        Ok(())
    })?;
    Ok((old, new))
}

fn stop(cluster: &mut Cluster) -> Result<()> {
    for node in &mut cluster.nodes {
        node.process()?.terminate()?;
    }
    Ok(())
}

fn start(cluster: &mut Cluster) -> Result<()> {
    for node in &mut cluster.nodes {
        node.launch()?;
    }
    for node in &mut cluster.nodes {
        node.wait_ping()?;
    }
    Ok(())
}

fn switches(cluster: &Cluster) -> Result<Vec<usize>> {
    let nodes = cluster.nodes.iter();
    nodes.map(|node| node.log_count("+switch-master")).collect()
}

fn files(cluster: &Cluster) -> Result<Vec<String>> {
    let nodes = cluster.nodes.iter();
    nodes
        .map(|node| Ok(std::fs::read_to_string(node.config_path())?))
        .collect()
}

#[test]
fn our_nodes_go_on_where_classic_sentinels_stopped() {
    let name = "our_nodes_go_on_where_classic_sentinels_stopped";
    if !is_here("redis-sentinel", name) {
        return;
    }
    scenario(name, classic(), |cluster| {
        let (old, _) = fail_over(cluster)?;
        cluster.server_at_mut(old)?.restart()?;
        cluster.wait_ready()?;
        flush(cluster)?;
        let before = all_seen(cluster)?;
        stop(cluster)?;
        let epochs: Vec<u64> = cluster
            .nodes
            .iter()
            .map(|node| number_in_file(node, "sentinel current-epoch"))
            .collect::<Result<_>>()?;
        let switched = switches(cluster)?;

        cluster.take_over(&Program::built_here()?)?;
        let text = files(cluster)?;
        start(cluster)?;
        cluster.wait_ready()?;
        wait_for("everything is as it was", PATIENCE, || {
            let now = all_seen(cluster)?;
            ensure!(now == before, "it was {before:?} and is {now:?}");
            Ok(())
        })?;
        ensure!(
            switches(cluster)? == switched,
            "a switch was published at the start"
        );

        let (old, new) = fail_over(cluster)?;
        for (node, used) in cluster.nodes.iter().zip(&epochs) {
            let now = seen(node)?.config_epoch;
            ensure!(
                now > *used,
                "epoch {now} was used by the classic sentinels: {used}"
            );
        }
        cluster.server_at_mut(old)?.restart()?;
        cluster.wait_ready()?;
        for (before, after) in switched.iter().zip(switches(cluster)?) {
            ensure!(after - before == 1, "{} switches were published", after - before);
        }

        // The files still name the former master: nobody edited them, so they mean nothing any more.
        stop(cluster)?;
        start(cluster)?;
        cluster.wait_ready()?;
        holds_for("the same master after a restart", Duration::from_secs(1), || {
            for node in &cluster.nodes {
                ensure!(node.master_port()? == new, "node {} names another", node.index());
            }
            Ok(())
        })?;
        ensure!(files(cluster)? == text, "a file was written");
        Ok(())
    });
}

/// One sentinel missed the last failover, and the former master is still dead: only the files know it.
#[test]
fn the_newest_of_the_files_wins_and_a_dead_replica_is_remembered() {
    let name = "the_newest_of_the_files_wins_and_a_dead_replica_is_remembered";
    if !is_here("redis-sentinel", name) {
        return;
    }
    scenario(name, classic(), |cluster| {
        flush(cluster)?;
        let stale = std::fs::read(cluster.node(0)?.config_path())?;
        let (old, new) = fail_over(cluster)?;
        wait_for("all know the former master as a replica", PATIENCE, || {
            for node in all_seen(cluster)? {
                ensure!(
                    node.replicas.contains(&old) && node.replicas.len() == 2,
                    "{node:?}"
                );
            }
            Ok(())
        })?;
        flush(cluster)?;
        let before = all_seen(cluster)?;
        stop(cluster)?;
        std::fs::write(cluster.node(0)?.config_path(), stale)?;
        ensure!(number_in_file(cluster.node(0)?, &format!("sentinel config-epoch {GROUP}"))? == 0);

        cluster.take_over(&Program::built_here()?)?;
        start(cluster)?;
        wait_for("all nodes know what the newest file knew", PATIENCE, || {
            let now = all_seen(cluster)?;
            ensure!(now == before, "it was {before:?} and is {now:?}");
            Ok(())
        })?;
        cluster.server_at_mut(old)?.restart()?;
        cluster.wait_ready()?;
        ensure!(cluster.master_port()? == new, "the master has changed");
        Ok(())
    });
}
