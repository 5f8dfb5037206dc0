//! Nobody can be promoted: SENTINEL FAILOVER says so at once, and a dead master's group waits without a flood of attempts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::harness::sentinel::GROUP;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

fn set_on(cluster: &Cluster, ports: &[u16], name: &str, value: &str) -> Result<()> {
    for port in ports {
        let mut client = cluster.server_at(*port)?.client()?;
        ensure!(client.command(&["CONFIG", "SET", name, value])?.is_ok());
    }
    Ok(())
}

fn count(cluster: &Cluster, line: &str) -> Result<usize> {
    let counts = cluster.nodes.iter().map(|node| node.log_count(line));
    counts.sum()
}

/// Waits until every node shows this of both replicas.
fn all_know(cluster: &Cluster, what: impl Fn(&BTreeMap<String, String>) -> bool) -> Result<()> {
    for node in &cluster.nodes {
        wait_for("the replicas are known as they are", PATIENCE, || {
            let reply = node.command(&["SENTINEL", "REPLICAS", GROUP])?;
            for replica in reply.array()? {
                let fields = replica.pairs()?;
                ensure!(what(&fields), "{fields:?}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Refused on every node, and nothing is executed.
fn refused_at_once(cluster: &Cluster) -> Result<()> {
    for node in &cluster.nodes {
        let reply = node.command(&["SENTINEL", "FAILOVER", GROUP])?;
        let text = reply.error().unwrap_or_default();
        ensure!(text.starts_with("NOGOODSLAVE"), "FAILOVER was answered {reply}");
    }
    Ok(())
}

#[test]
fn with_priority_zero_everywhere_nothing_is_tried_until_a_replica_may_be_promoted() {
    let name = "with_priority_zero_everywhere_nothing_is_tried_until_a_replica_may_be_promoted";
    scenario(name, ClusterOptions::default(), |cluster| {
        let master = cluster.master_port()?;
        let replicas = cluster.ports_but(master);
        set_on(cluster, &replicas, "replica-priority", "0")?;
        all_know(cluster, |fields| fields["slave-priority"] == "0")?;
        refused_at_once(cluster)?;
        ensure!(count(cluster, "Executing user requested FAILOVER")? == 0);

        cluster.server_at_mut(master)?.process()?.kill9()?;
        wait_for("it is said why nothing is done", PATIENCE, || {
            ensure!(count(cluster, "-failover-abort-no-good-slave")? > 0);
            Ok(())
        })?;
        holds_for("nothing is tried", Duration::from_secs(5), || {
            ensure!(count(cluster, "+try-failover")? == 0, "a failover was tried");
            // Once by each raft_leader: a busy machine may elect another one.
            let said = count(cluster, "-failover-abort-no-good-slave")?;
            ensure!(said <= cluster.nodes.len(), "said {said} times");
            Ok(())
        })?;
        set_on(cluster, &replicas[..1], "replica-priority", "100")?;
        let new = cluster.wait_new_master(master, PATIENCE)?;
        ensure!(new == replicas[0], "{new} was promoted");
        cluster.server_at_mut(master)?.restart()?;
        cluster.wait_ready()
    });
}

#[test]
fn replicas_that_were_cut_off_for_too_long_are_no_candidates() {
    let name = "replicas_that_were_cut_off_for_too_long_are_no_candidates";
    scenario(name, ClusterOptions::down_after(300), |cluster| {
        let master = cluster.master_port()?;
        let replicas = cluster.ports_but(master);
        // A password that the master does not know of.
        set_on(cluster, &replicas, "masterauth", "wrong")?;
        let mut client = cluster.server_at(master)?.client()?;
        client.command(&["CLIENT", "KILL", "TYPE", "replica"])?;
        // Ten times down-after.
        all_know(cluster, |fields| {
            fields["master-link-down-time"]
                .parse::<u64>()
                .is_ok_and(|ms| ms > 3_000)
        })?;
        refused_at_once(cluster)?;
        set_on(cluster, &replicas, "masterauth", "")?;
        cluster.wait_ready()?;
        wait_for("FAILOVER is accepted again", PATIENCE, || {
            let reply = cluster.node(0)?.command(&["SENTINEL", "FAILOVER", GROUP])?;
            ensure!(reply.is_ok(), "{reply}");
            Ok(())
        })?;
        cluster.wait_new_master(master, PATIENCE)?;
        cluster.wait_ready()
    });
}
