//! A master without persistence that is restarted at once comes back empty. Its replicas would copy the emptiness
//! within seconds; one of them is promoted before that (FAULTS, scenario A; stock Sentinel notices nothing).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::Value;
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
    stop_reading_info(cluster)?;
    // None of the sentinels has heard of this data when the master goes.
    let mut client = cluster.server_at(old)?.client()?;
    for number in 0..KEYS {
        client.command(&["SET", &format!("data:{number}"), &format!("of round {round}")])?;
    }
    // Replicas copy from a restarted master 5 s later by default.
    client.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "5"])?;
    client.command(&["CONFIG", "REWRITE"])?;
    for port in cluster.ports_but(old) {
        let mut replica = cluster.server_at(port)?.client()?;
        wait_for("each replica has the data", PATIENCE, || {
            let size = replica.command(&["DBSIZE"])?;
            ensure!(matches!(size, Value::Int(KEYS)), "{size:?}");
            Ok(())
        })?;
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

/// No INFO from here on but what the sentinels ask for because something is wrong.
fn stop_reading_info(cluster: &mut Cluster) -> Result<()> {
    for node in cluster.running() {
        let mut client = cluster.node(node)?.client()?;
        for period in ["100", "3600000"] {
            client.command(&["SENTINEL", "DEBUG", "INFO-PERIOD", period])?;
        }
        wait_for("the last INFO is over", PATIENCE, || {
            let reply = client.command(&["SENTINEL", "INFO-CACHE", GROUP])?;
            // The name, then age in milliseconds and text of each instance.
            let instances = reply.array()?.get(1).context("no instances")?.array()?;
            for instance in instances {
                let age = instance.array()?.first().context("no age")?.text()?;
                ensure!(age.parse::<u64>()? > 500, "one is {age} ms old");
            }
            Ok(())
        })?;
    }
    Ok(())
}
