//! Acceptance 9: `SENTINEL FAILOVER` of a healthy master under a client that writes every 5 ms.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_between, now};
use integration::harness::wait::wait_for;
use integration::harness::watch;
use integration::harness::writer::Writer;
use integration::harness::{Cluster, ClusterOptions, limit_ms, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_manual_failover_loses_no_acknowledged_write() {
    scenario(
        "a_manual_failover_loses_no_acknowledged_write",
        ClusterOptions::default(),
        |cluster| {
            for round in 0..runs(4, 20) {
                one_failover(cluster, round).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

fn one_failover(cluster: &mut Cluster, round: usize) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let writer = Writer::start(cluster.sentinel_ports(), Duration::from_millis(5), None);
    writer.wait_more(100, PATIENCE)?;
    let demotion = watch::demotion(old, None);
    let asked = now();
    let node = cluster.node(round % cluster.nodes.len())?;
    wait_for("SENTINEL FAILOVER is accepted", PATIENCE, || {
        let reply = node.command(&["SENTINEL", "FAILOVER", GROUP])?;
        ensure!(reply.is_ok(), "it was answered {reply}");
        Ok(())
    })?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let switched = now();
    let demoted = demotion.wait("the old master is demoted", PATIENCE)?;
    writer.wait_more(100, PATIENCE)?;
    let written = writer.stop()?;
    let missing = written.missing(new, None)?;
    let demoted_after = ms_between(switched, demoted.role_slave);
    println!(
        "round {round}: switched {:.0} ms after the command, old master demoted {demoted_after:.0} ms later, {} \
         writes, {} errors, longest gap {:.0} ms, {} lost",
        ms_between(asked, switched),
        written.acknowledged.len(),
        written.errors,
        written.longest_gap().as_secs_f64() * 1000.0,
        missing.len()
    );
    if cluster.is_ours() {
        ensure!(
            missing.is_empty(),
            "{} acknowledged writes are lost: {missing:?}",
            missing.len()
        );
        ensure!(
            demoted_after <= limit_ms(200.0),
            "the old master was demoted only after {demoted_after:.0} ms"
        );
    }
    cluster.wait_ready()
}
