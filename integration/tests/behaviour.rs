//! Behaviour of section 4 of the checklist that has no test of its own elsewhere: TILT, busy servers, slow reboots.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::Client;
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_between, now, pause_ms};
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, limit_ms, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

fn info_of(cluster: &Cluster, node: usize) -> Result<BTreeMap<String, String>> {
    let text = cluster.node(node)?.command(&["INFO", "sentinel"])?.text()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Ok(fields.map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect())
}

fn flags(cluster: &Cluster, node: usize) -> Result<String> {
    let master = cluster.node(node)?.master()?;
    master.get("flags").cloned().context("no flags")
}

#[test]
fn a_stalled_sentinel_is_in_tilt_and_changes_nothing() {
    scenario(
        "a_stalled_sentinel_is_in_tilt_and_changes_nothing",
        ClusterOptions::default(),
        |cluster| {
            let master = cluster.master_port()?;
            let leader = cluster.raft_leader()?;
            for (node, period_ms) in [(leader, 4_000), ((leader + 1) % 3, 500)] {
                stall(cluster, node, period_ms)?;
                cluster.wait_ready()?;
            }
            ensure!(cluster.master_port()? == master, "the master was changed");
            Ok(())
        },
    );
}

fn stall(cluster: &mut Cluster, node: usize, period_ms: u64) -> Result<()> {
    let debug = ["SENTINEL", "DEBUG", "tilt-period", &period_ms.to_string()];
    ensure!(cluster.node(node)?.command(&debug)?.is_ok(), "DEBUG was refused");
    let before = info_of(cluster, node)?;
    let mut events = cluster.events()?;
    cluster.node_mut(node)?.process()?.freeze()?;
    pause_ms(3_000);
    cluster.node_mut(node)?.process()?.thaw()?;
    let tilt = events.wait("+tilt", PATIENCE, |e| e.node == node && e.name == "+tilt")?;
    let during = info_of(cluster, node)?;
    let end = events.wait("-tilt", PATIENCE, |e| e.node == node && e.name == "-tilt")?;
    let lasted = ms_between(tilt.at, end.at);
    let wanted = period_ms as f64;
    ensure!(
        lasted >= wanted * 0.9 && lasted <= wanted + limit_ms(300.0),
        "TILT lasted {lasted:.0} ms, not {wanted:.0}"
    );
    if period_ms > 2_000 {
        ensure!(during["sentinel_tilt"] == "1", "INFO: {during:?}");
        ensure!(during["sentinel_tilt_since_seconds"] != "-1", "INFO: {during:?}");
    }
    let after = info_of(cluster, node)?;
    ensure!(after["sentinel_tilt"] == "0" && after["sentinel_tilt_since_seconds"] == "-1");
    let count = |info: &BTreeMap<String, String>| info["sentinel_total_tilt"].parse::<u64>();
    ensure!(count(&after)? == count(&before)? + 1, "INFO: {after:?}");
    let wrong = ["+odown", "+try-failover", "+switch-master"];
    let seen = events.first(|e| {
        wrong.contains(&e.name.as_str()) || e.name == "+sdown" && e.payload.starts_with("master ")
    });
    ensure!(
        seen.is_none(),
        "a stall of a sentinel was held against the master: {seen:?}"
    );
    Ok(())
}

/// A connection whose EVAL does not come back.
fn endless_script(cluster: &Cluster, master: u16, script: &str) -> Result<Client> {
    let server = cluster.server_at(master)?;
    server
        .client()?
        .command(&["CONFIG", "SET", "lua-time-limit", "100"])?;
    let mut client = server.client()?;
    client.send(&["EVAL", script, "0"])?;
    Ok(client)
}

#[test]
fn a_script_that_only_reads_is_killed_and_costs_no_failover() {
    scenario(
        "a_script_that_only_reads_is_killed_and_costs_no_failover",
        ClusterOptions::default(),
        |cluster| {
            let master = cluster.master_port()?;
            let mut events = cluster.events()?;
            let mut client = endless_script(cluster, master, "while true do end")?;
            client.set_read_timeout(Some(PATIENCE))?;
            let reply = client.read()?;
            ensure!(
                reply.error().is_some_and(|e| e.contains("killed")),
                "EVAL was answered {reply}"
            );
            wait_for("nobody calls the master busy any more", PATIENCE, || {
                for node in 0..3 {
                    ensure!(flags(cluster, node)? == "master", "{}", flags(cluster, node)?);
                }
                Ok(())
            })?;
            let seen = events.first(|e| e.name == "+try-failover");
            ensure!(seen.is_none(), "a failover began: {seen:?}");
            ensure!(cluster.master_port()? == master, "the master was changed");
            Ok(())
        },
    );
}

#[test]
fn a_script_that_wrote_is_not_killed_and_the_master_replaced_when_patience_ends() {
    scenario(
        "a_script_that_wrote_is_not_killed_and_the_master_replaced_when_patience_ends",
        ClusterOptions::default(),
        |cluster| {
            let old = cluster.master_port()?;
            let mut events = cluster.events()?;
            let start = now();
            let script = "redis.call('SET','a','b') while true do end";
            let client = endless_script(cluster, old, script)?;
            wait_for("SCRIPT KILL was tried", PATIENCE, || {
                let flags = flags(cluster, 0)?;
                ensure!(flags == "master,script_kill_sent", "flags are {flags}");
                Ok(())
            })?;
            let odown = events.wait("+odown", PATIENCE, |e| e.name == "+odown")?;
            let after = ms_between(start, odown.at);
            ensure!(
                after >= 14_500.0,
                "a busy server is down after {after:.0} ms already"
            );
            cluster.wait_new_master(old, PATIENCE)?;
            drop(client);
            // It can only be ended; it comes back empty, as a replica.
            cluster.server_at_mut(old)?.process()?.kill9()?;
            cluster.server_at_mut(old)?.restart()?;
            cluster.wait_ready()
        },
    );
}

#[test]
fn a_master_that_loads_for_longer_than_the_reboot_period_is_replaced() {
    scenario(
        "a_master_that_loads_for_longer_than_the_reboot_period_is_replaced",
        ClusterOptions::down_after(20_000),
        |cluster| {
            let old = cluster.master_port()?;
            let option = "master-reboot-down-after-period";
            let set = ["SENTINEL", "SET", GROUP, option, "1500"];
            ensure!(cluster.node(0)?.command(&set)?.is_ok(), "SET was refused");
            // 600 keys of 20 ms each.
            let mut client = cluster.server_at(old)?.client()?;
            for number in 0..600 {
                client.command(&["SET", &format!("key:{number}"), &"x".repeat(2_000)])?;
            }
            ensure!(client.command(&["SAVE"])?.is_ok(), "SAVE was refused");
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let mut file = OpenOptions::new()
                .append(true)
                .open(cluster.server_at(old)?.config_path())?;
            writeln!(
                file,
                "key-load-delay 20000\nloading-process-events-interval-bytes 1024"
            )?;
            let mut events = cluster.events()?;
            cluster.server_at_mut(old)?.launch_no_wait()?;
            let reboot = events.wait("+reboot", PATIENCE, |e| e.name == "+reboot")?;
            wait_for("the flag is shown", Duration::from_secs(1), || {
                let shown = flags(cluster, reboot.node)?;
                ensure!(shown.ends_with("master_reboot"), "flags are {shown}");
                Ok(())
            })?;
            let sdown = events.wait("+sdown", PATIENCE, |e| {
                e.node == reboot.node && e.name == "+sdown"
            })?;
            let after = ms_between(reboot.at, sdown.at);
            ensure!(
                (1_450.0..=1_500.0 + limit_ms(200.0)).contains(&after),
                "+sdown {after:.0} ms after +reboot"
            );
            let new = cluster.wait_new_master(old, PATIENCE)?;
            wait_for(
                "the failover does not wait for a server that loads",
                PATIENCE,
                || {
                    let state = cluster.node(0)?.info_line()?;
                    ensure!(state.contains("status=ok"), "{state}");
                    ensure!(
                        !flags(cluster, cluster_executor(cluster)?)?.contains("failover"),
                        "still open"
                    );
                    Ok(())
                },
            )?;
            wait_for("the old master is demoted once it has loaded", PATIENCE, || {
                ensure!(cluster.server_at(old)?.role()? == "slave", "still a master");
                Ok(())
            })?;
            cluster.wait_ready()?;
            holds_for("the new master stays", Duration::from_secs(1), || {
                ensure!(cluster.master_port()? == new, "the master changed again");
                Ok(())
            })
        },
    );
}

/// A node that shows `failover_in_progress`, else the first.
fn cluster_executor(cluster: &Cluster) -> Result<usize> {
    for node in 0..cluster.nodes.len() {
        if flags(cluster, node)?.contains("failover_in_progress") {
            return Ok(node);
        }
    }
    Ok(0)
}

/// What clients and scripts rely on: node-redis moves on `+slave` right after `+switch-master`, and the old master is
/// shown down as a replica of the new one.
#[test]
fn the_events_of_a_failover_come_in_sentinels_order_on_every_node() {
    scenario(
        "the_events_of_a_failover_come_in_sentinels_order_on_every_node",
        ClusterOptions::default(),
        |cluster| {
            let old = cluster.master_port()?;
            let mut events = cluster.events()?;
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let new = cluster.wait_new_master(old, PATIENCE)?;
            for node in cluster.running() {
                events.wait("+sdown of the old master as a replica", PATIENCE, |e| {
                    e.node == node
                        && e.name == "+sdown"
                        && e.payload.starts_with(&format!("slave 127.0.0.1:{old} "))
                })?;
            }
            events.wait("+failover-end", PATIENCE, |e| e.name == "+failover-end")?;
            let all: Vec<(usize, String, String)> = events
                .all()
                .iter()
                .map(|e| (e.node, e.name.clone(), e.payload.clone()))
                .collect();
            for node in cluster.running() {
                let of_node = || all.iter().filter(|(n, ..)| *n == node);
                let at = |name: &str| of_node().position(|(_, found, _)| found == name);
                let switch = at("+switch-master").context("no +switch-master")?;
                let order = [at("+new-epoch"), at("+vote-for-leader"), Some(switch)];
                ensure!(order.is_sorted() && order[0].is_some(), "node {node}: {order:?}");
                ensure!(
                    at("+odown") < Some(switch),
                    "node {node}: +odown after the switch"
                );
                ensure!(
                    at("-odown").is_none(),
                    "node {node}: the new master was never down"
                );
                let after: Vec<_> = of_node().skip(switch + 1).take(2).collect();
                let of_new = format!("@ {GROUP} 127.0.0.1 {new}");
                ensure!(
                    after
                        .iter()
                        .all(|(_, name, payload)| name == "+slave" && payload.ends_with(&of_new)),
                    "node {node}: after +switch-master come {after:?}"
                );
                let last = format!("slave 127.0.0.1:{old} 127.0.0.1 {old} {of_new}");
                ensure!(
                    after[1].2 == last,
                    "node {node}: the old master comes last: {after:?}"
                );
            }
            cluster.server_at_mut(old)?.restart()?;
            cluster.wait_ready()
        },
    );
}

#[test]
fn new_credentials_make_the_links_anew_and_a_wrong_password_is_no_failover() {
    scenario(
        "new_credentials_make_the_links_anew_and_a_wrong_password_is_no_failover",
        ClusterOptions::default(),
        |cluster| {
            let master = cluster.master_port()?;
            let mut events = cluster.events()?;
            let set = [
                "SENTINEL",
                "SET",
                GROUP,
                "auth-user",
                "nobody",
                "auth-pass",
                "wrong",
            ];
            ensure!(cluster.node(0)?.command(&set)?.is_ok(), "SET was refused");
            for node in cluster.running() {
                wait_for("the links are gone", PATIENCE, || {
                    let shown = flags(cluster, node)?;
                    ensure!(shown == "master,disconnected", "flags are {shown}");
                    Ok(())
                })?;
            }
            holds_for("nobody calls it down", Duration::from_secs(2), || {
                let seen = events.first(|e| e.name == "+sdown" || e.name == "+odown");
                ensure!(seen.is_none(), "{seen:?}");
                Ok(())
            })?;
            let port = format!("127.0.0.1:{master} refuses this sentinel");
            for node in &cluster.nodes {
                ensure!(
                    node.log_count(&port)? == 1,
                    "node {} does not say why",
                    node.index()
                );
            }
            let unset = ["SENTINEL", "SET", GROUP, "auth-user", "", "auth-pass", ""];
            ensure!(cluster.node(0)?.command(&unset)?.is_ok(), "SET was refused");
            cluster.wait_ready()?;
            ensure!(cluster.master_port()? == master, "the master was changed");
            Ok(())
        },
    );
}
