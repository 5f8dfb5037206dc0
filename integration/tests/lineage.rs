//! I6: a server that holds the data of others is neither overwritten nor adopted when it answers at an address of the
//! group, and a server of the group is known again whatever became of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::http::get_json;
use integration::harness::process::Process;
use integration::harness::resp::{Client, Value};
use integration::harness::sentinel::GROUP;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, ports::Port, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(2);
const KEYS: i64 = 50;

/// A folder with the snapshot of a database that has nothing to do with the group.
fn foreign_data(cluster: &Cluster, name: &str, with_replica: bool) -> Result<PathBuf> {
    let dir = cluster.folder().context("no folder")?.join(name);
    std::fs::create_dir_all(&dir)?;
    let port = Port::reserve()?;
    let mut server = foreign_server(&dir, port.number())?;
    let mut client = Client::connect(port.number(), REQUEST)?;
    for number in 0..KEYS {
        client.command(&["SET", &format!("foreign:{number}"), "precious"])?;
    }
    if with_replica {
        let other = Port::reserve()?;
        let place = dir.join("replica");
        std::fs::create_dir_all(&place)?;
        let mut replica = foreign_server(&place, other.number())?;
        let mut to = Client::connect(other.number(), REQUEST)?;
        to.command(&["REPLICAOF", "127.0.0.1", &port.number().to_string()])?;
        wait_for("the foreign replica is in sync", PATIENCE, || {
            let size = to.command(&["DBSIZE"])?;
            ensure!(matches!(size, Value::Int(KEYS)), "{size:?}");
            Ok(())
        })?;
        replica.kill9()?;
    }
    // Refused while the child that fed the replica is still about.
    wait_for("the snapshot is written", PATIENCE, || {
        let reply = client.command(&["SAVE"])?;
        ensure!(reply.is_ok(), "SAVE was answered {reply}");
        Ok(())
    })?;
    server.kill9()?;
    Ok(dir)
}

fn foreign_server(dir: &std::path::Path, port: u16) -> Result<Process> {
    let program = integration::harness::redis::program()?;
    let place = dir.display().to_string();
    let args = [
        "--port",
        &port.to_string(),
        "--dir",
        &place,
        "--save",
        "",
        "--bind",
        "127.0.0.1",
    ]
    .map(str::to_owned);
    let process = Process::spawn("foreign", &program, &args, dir, &dir.join("output.log"))?;
    wait_for("the foreign server answers", PATIENCE, || {
        let reply = Client::connect(port, REQUEST)?.command(&["PING"])?;
        ensure!(reply.text()? == "PONG", "{reply}");
        Ok(())
    })?;
    Ok(process)
}

fn untouched(port: u16) -> Result<()> {
    let mut client = Client::connect(port, REQUEST)?;
    let role = client
        .command(&["ROLE"])?
        .array()?
        .first()
        .context("ROLE")?
        .text()?;
    ensure!(role == "master", "it was made a {role}");
    let size = client.command(&["DBSIZE"])?;
    ensure!(matches!(size, Value::Int(KEYS)), "it has {size:?} keys");
    Ok(())
}

/// The log knows whose data this is.
fn wait_recorded(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_ready()?;
    let master = cluster.master_port()?;
    let mut client = cluster.server_at(master)?.client()?;
    for number in 0..KEYS {
        client.command(&["SET", &format!("ours:{number}"), "ours"])?;
    }
    let ports = cluster.ports_but(master).into_iter().chain([master]);
    let mut files = Vec::new();
    for port in ports {
        files.push(info(cluster, port, "server", "config_file")?);
    }
    let id = info(cluster, master, "replication", "master_replid")?;
    let path = format!("/v1/masters/{GROUP}");
    for index in cluster.running() {
        let admin = cluster.node(index)?.admin_port();
        wait_for("whose data this is is recorded", PATIENCE, || {
            let lineage = get_json(admin, &path)?["lineage"].clone();
            let knows = |list: &str, text: &String| {
                let known = lineage[list].as_array();
                known.is_some_and(|known| known.iter().any(|k| k == text.as_str()))
            };
            ensure!(knows("replication_ids", &id), "{lineage}: not {id}");
            ensure!(
                files.iter().all(|f| knows("config_files", f)),
                "{lineage}: not {files:?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn info(cluster: &Cluster, port: u16, section: &str, field: &str) -> Result<String> {
    let fields = cluster.server_at(port)?.info(section)?;
    let value = fields
        .get(field)
        .with_context(|| format!("INFO without {field}"))?;
    Ok(value.clone())
}

#[test]
fn a_foreign_server_at_a_replicas_address_is_left_alone() {
    scenario(
        "a_foreign_server_at_a_replicas_address_is_left_alone",
        ClusterOptions::default(),
        |cluster| {
            for with_replica in [false, true] {
                foreign_replica(cluster, with_replica).with_context(|| format!("{with_replica}"))?;
            }
            Ok(())
        },
    );
}

fn foreign_replica(cluster: &mut Cluster, with_replica: bool) -> Result<()> {
    wait_recorded(cluster)?;
    let data = foreign_data(cluster, &format!("foreign-{with_replica}"), with_replica)?;
    let master = cluster.master_port()?;
    let taken = *cluster.ports_but(master).first().context("no replica")?;
    let mut events = cluster.events()?;
    cluster.server_at_mut(taken)?.process()?.kill9()?;
    let mut foreign = foreign_server(&data, taken)?;
    for node in cluster.running() {
        events.wait("+foreign-instance", PATIENCE, |e| {
            e.node == node && e.name == "+foreign-instance" && e.payload.contains(&format!(":{taken} "))
        })?;
    }
    holds_for("the foreign server is untouched", Duration::from_secs(3), || {
        untouched(taken)
    })?;
    // It is no candidate either, and keeps no failover up.
    cluster.server_at_mut(master)?.process()?.kill9()?;
    let new = cluster.wait_new_master(master, PATIENCE)?;
    ensure!(new != taken, "the foreign server was promoted");
    holds_for("the foreign server is untouched", Duration::from_secs(2), || {
        untouched(taken)
    })?;
    // The real one comes back.
    foreign.kill9()?;
    for port in [taken, master] {
        cluster.server_at_mut(port)?.restart()?;
    }
    cluster.wait_ready()
}

#[test]
fn a_foreign_server_in_the_masters_place_is_not_adopted() {
    scenario(
        "a_foreign_server_in_the_masters_place_is_not_adopted",
        ClusterOptions::down_after(5_000),
        |cluster| {
            wait_recorded(cluster)?;
            let data = foreign_data(cluster, "foreign", false)?;
            let old = cluster.master_port()?;
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let mut foreign = foreign_server(&data, old)?;
            let new = cluster.wait_new_master(old, PATIENCE)?;
            let size = cluster.server_at(new)?.client()?.command(&["EXISTS", "ours:7"])?;
            ensure!(
                matches!(size, Value::Int(1)),
                "the data of the group is gone: {size:?}"
            );
            holds_for("the foreign server is untouched", Duration::from_secs(3), || {
                untouched(old)
            })?;
            let mut client = cluster.server_at(new)?.client()?;
            let strange = client.command(&["EXISTS", "foreign:7"])?;
            ensure!(
                matches!(strange, Value::Int(0)),
                "foreign data came in: {strange:?}"
            );
            foreign.kill9()?;
            cluster.server_at_mut(old)?.restart()?;
            cluster.wait_ready()
        },
    );
}

/// With an append-only file a server has a new replication id after each start, and none from before.
#[test]
fn an_old_master_with_an_append_only_file_is_demoted_when_it_returns() {
    scenario(
        "an_old_master_with_an_append_only_file_is_demoted_when_it_returns",
        ClusterOptions::default(),
        |cluster| {
            wait_recorded(cluster)?;
            let old = cluster.master_port()?;
            let mut client = cluster.server_at(old)?.client()?;
            for (name, value) in [("appendonly", "yes"), ("appendfsync", "always")] {
                ensure!(client.command(&["CONFIG", "SET", name, value])?.is_ok());
            }
            ensure!(client.command(&["CONFIG", "REWRITE"])?.is_ok());
            wait_for("the append-only file is written", PATIENCE, || {
                let info = cluster.server_at(old)?.info("persistence")?;
                ensure!(info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0");
                Ok(())
            })?;
            ensure!(client.command(&["SET", "last", "word"])?.is_ok());
            let before = cluster.server_at(old)?.info("replication")?;
            cluster.server_at_mut(old)?.process()?.kill9()?;
            cluster.wait_new_master(old, PATIENCE)?;
            // All sentinels start anew: what they saw themselves is forgotten.
            for node in cluster.running() {
                cluster.node_mut(node)?.process()?.terminate()?;
            }
            for node in 0..cluster.nodes.len() {
                cluster.node_mut(node)?.launch()?;
            }
            for node in 0..cluster.nodes.len() {
                cluster.node_mut(node)?.wait_ping()?;
            }
            cluster.server_at_mut(old)?.restart()?;
            let after = cluster.server_at(old)?.info("replication")?;
            ensure!(before["master_replid"] != after["master_replid"]);
            wait_for("the old master is a replica", PATIENCE, || {
                ensure!(cluster.server_at(old)?.role()? == "slave");
                Ok(())
            })?;
            cluster.wait_ready()
        },
    );
}

#[test]
fn a_replica_that_a_stranger_promoted_is_attached_again() {
    scenario(
        "a_replica_that_a_stranger_promoted_is_attached_again",
        ClusterOptions::default(),
        |cluster| {
            wait_recorded(cluster)?;
            let master = cluster.master_port()?;
            let replica = *cluster.ports_but(master).first().context("no replica")?;
            let mut events = cluster.events()?;
            let mut client = cluster.server_at(replica)?.client()?;
            ensure!(client.command(&["REPLICAOF", "NO", "ONE"])?.is_ok());
            client.command(&["SET", "split", "brain"])?;
            cluster.wait_ready()?;
            let seen = events.first(|e| e.name == "+foreign-instance");
            ensure!(seen.is_none(), "{seen:?}");
            ensure!(
                cluster
                    .node(0)?
                    .command(&["SENTINEL", "MASTER", GROUP])?
                    .error()
                    .is_none()
            );
            Ok(())
        },
    );
}
