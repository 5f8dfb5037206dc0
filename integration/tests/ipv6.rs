//! A group on `::1`: every address that is written, parsed or shown has colons in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use integration::harness::located_group::{LocatedGroup, PATIENCE, Place};
use integration::harness::ports::Port;
use integration::harness::scenario::say_skipped;
use integration::harness::wait::wait_for;

const GROUP: &str = "m";
const HOST: &str = "::1";

fn start() -> Result<LocatedGroup> {
    let folder = tempfile::Builder::new().prefix("sentinel-test-").tempdir()?;
    let ports = (0..6).map(|_| Port::reserve()).collect::<Result<Vec<_>>>()?;
    let mut servers: Vec<_> = ports
        .iter()
        .map(|port| (HOST.to_owned(), port.number()))
        .collect();
    let nodes = servers.split_off(3);
    let place = Place { servers, nodes };
    let master = place.servers[0].1;
    let server = |index: usize| match index {
        0 => String::new(),
        _ => format!("replicaof {HOST} {master}\n"),
    };
    let node = |index: usize| {
        let others = place
            .nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let peers: String = others
            .map(|(_, (host, port))| format!("sentinel peer {host} {port}\n"))
            .collect();
        format!(
            "sentinel monitor {GROUP} {HOST} {master} 2\nsentinel down-after-milliseconds {GROUP} 1000\n\
             sentinel failover-timeout {GROUP} 20000\n{peers}"
        )
    };
    LocatedGroup::start(GROUP, &place, (folder, ports), None, (&server, &node))
}

fn scenario(group: &mut LocatedGroup) -> Result<()> {
    group.wait_ready()?;
    let old = group.servers[0].port();
    addresses_are_shown(group, old)?;
    group.servers[0].process()?.kill9()?;
    let new = group.wait_new_master(&format!("{HOST} {old}"))?;
    let (host, port) = new.split_once(' ').context("an address")?;
    ensure!(host == HOST, "{new}");
    group.wait_logged(&format!("+switch-master {GROUP} {HOST} {old} {HOST} {port}"))?;
    group.servers[0].start()?;
    group.wait_replica_of(0, (HOST, port.parse()?))?;
    group.wait_ready()
}

/// Bracketed only in the names of replicas, as in Sentinel.
fn addresses_are_shown(group: &LocatedGroup, master: u16) -> Result<()> {
    let node = &group.nodes[0];
    ensure!(node.master_address(GROUP)? == format!("{HOST} {master}"));
    ensure!(node.master(GROUP)?["ip"] == HOST);
    let line = &node.info("sentinel")?["master0"];
    ensure!(line.contains(&format!("address={HOST}:{master},")), "{line}");
    let replicas = wait_for("the replicas are known", PATIENCE, || {
        let replicas = node.instances("REPLICAS", GROUP)?;
        let known = replicas.iter().filter(|replica| replica["master-host"] != "?");
        ensure!(known.count() == 2, "{replicas:?}");
        Ok(replicas)
    })?;
    for replica in replicas {
        let (name, ip, port) = (&replica["name"], &replica["ip"], &replica["port"]);
        ensure!(ip == HOST && *name == format!("[{HOST}]:{port}"), "{replica:?}");
        ensure!(replica["master-host"] == HOST, "{replica:?}");
        let event = format!("+slave slave [{HOST}]:{port} {HOST} {port} @ {GROUP} {HOST} {master}");
        group.wait_logged(&event)?;
    }
    for sentinel in node.instances("SENTINELS", GROUP)? {
        ensure!(sentinel["ip"] == HOST, "{sentinel:?}");
    }
    let port = master.to_string();
    // The same IP in another spelling.
    for host in [HOST, "0:0:0:0:0:0:0:1"] {
        let words = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", host, &port, "0", "*"];
        ensure!(node.command(&words)?.array()?[0].text()? == "0");
        let words = ["SENTINEL", "MONITOR", GROUP, host, &port, "2"];
        let reply = node.command(&words)?;
        ensure!(reply.is_ok(), "{host}: {reply}");
    }
    Ok(())
}

#[test]
fn a_group_lives_on_ipv6() {
    if let Err(why) = TcpListener::bind((HOST, 0)) {
        say_skipped(&format!("a_group_lives_on_ipv6: no {HOST} here ({why})"));
        return;
    }
    let mut group = start().unwrap();
    if let Err(why) = scenario(&mut group) {
        let tails = group.tails();
        panic!("{why:#}\n{tails}\nREPRODUCE WITH: cargo test -p integration --test ipv6");
    }
}
