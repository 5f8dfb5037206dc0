//! Acceptance 1: the tutorial's deployment (ACL users, two sentinels with quorum 2, then three) through a failover.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::events::Events;
use integration::harness::redis::Access;
use integration::harness::sentinel::GROUP;
use integration::harness::time::ms_between;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::watch;
use integration::harness::{Cluster, ClusterOptions, limit_ms, scenario};

const SECONDS_20: Duration = Duration::from_secs(20);

fn options(sentinels: usize) -> ClusterOptions {
    let mut options = ClusterOptions {
        sentinels,
        access: Access::Acl,
        ..ClusterOptions::default()
    };
    options.settings.down_after_ms = 60_000;
    options.settings.failover_timeout_ms = 180_000;
    options
}

#[test]
fn tutorial_with_two_sentinels() {
    scenario("tutorial_with_two_sentinels", options(2), tutorial);
}

#[test]
fn tutorial_with_three_sentinels() {
    scenario("tutorial_with_three_sentinels", options(3), tutorial);
}

fn tutorial(cluster: &mut Cluster) -> Result<()> {
    let old = cluster.master_port()?;
    expect_info(cluster, "ok", old)?;
    change_down_after_in_one_file(cluster)?;
    expect_info(cluster, "ok", old)?;

    let mut events = cluster.events()?;
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = cluster.wait_new_master(old, SECONDS_20)?;
    for index in cluster.running() {
        let at = format!("+switch-master of node {index}");
        events.wait(&at, SECONDS_20, |event| {
            event.node == index && event.name == "+switch-master"
        })?;
    }
    expect_odown(cluster, &mut events)?;
    wait_for("INFO sentinel is ok again on every node", SECONDS_20, || {
        expect_info(cluster, "ok", new)
    })?;
    expect_replication(cluster, old, new)?;
    wait_for("the logs tell the failover in order", SECONDS_20, || {
        expect_log_order(cluster)
    })?;
    expect_old_master_demoted(cluster, old)?;
    holds_for("the new master stays", Duration::from_secs(3), || {
        expect_info(cluster, "ok", new)
    })
}

/// `INFO sentinel` reads as in the reference, on every node.
fn expect_info(cluster: &Cluster, status: &str, port: u16) -> Result<()> {
    for node in &cluster.nodes {
        let wanted = format!(
            "name={GROUP},status={status},address=127.0.0.1:{port},slaves=2,sentinels={}",
            cluster.nodes.len()
        );
        let line = node.info_line()?;
        ensure!(
            line == wanted,
            "node {}: master0:{line} instead of {wanted}",
            node.index()
        );
    }
    Ok(())
}

/// Edits one file, restarts that node, and expects the change on all.
fn change_down_after_in_one_file(cluster: &mut Cluster) -> Result<()> {
    let ours = cluster.is_ours();
    for index in 0..cluster.nodes.len() {
        let node = cluster.node_mut(index)?;
        let status = node.process()?.terminate()?;
        ensure!(
            status.code() == Some(0),
            "an orderly end has exit status 0, not {status}"
        );
        node.edit_config(
            &format!("down-after-milliseconds {GROUP} 60000"),
            &format!("down-after-milliseconds {GROUP} 1500"),
        )?;
        node.start()?;
        if ours {
            break;
        }
    }
    for index in 0..cluster.nodes.len() {
        let what = format!("node {index} has the down-after that was edited into node 0's file");
        wait_for(&what, SECONDS_20, || {
            let master = cluster.node(index)?.master()?;
            let value = master.get("down-after-milliseconds").context("no such field")?;
            ensure!(value == "1500", "it is {value}");
            Ok(())
        })?;
    }
    cluster.wait_ready()
}

/// At least `quorum` nodes published `+odown`. One that is later than the quorum by more than the failover takes learns
/// of the new master while the old one is not yet down for it: it has nothing to call down any more.
fn expect_odown(cluster: &mut Cluster, events: &mut Events) -> Result<()> {
    let nodes = cluster.running();
    let count = nodes
        .iter()
        .filter(|node| events.count_at(**node, "+odown") > 0)
        .count();
    println!("+odown on {count} of {} nodes", nodes.len());
    ensure!(count >= 2, "only {count} nodes published +odown");
    Ok(())
}

/// `INFO replication` on the new master and on the replica that is left.
fn expect_replication(cluster: &Cluster, old: u16, new: u16) -> Result<()> {
    wait_for("the remaining replica follows the new master", SECONDS_20, || {
        let master = cluster.server_at(new)?.info("replication")?;
        ensure!(
            master.get("role").map(String::as_str) == Some("master"),
            "new master: {master:?}"
        );
        ensure!(
            master.get("connected_slaves").map(String::as_str) == Some("1"),
            "new master: {master:?}"
        );
        let other = cluster
            .ports_but(new)
            .into_iter()
            .find(|port| *port != old)
            .context("no other replica")?;
        let replica = cluster.server_at(other)?.info("replication")?;
        ensure!(
            replica.get("role").map(String::as_str) == Some("slave"),
            "replica: {replica:?}"
        );
        ensure!(
            replica.get("master_port") == Some(&new.to_string()),
            "replica: {replica:?}"
        );
        ensure!(
            replica.get("master_link_status").map(String::as_str) == Some("up"),
            "replica: {replica:?}"
        );
        Ok(())
    })
}

/// The event names in each log come in an order that makes sense: that of the executor tells the whole failover,
/// the others what they observed.
fn expect_log_order(cluster: &Cluster) -> Result<()> {
    const EXECUTOR: [&str; 10] = [
        "+sdown master",
        "+odown master",
        "+new-epoch",
        "+try-failover master",
        "+elected-leader master",
        "+failover-state-select-slave master",
        "+selected-slave slave",
        "+failover-state-send-slaveof-noone slave",
        "+failover-state-wait-promotion slave",
        "+promoted-slave slave",
    ];
    // A stock executor switches when it is done, ours as soon as the promotion is committed.
    const AFTER_PROMOTION: [[&str; 3]; 2] = [
        [
            "+promoted-slave slave",
            "+failover-state-reconf-slaves master",
            "+failover-end master",
        ],
        ["+promoted-slave slave", "+switch-master", "+slave slave"],
    ];
    const OBSERVER: [&str; 3] = ["+new-epoch", "+config-update-from sentinel", "+switch-master"];
    let mut executors = 0;
    for node in &cluster.nodes {
        let messages = node.log_messages()?;
        let executed = messages
            .iter()
            .any(|message| message.starts_with("+try-failover"));
        executors += usize::from(executed);
        let wanted: Vec<&[&str]> = if executed {
            vec![&EXECUTOR, &AFTER_PROMOTION[0], &AFTER_PROMOTION[1]]
        } else {
            vec![&OBSERVER]
        };
        for order in wanted {
            expect_order(&messages, order)
                .with_context(|| format!("node {} (executor: {executed})", node.index()))?;
        }
        let switches = node.log_count("+switch-master")?;
        ensure!(
            switches == 1,
            "node {} logged +switch-master {switches} times",
            node.index()
        );
    }
    ensure!(executors == 1, "{executors} nodes executed the failover");
    Ok(())
}

fn expect_order(messages: &[String], order: &[&str]) -> Result<()> {
    let mut rest = messages.iter();
    for prefix in order {
        ensure!(
            rest.any(|message| message.starts_with(prefix)),
            "{prefix} is missing or too early in the log; wanted {order:?}"
        );
    }
    Ok(())
}

/// The old master, started again from its own file, is a replica 100 ms after first contact.
fn expect_old_master_demoted(cluster: &mut Cluster, old: u16) -> Result<()> {
    let credentials = cluster.options().access.credentials();
    let ours = cluster.is_ours();
    let watch = watch::demotion(old, credentials);
    cluster.server_at_mut(old)?.launch_no_wait()?;
    let demotion = watch.wait("the old master is a replica", Duration::from_secs(30))?;
    let after_contact = ms_between(demotion.first_contact, demotion.role_slave);
    let after_start = ms_between(demotion.first_answer, demotion.role_slave);
    println!(
        "old master demoted {after_contact:.1} ms after first contact, {after_start:.1} ms after its first answer"
    );
    if ours {
        ensure!(
            after_contact <= limit_ms(100.0),
            "demoted only {after_contact:.1} ms after first contact"
        );
    }
    cluster.wait_attached()
}
