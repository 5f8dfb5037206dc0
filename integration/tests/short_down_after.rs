//! Acceptance 10: with `down-after-milliseconds 200` no failover is followed by a second one.
//!
//! On a machine with much else to do a server can really be silent that long. So a witness asks the servers, too, and a
//! round in which one of them left it waiting for half of the time says nothing and is repeated.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::time::{ms_since, now};
use integration::harness::wait::holds_for;
use integration::harness::watch::{self, Watch};
use integration::harness::{Cluster, ClusterOptions, runs, scenario};

const DOWN_AFTER: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn failovers_with_a_down_after_of_200_ms_are_single() {
    let options = ClusterOptions::down_after(200);
    scenario(
        "failovers_with_a_down_after_of_200_ms_are_single",
        options,
        |cluster| {
            let wanted = runs(6, 50);
            let mut conclusive = 0;
            for round in 0..wanted.saturating_mul(3) {
                if one_failover(cluster).with_context(|| format!("round {round}"))? {
                    conclusive += 1;
                }
                if conclusive == wanted {
                    return Ok(());
                }
            }
            println!(
                "INCONCLUSIVE: only {conclusive} of {wanted} rounds; this machine is too busy for 200 ms"
            );
            Ok(())
        },
    );
}

/// Whether it says something about the sentinels; an error if what it says is bad.
fn one_failover(cluster: &mut Cluster) -> Result<bool> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let mut events = cluster.events()?;
    let others = cluster.ports_but(old);
    let witnesses: Vec<_> = others
        .into_iter()
        .map(|port| watch::longest_silence(port, None))
        .collect();
    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    println!("new master everywhere {:.0} ms after the kill", ms_since(killed));
    let stayed = holds_for(
        "the new master stays the master",
        Duration::from_millis(1500),
        || is_master(cluster, new),
    );
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;
    let silences = witnesses.into_iter().filter_map(Watch::end);
    let silence = silences.max().context("no witness")?;
    if silence > DOWN_AFTER / 2 {
        println!("a server was silent for {silence:?}: nothing can be said");
        return Ok(false);
    }
    stayed?;
    is_master(cluster, new)?;
    for node in cluster.running() {
        for (name, wanted) in [("+switch-master", 1..=1), ("+odown", 0..=1)] {
            let count = events.count_at(node, name);
            ensure!(
                wanted.contains(&count),
                "node {node} published {name} {count} times:\n{}",
                events.describe(killed)
            );
        }
    }
    Ok(true)
}

fn is_master(cluster: &Cluster, port: u16) -> Result<()> {
    let named = cluster.master_port()?;
    ensure!(named == port, "{named} is the master now, not {port}");
    Ok(())
}
