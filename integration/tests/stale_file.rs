//! Files that classic sentinels wrote, two of them stale: the former master answers, as a master, and the sentinel whose
//! file names the true one is the last to speak. The true master must keep its data.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::Value;
use integration::harness::sentinel::GROUP;
use integration::harness::time::pause_ms;
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions};

const PATIENCE: Duration = Duration::from_secs(40);

/// What Sentinel adds to a file at a failover.
fn learned(epoch: u64, replicas: [u16; 2]) -> String {
    let [one, two] = replicas.map(|port| format!("sentinel known-replica {GROUP} 127.0.0.1 {port}\n"));
    format!("sentinel config-epoch {GROUP} {epoch}\nsentinel current-epoch {epoch}\n{one}{two}")
}

/// The first server was the master once and is alone; the third follows the second.
fn move_on(cluster: &Cluster) -> Result<[u16; 3]> {
    let [old, new, other] = cluster.servers.as_slice() else {
        anyhow::bail!("not three servers");
    };
    let ports = [old.port(), new.port(), other.port()];
    ensure!(new.client()?.command(&["REPLICAOF", "NO", "ONE"])?.is_ok());
    let follow = ["REPLICAOF", "127.0.0.1", &ports[1].to_string()];
    ensure!(other.client()?.command(&follow)?.is_ok());
    ensure!(new.client()?.command(&["SET", "true", "master"])?.is_ok());
    ensure!(old.client()?.command(&["SET", "former", "master"])?.is_ok());
    wait_for("the third server follows the second", PATIENCE, || {
        let size = other.client()?.command(&["EXISTS", "true"])?;
        ensure!(matches!(size, Value::Int(1)), "{size:?}");
        Ok(())
    })?;
    Ok(ports)
}

fn append(cluster: &Cluster, index: usize, text: &str) -> Result<()> {
    let path = cluster.node(index)?.config_path();
    let before = std::fs::read_to_string(&path)?;
    std::fs::write(path, before + text).context("sentinel.conf")
}

fn holds_the_truth(cluster: &Cluster, port: u16) -> Result<()> {
    let server = cluster.server_at(port)?;
    ensure!(server.role()? == "master", "the true master was demoted");
    let size = server.client()?.command(&["EXISTS", "true"])?;
    ensure!(matches!(size, Value::Int(1)), "its data are gone");
    Ok(())
}

fn the_last_file_wins(cluster: &mut Cluster) -> Result<()> {
    let [old, new, other] = move_on(cluster)?;
    // The lowest address founds the group: the one that knows better is another.
    let ports = cluster.sentinel_ports();
    let knows = (0..ports.len())
        .max_by_key(|index| ports[*index])
        .context("none")?;
    for index in 0..ports.len() {
        if index == knows {
            let line = |port: u16| format!("sentinel monitor {GROUP} 127.0.0.1 {port} ");
            cluster.node(index)?.edit_config(&line(old), &line(new))?;
            append(cluster, index, &learned(5, [old, other]))?;
        } else {
            append(cluster, index, &learned(2, [new, other]))?;
        }
    }
    for node in &mut cluster.nodes {
        node.launch()?;
    }
    let stale: Vec<usize> = (0..ports.len()).filter(|index| *index != knows).collect();
    wait_for("the group is founded", PATIENCE, || {
        let founded = stale
            .iter()
            .map(|index| cluster.node(*index)?.log_count("founded the group"));
        let founded: usize = founded.sum::<Result<usize>>()?;
        ensure!(founded > 0);
        Ok(())
    })?;
    cluster.node_mut(knows)?.process()?.freeze()?;
    wait_for("a file is taken over", PATIENCE, || {
        cluster.node(stale[0])?.master_port()
    })?;
    // Longer than the first look at a server takes, and than it takes to re-point one.
    for _ in 0..30 {
        pause_ms(100);
        holds_the_truth(cluster, new)?;
    }
    cluster.node_mut(knows)?.process()?.thaw()?;
    wait_for("all name the true master", PATIENCE, || {
        holds_the_truth(cluster, new)?;
        for node in &cluster.nodes {
            ensure!(node.master_port()? == new, "node {} names another", node.index());
        }
        Ok(())
    })?;
    cluster.wait_ready()?;
    holds_the_truth(cluster, new)
}

#[test]
fn the_true_master_keeps_its_data_until_the_file_that_names_it_has_come() {
    let name = "the_true_master_keeps_its_data_until_the_file_that_names_it_has_come";
    let mut cluster = Cluster::start_servers(ClusterOptions::default()).expect("servers");
    if let Err(reason) = the_last_file_wins(&mut cluster) {
        eprintln!("{}", cluster.tails(60));
        panic!("{name}: {reason:#}\nREPRODUCE WITH: cargo test -p integration -- --exact --nocapture {name}");
    }
}
