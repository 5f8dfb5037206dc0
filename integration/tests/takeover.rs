//! Acceptance 3: the executor dies at each step of the plan; the others finish the same plan.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::http::get_json;
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_since, now};
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, limit_ms, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(20);

fn takeover(name: &str, mode: &'static str) {
    let mut options = ClusterOptions::default();
    // So long that nothing in here can wait for it.
    options.settings.failover_timeout_ms = 120_000;
    scenario(name, options, |cluster| {
        if !cluster.is_ours() {
            println!("skipped: the modes are ours");
            return Ok(());
        }
        for round in 0..runs(1, 10) {
            one_takeover(cluster, mode).with_context(|| format!("round {round} of {mode}"))?;
        }
        Ok(())
    });
}

fn one_takeover(cluster: &mut Cluster, mode: &str) -> Result<()> {
    cluster.wait_ready()?;
    let old = cluster.master_port()?;
    let executor = cluster.raft_leader()?;
    let reply = cluster
        .node(executor)?
        .command(&["SENTINEL", "SIMULATE-FAILURE", mode])?;
    ensure!(reply.is_ok(), "SIMULATE-FAILURE {mode} was answered {reply}");
    let selected_before = cluster.node(executor)?.log_count("+selected-slave")?;
    let switches_before = switches(cluster)?;
    let plans_before = history(cluster, executor)?;
    let mut events = cluster.events()?;
    cluster.server_at_mut(old)?.process()?.kill9()?;

    let status = cluster.node_mut(executor)?.process()?.wait_exit(PATIENCE)?;
    let crashed = now();
    ensure!(
        status.code() == Some(99),
        "the executor ended with {status}, not 99"
    );
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let took = ms_since(crashed);
    println!("{mode}: new master on both survivors {took:.0} ms after the executor's end");
    ensure!(took <= limit_ms(2000.0), "the new master took {took:.0} ms");
    ensure!(
        cluster.server_at(new)?.role()? == "master",
        "the named server is not a master"
    );

    let chosen = selected(cluster, executor, selected_before)?;
    if let Some(chosen) = chosen {
        ensure!(
            chosen == new,
            "the dead executor had chosen {chosen}, but {new} was promoted"
        );
    }
    for node in cluster.running() {
        events.wait("+switch-master of a survivor", PATIENCE, |event| {
            event.node == node && event.name == "+switch-master"
        })?;
        let epochs = events.count_at(node, "+new-epoch");
        ensure!(
            epochs == 1,
            "node {node} published +new-epoch {epochs} times: more than one plan"
        );
        wait_for("one more plan is in the history", PATIENCE, || {
            let plans = history(cluster, node)?;
            ensure!(plans == plans_before + 1, "{plans} plans, {plans_before} before");
            Ok(())
        })?;
    }
    expect_recovery(cluster, executor, old, new, &switches_before)
}

/// The dead node and the old master come back: everybody agrees, and nothing is published twice.
fn expect_recovery(
    cluster: &mut Cluster,
    executor: usize,
    old: u16,
    new: u16,
    switches_before: &[usize],
) -> Result<()> {
    cluster.node_mut(executor)?.start()?;
    wait_for("the node that died agrees", PATIENCE, || {
        let port = cluster.node(executor)?.master_port()?;
        ensure!(port == new, "it names {port}, not {new}");
        Ok(())
    })?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;
    holds_for("no second switch", Duration::from_secs(2), || {
        ensure!(cluster.master_port()? == new, "the master changed again");
        Ok(())
    })?;
    for (node, (before, after)) in switches_before.iter().zip(switches(cluster)?).enumerate() {
        let published = after - before;
        let wanted = if node == executor { 0..=1 } else { 1..=1 };
        ensure!(
            wanted.contains(&published),
            "node {node} logged +switch-master {published} times"
        );
    }
    Ok(())
}

/// Finished plans, as a node tells them.
fn history(cluster: &Cluster, node: usize) -> Result<usize> {
    let path = format!("/v1/masters/{GROUP}");
    let master = get_json(cluster.node(node)?.admin_port(), &path)?;
    Ok(master["history"].as_array().context("no history")?.len())
}

fn switches(cluster: &Cluster) -> Result<Vec<usize>> {
    cluster
        .nodes
        .iter()
        .map(|node| node.log_count("+switch-master"))
        .collect()
}

/// Port of the replica that the dead executor had chosen, if its log says so.
fn selected(cluster: &Cluster, executor: usize, before: usize) -> Result<Option<u16>> {
    let messages = cluster.node(executor)?.log_messages()?;
    let line = messages
        .iter()
        .filter(|message| message.starts_with("+selected-slave"))
        .nth(before);
    let Some(line) = line else { return Ok(None) };
    // +selected-slave slave IP:PORT IP PORT @ ...
    let port = line.split(' ').nth(4).context("no port in +selected-slave")?;
    Ok(Some(port.parse().with_context(|| line.clone())?))
}

#[test]
fn executor_dies_after_open() {
    takeover("executor_dies_after_open", "crash-after-open");
}

#[test]
fn executor_dies_after_election() {
    takeover("executor_dies_after_election", "crash-after-election");
}

#[test]
fn executor_dies_after_choose() {
    takeover("executor_dies_after_choose", "crash-after-choose");
}

#[test]
fn executor_dies_after_promotion() {
    takeover("executor_dies_after_promotion", "crash-after-promotion");
}

#[test]
fn executor_dies_after_switch() {
    takeover("executor_dies_after_switch", "crash-after-switch");
}
