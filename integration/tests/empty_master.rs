//! A master without persistence that is restarted at once comes back empty. Its replicas would copy the emptiness
//! within seconds; one of them is promoted before that (FAULTS, scenario A; stock Sentinel notices nothing).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::{Client, Value};
use integration::harness::sentinel::GROUP;
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const KEYS: i64 = 100;

#[test]
fn the_data_of_a_master_that_restarts_empty_is_kept() {
    scenario(
        "the_data_of_a_master_that_restarts_empty_is_kept",
        ClusterOptions::down_after(5_000),
        |cluster| {
            // Of stock sentinels nothing can be expected here.
            if !cluster.is_ours() {
                return Ok(());
            }
            for round in 0..runs(1, 10) {
                restart_empty(cluster, round).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

fn restart_empty(cluster: &mut Cluster, round: usize) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let mut client = cluster.server_at(old)?.client()?;
    for number in 0..KEYS {
        client.command(&["SET", &format!("data:{number}"), &format!("of round {round}")])?;
    }
    // Replicas copy from a restarted master 5 s later by default; the sentinels know of the data from INFO.
    client.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "5"])?;
    client.command(&["CONFIG", "REWRITE"])?;
    for port in cluster.sentinel_ports() {
        wait_for("each sentinel has seen the data", PATIENCE, || sees_keys(port))?;
    }
    cluster.server_at_mut(old)?.process()?.kill9()?;
    // What it once received as a replica would be loaded again.
    let dump = cluster.server_at(old)?.config_path().with_file_name("dump.rdb");
    if dump.exists() {
        std::fs::remove_file(dump)?;
    }
    cluster.server_at_mut(old)?.restart()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let size = cluster.server_at(new)?.client()?.command(&["DBSIZE"])?;
    ensure!(
        matches!(size, Value::Int(keys) if keys == KEYS),
        "the new master has {size:?} keys, not {KEYS}"
    );
    cluster.wait_ready()
}

fn sees_keys(port: u16) -> Result<()> {
    let mut client = Client::connect(port, PATIENCE)?;
    let reply = client.command(&["SENTINEL", "INFO-CACHE", GROUP])?;
    // The name, then all instances with the master first: it is the replicas' data that counts.
    let instances = reply.array()?.get(1).context("no instances")?.array()?;
    let replicas = instances.get(1..).context("no replicas")?;
    let data = format!("db0:keys={KEYS}");
    ensure!(
        replicas.iter().any(|replica| mentions(replica, &data)),
        "not yet in INFO-CACHE"
    );
    Ok(())
}

fn mentions(reply: &Value, text: &str) -> bool {
    match reply {
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).contains(text),
        _ => false,
    }
}
