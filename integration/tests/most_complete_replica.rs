//! The replica that has received most is promoted, whatever its place in any order: found when a demonstration lost
//! writes that the other replica had.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const WRITES: u64 = 2_000;
/// Together far more than the sockets of a frozen replica can hold: what they hold it still gets when it wakes up.
const VALUE_BYTES: usize = 16_384;

#[test]
fn the_replica_that_lags_is_not_promoted() {
    scenario(
        "the_replica_that_lags_is_not_promoted",
        ClusterOptions::default(),
        |cluster| {
            for round in 0..runs(2, 10) {
                lag_and_kill(cluster, round).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

/// One replica, another one each round, is frozen while writes reach the other; it wakes up when the master is gone.
fn lag_and_kill(cluster: &mut Cluster, round: usize) -> Result<()> {
    cluster.wait_ready()?;
    let master = cluster.master_port()?;
    let replicas = cluster.ports_but(master);
    let lagging = *replicas.get(round % replicas.len()).context("no replica")?;
    let complete = *replicas
        .iter()
        .find(|port| **port != lagging)
        .context("no other replica")?;
    cluster.server_at_mut(lagging)?.process()?.freeze()?;
    let mut client = cluster.server_at(master)?.client()?;
    let value = "x".repeat(VALUE_BYTES);
    for number in 0..WRITES {
        client.command(&["SET", &format!("lag:{round}:{number}"), &value])?;
    }
    wait_for("the other replica has everything", PATIENCE, || {
        let offset = |port: u16, field: &str| -> Result<u64> {
            let info = cluster.server_at(port)?.info("replication")?;
            info.get(field).context("no offset")?.parse().context("offset")
        };
        let (sent, got) = (
            offset(master, "master_repl_offset")?,
            offset(complete, "slave_repl_offset")?,
        );
        ensure!(got >= sent, "{got} of {sent} bytes");
        Ok(())
    })?;
    cluster.server_at_mut(master)?.process()?.kill9()?;
    cluster.server_at_mut(lagging)?.process()?.thaw()?;
    let new = cluster.wait_new_master(master, PATIENCE)?;
    ensure!(new == complete, "promoted {new}, which lagged behind {complete}");
    let count = format!("{:?}", cluster.server_at(new)?.client()?.command(&["DBSIZE"])?);
    println!("round {round}: promoted the complete replica; DBSIZE {count}");
    cluster.server_at_mut(master)?.restart()?;
    cluster.wait_ready()
}
