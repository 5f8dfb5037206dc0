//! A classic sentinel that watches the same master: it is warned of, and nothing that it says is believed. Uses the
//! system's `redis-sentinel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::redis::Access;
use integration::harness::scenario::is_here;
use integration::harness::sentinel::{GROUP, Program, Sentinel, Settings};
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

fn view(cluster: &Cluster) -> Result<Vec<BTreeMap<String, String>>> {
    let keys = ["ip", "port", "config-epoch", "num-other-sentinels", "num-slaves"];
    let mut views = Vec::new();
    for node in &cluster.nodes {
        let mut master = node.master()?;
        master.retain(|key, _| keys.contains(&key.as_str()));
        views.push(master);
    }
    Ok(views)
}

#[test]
fn a_classic_sentinel_on_the_same_master_is_warned_of_and_not_believed() {
    if !is_here(
        "redis-sentinel",
        "a_classic_sentinel_on_the_same_master_is_warned_of_and_not_believed",
    ) {
        return;
    }
    for access in [Access::Open, Access::Acl] {
        let options = ClusterOptions {
            access,
            ..ClusterOptions::default()
        };
        scenario(
            "a_classic_sentinel_on_the_same_master_is_warned_of_and_not_believed",
            options,
            |cluster| classic_beside_us(cluster, access),
        );
    }
}

fn classic_beside_us(cluster: &mut Cluster, access: Access) -> Result<()> {
    let master = cluster.master_port()?;
    let before = view(cluster)?;
    let mut events = cluster.events()?;
    let folder = cluster.folder().context("no folder")?.join("classic");
    let mut classic = Sentinel::prepare(9, Program::Stock, &folder)?;
    let settings = Settings {
        odown_quorum: 1,
        extra: vec![format!("sentinel config-epoch {GROUP} 1000")],
        ..cluster.options().settings.clone()
    };
    classic.write_config(master, &[], access, &settings)?;
    classic.start()?;
    let id = classic.myid()?;
    let warning = events.wait("+foreign-sentinel", PATIENCE, |e| e.name == "+foreign-sentinel")?;
    let expected = format!(
        "sentinel {id} 127.0.0.1 {} @ {GROUP} 127.0.0.1 {master} #",
        classic.port()
    );
    ensure!(
        warning.payload.starts_with(&expected),
        "it says: {}",
        warning.payload
    );
    // Its hellos claim a much newer configuration, every 2 s.
    holds_for(
        "the classic sentinel changes nothing",
        Duration::from_secs(5),
        || {
            ensure!(
                view(cluster)? == before,
                "{:?} instead of {before:?}",
                view(cluster)?
            );
            Ok(())
        },
    )?;
    let hello = format!(
        "127.0.0.1,{},{},2000,{GROUP},127.0.0.1,1,2000",
        classic.port(),
        "9".repeat(40)
    );
    for node in &cluster.nodes {
        let reply = node.command(&["PUBLISH", "__sentinel__:hello", &hello])?;
        ensure!(
            reply.text().is_ok() || reply.error().is_none(),
            "PUBLISH was answered {reply}"
        );
    }
    for node in cluster.running() {
        events.wait("+foreign-sentinel of the publisher", PATIENCE, |e| {
            e.node == node && e.name == "+foreign-sentinel" && e.payload.contains(&"9".repeat(40))
        })?;
    }
    ensure!(view(cluster)? == before, "a published hello was believed");
    // The raft_leader listens to hellos: a later one warns as well, each of them once.
    let all = events.all();
    for node in cluster.running() {
        let warnings = all.iter().filter(|e| e.node == node && e.payload.contains(&id));
        let count = warnings.count();
        ensure!(count <= 1, "node {node} warned {count} times of one sentinel");
    }
    classic.process()?.terminate()?;
    wait_for("all is well", PATIENCE, || cluster.is_ready(0))
}
