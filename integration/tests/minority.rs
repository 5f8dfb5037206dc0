//! Acceptance 7: two of three nodes are down.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_since, now};
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, limit_ms, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn one_of_three_nodes_answers_and_does_nothing() {
    scenario(
        "one_of_three_nodes_answers_and_does_nothing",
        ClusterOptions::default(),
        minority,
    );
}

fn minority(cluster: &mut Cluster) -> Result<()> {
    let master = cluster.master_port()?;
    // The hardest case: the survivor was the Raft leader.
    let survivor = if cluster.is_ours() {
        cluster.raft_leader()?
    } else {
        0
    };
    let dead: Vec<usize> = (0..cluster.nodes.len())
        .filter(|index| *index != survivor)
        .collect();
    for index in &dead {
        cluster.node_mut(*index)?.process()?.kill9()?;
    }
    let mut events = cluster.events()?;
    reads_are_answered(cluster, survivor, master)?;
    connections_have_ended(cluster, survivor)?;
    writes_are_refused(cluster, survivor)?;
    wait_for("CKQUORUM says that there is no quorum", PATIENCE, || {
        let reply = cluster
            .node(survivor)?
            .command(&["SENTINEL", "CKQUORUM", GROUP])?;
        let text = reply
            .error()
            .with_context(|| format!("CKQUORUM was answered {reply}"))?
            .to_owned();
        ensure!(text.starts_with("NOQUORUM"), "CKQUORUM was answered {text}");
        Ok(())
    })?;
    holds_for("the healthy master is left alone", Duration::from_secs(3), || {
        let role = cluster.server_at(master)?.role()?;
        ensure!(role == "master", "it is a {role}");
        let info = cluster.server_at(master)?.info("replication")?;
        ensure!(
            info.get("connected_slaves").map(String::as_str) == Some("2"),
            "{info:?}"
        );
        Ok(())
    })?;
    ensure!(
        events.first(|event| event.name == "+try-failover").is_none(),
        "it tried a failover"
    );

    cluster.server_at_mut(master)?.process()?.kill9()?;
    let replicas = cluster.ports_but(master);
    holds_for("no failover without a majority", Duration::from_secs(5), || {
        for port in &replicas {
            let role = cluster.server_at(*port)?.role()?;
            ensure!(role == "slave", "{port} is a {role}");
        }
        Ok(())
    })?;
    ensure!(
        events.first(|event| event.name == "+switch-master").is_none(),
        "it published a switch"
    );
    writes_are_refused(cluster, survivor)?;

    for index in &dead {
        cluster.node_mut(*index)?.start()?;
    }
    let new = cluster.wait_new_master(master, PATIENCE)?;
    ensure!(replicas.contains(&new), "the new master is {new}");
    cluster.server_at_mut(master)?.restart()?;
    cluster.wait_ready()
}

fn reads_are_answered(cluster: &Cluster, survivor: usize, master: u16) -> Result<()> {
    let node = cluster.node(survivor)?;
    let port = node.master_port()?;
    ensure!(port == master, "it names {port}, not {master}");
    let reply = node.master()?;
    ensure!(
        reply.get("name").map(String::as_str) == Some(GROUP),
        "SENTINEL MASTER: {reply:?}"
    );
    let masters = node.command(&["SENTINEL", "MASTERS"])?;
    ensure!(masters.array()?.len() == 1, "SENTINEL MASTERS: {masters}");
    let replicas = node.command(&["SENTINEL", "REPLICAS", GROUP])?;
    ensure!(replicas.array()?.len() == 2, "SENTINEL REPLICAS: {replicas}");
    Ok(())
}

/// From then on it is known that nobody hears a proposal.
fn connections_have_ended(cluster: &Cluster, survivor: usize) -> Result<()> {
    if !cluster.is_ours() {
        return Ok(());
    }
    wait_for("the survivor has seen the connections end", PATIENCE, || {
        let sentinels = cluster
            .node(survivor)?
            .command(&["SENTINEL", "SENTINELS", GROUP])?;
        for sentinel in sentinels.array()? {
            let fields: BTreeMap<String, String> = sentinel.pairs()?;
            ensure!(fields["flags"].contains("disconnected"), "{fields:?}");
        }
        Ok(())
    })
}

/// `-NOQUORUM` within 2 s, by an idle client and again.
fn writes_are_refused(cluster: &Cluster, survivor: usize) -> Result<()> {
    if !cluster.is_ours() {
        return Ok(());
    }
    for _ in 0..2 {
        let mut client = cluster.node(survivor)?.client()?;
        client.set_read_timeout(Some(PATIENCE))?;
        let asked = now();
        let reply = client.command(&["SENTINEL", "SET", GROUP, "parallel-syncs", "2"])?;
        let took = ms_since(asked);
        let text = reply
            .error()
            .with_context(|| format!("SET was answered {reply}"))?;
        ensure!(text.starts_with("NOQUORUM"), "SET was answered -{text}");
        ensure!(!text.contains("unknown"), "it was proposed in vain: -{text}");
        println!("-NOQUORUM after {took:.0} ms");
        ensure!(took <= limit_ms(2000.0), "the answer took {took:.0} ms");
    }
    Ok(())
}
