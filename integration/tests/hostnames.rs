//! Host names: everywhere, in several spellings, moving, gone, and with a resolver that hangs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::located::{Located, PrivateNames};
use integration::harness::located_group::{LocatedGroup, PATIENCE, Place};
use integration::harness::ports::Port;
use integration::harness::scenario::say_skipped;
use integration::harness::wait::{holds_for, wait_for};

const GROUP: &str = "m";

/// Three data servers at one port of three addresses, three sentinels.
struct Deployment {
    group: LocatedGroup,
    names: Option<PrivateNames>,
    port: u16,
}

impl Deref for Deployment {
    type Target = LocatedGroup;
    fn deref(&self) -> &LocatedGroup {
        &self.group
    }
}

impl DerefMut for Deployment {
    fn deref_mut(&mut self) -> &mut LocatedGroup {
        &mut self.group
    }
}

/// IP of data server `index`.
fn ip(index: usize) -> String {
    format!("127.0.0.{}", 11 + index)
}

/// `db1`, `db2`, `db3` and `s1`, `s2`, `s3`.
const HOSTS: &str = "127.0.0.11 db1\n127.0.0.12 db2\n127.0.0.13 db3\n127.0.0.1 s1 s2 s3\n";

impl Deployment {
    /// `server` and `node` give the lines of each file, from its index and the ports of the servers and of the nodes.
    fn start(
        private: bool,
        server: impl Fn(usize, u16) -> String,
        node: impl Fn(usize, u16, &[u16]) -> String,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sentinel-test-").tempdir()?;
        let names = private.then(|| PrivateNames::new(folder.path())).transpose()?;
        if let Some(names) = &names {
            names.set_hosts(HOSTS)?;
        }
        let ports = (0..4).map(|_| Port::reserve()).collect::<Result<Vec<_>>>()?;
        let port = ports[0].number();
        let own: Vec<u16> = ports[1..].iter().map(Port::number).collect();
        let server_ip = |index: usize| match index {
            0 if !private => "127.0.0.1".to_owned(),
            _ => ip(index),
        };
        let place = Place {
            servers: (0..3).map(|index| (server_ip(index), port)).collect(),
            nodes: own.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect(),
        };
        let server = |index: usize| server(index, port);
        let node = |index: usize| {
            let peers: Vec<u16> = own.iter().copied().filter(|at| *at != own[index]).collect();
            node(index, port, &peers)
        };
        let group = LocatedGroup::start(GROUP, &place, (folder, ports), names.as_ref(), (&server, &node))?;
        Ok(Self { group, names, port })
    }

    fn wait_replica_of(&self, replica: usize, host: &str) -> Result<()> {
        self.group.wait_replica_of(replica, (host, self.port))
    }

    /// Index of the server at `ip port`.
    fn server_at(&self, address: &str) -> Result<usize> {
        let found = (0..3).find(|index| address == format!("{} {}", ip(*index), self.port));
        found.with_context(|| format!("nobody is at {address}"))
    }

    /// The values of one field of all replicas, sorted.
    fn replicas(&self, node: usize, field: &str) -> Result<Vec<String>> {
        let replicas = self.nodes[node].instances("REPLICAS", GROUP)?;
        let mut values: Vec<String> = replicas.iter().map(|r| r[field].clone()).collect();
        values.sort();
        Ok(values)
    }

    /// Pairs of lines that say that a replica was corrected, in any sentinel's log.
    fn corrections(&self) -> Vec<String> {
        let lines = |node: &Located| -> Vec<String> {
            let log = node.log();
            let wrong =
                |line: &&str| line.contains("+fix-slave-config") || line.contains("+convert-to-slave");
            log.lines().filter(wrong).map(str::to_owned).collect()
        };
        self.nodes.iter().flat_map(lines).collect()
    }

    fn set_announce(&self, yes_no: &str) -> Result<()> {
        for node in &self.nodes {
            let reply = node.command(&["SENTINEL", "CONFIG", "SET", "announce-hostnames", yes_no])?;
            ensure!(reply.is_ok(), "{reply}");
        }
        Ok(())
    }
}

fn monitor(host: &str, port: u16) -> String {
    format!(
        "sentinel resolve-hostnames yes\nsentinel monitor {GROUP} {host} {port} 2\n\
         sentinel down-after-milliseconds {GROUP} 1000\nsentinel failover-timeout {GROUP} 20000\n"
    )
}

fn named_server(index: usize, port: u16) -> String {
    let own = format!(
        "replica-announce-ip db{}\nreplica-announce-port {port}\n",
        index + 1
    );
    match index {
        0 => own,
        // In a spelling of its own.
        1 => format!("{own}replicaof 127.0.0.11 {port}\n"),
        _ => format!("{own}replicaof db1 {port}\n"),
    }
}

fn named_node(index: usize, port: u16, peers: &[u16]) -> String {
    let peers = peers.iter().map(|peer| format!("sentinel peer s1 {peer}\n"));
    let announced = format!("sentinel announce-ip s{}\n", index + 1);
    monitor("db1", port) + &announced + &peers.collect::<String>()
}

/// Runs a scenario in a private world of names; says why where that is not possible.
fn named(name: &str, scenario: impl FnOnce(&mut Deployment) -> Result<()>) {
    named_with(name, named_server, scenario);
}

fn named_with(
    name: &str,
    server: impl Fn(usize, u16) -> String,
    scenario: impl FnOnce(&mut Deployment) -> Result<()>,
) {
    let probe = tempfile::tempdir().unwrap();
    if let Err(why) = PrivateNames::new(probe.path()) {
        say_skipped(&format!("{name}: {why:#}"));
        return;
    }
    run(name, Deployment::start(true, server, named_node), scenario);
}

fn run(name: &str, started: Result<Deployment>, scenario: impl FnOnce(&mut Deployment) -> Result<()>) {
    let mut deployment = started.unwrap();
    if let Err(why) = scenario(&mut deployment) {
        let tails = deployment.tails();
        panic!("{why:#}\n{tails}\nREPRODUCE WITH: cargo test -p integration --test hostnames {name}");
    }
}

#[test]
fn localhost_is_one_address_in_any_spelling() {
    let name = "localhost_is_one_address_in_any_spelling";
    let server = |index: usize, port: u16| match index {
        0 => String::new(),
        _ => format!("replica-announce-ip {}\nreplicaof 127.0.0.1 {port}\n", ip(index)),
    };
    // A name that every machine has; one sentinel's file has the IP.
    let node = |index: usize, port: u16, peers: &[u16]| {
        let peers = peers
            .iter()
            .map(|peer| format!("sentinel peer localhost {peer}\n"));
        let host = if index == 2 { "127.0.0.1" } else { "localhost" };
        monitor(host, port) + &peers.collect::<String>()
    };
    run(name, Deployment::start(false, server, node), |deployment| {
        deployment.wait_ready()?;
        let port = deployment.port;
        let old = format!("127.0.0.1 {port}");
        for node in &deployment.nodes {
            ensure!(
                node.master_address(GROUP)? == old,
                "{}",
                node.master_address(GROUP)?
            );
            ensure!(
                !node.log().contains("the group's value is used"),
                "a warning about the same address"
            );
        }
        deployment.servers[0].process()?.kill9()?;
        let new = deployment.wait_new_master(&old)?;
        let master = deployment.server_at(&new)?;
        deployment.servers[0].start()?;
        deployment.wait_replica_of(0, &ip(master))?;
        deployment.wait_ready()
    });
}

#[test]
fn names_are_followed_shown_and_announced() {
    named("names_are_followed_shown_and_announced", |deployment| {
        deployment.wait_ready()?;
        let port = deployment.port;
        ensure!(deployment.nodes[0].master_address(GROUP)? == format!("127.0.0.11 {port}"));
        for node in 0..3 {
            ensure!(deployment.replicas(node, "ip")? == ["127.0.0.12", "127.0.0.13"]);
        }
        ensure!(
            deployment.replicas(0, "name")? == [format!("127.0.0.12:{port}"), format!("127.0.0.13:{port}")]
        );
        wait_for("the names of the sentinels are looked up", PATIENCE, || {
            let sentinels = deployment.nodes[0].instances("SENTINELS", GROUP)?;
            let resolved = |sentinel: &BTreeMap<String, String>| sentinel["ip"] == "127.0.0.1";
            ensure!(sentinels.iter().all(resolved), "{sentinels:?}");
            Ok(())
        })?;
        ensure!(
            deployment.nodes[0].info("sentinel")?["master0"].contains(&format!("address=127.0.0.11:{port},"))
        );
        deployment.set_announce("yes")?;
        ensure!(deployment.nodes[1].master_address(GROUP)? == format!("db1 {port}"));
        ensure!(deployment.replicas(1, "ip")? == ["db2", "db3"]);
        ensure!(deployment.nodes[1].info("sentinel")?["master0"].contains(&format!("address=db1:{port},")));
        let mut sentinels: Vec<String> = deployment.nodes[0]
            .instances("SENTINELS", GROUP)?
            .iter()
            .map(|sentinel| sentinel["ip"].clone())
            .collect();
        sentinels.sort();
        ensure!(sentinels == ["s2", "s3"], "{sentinels:?}");
        deployment.servers[0].process()?.kill9()?;
        let new = deployment.wait_new_master(&format!("db1 {port}"))?;
        let master = if new == format!("db2 {port}") { 1 } else { 2 };
        // As it is announced, so it is told to the replicas.
        deployment.wait_replica_of(3 - master, &format!("db{}", master + 1))?;
        let payload = format!("+switch-master {GROUP} db1 {port} db{} {port}", master + 1);
        deployment.wait_logged(&payload)?;
        deployment.set_announce("no")?;
        deployment.servers[0].start()?;
        deployment.wait_replica_of(0, &ip(master))?;
        deployment.wait_ready()
    });
}

#[test]
fn a_replica_that_spells_its_master_otherwise_is_left_alone() {
    named(
        "a_replica_that_spells_its_master_otherwise_is_left_alone",
        |deployment| {
            deployment.wait_ready()?;
            holds_for("no replica is corrected", Duration::from_secs(3), || {
                let corrections = deployment.corrections();
                ensure!(corrections.is_empty(), "{corrections:?}");
                Ok(())
            })?;
            let followed = |index: usize| {
                Ok::<_, anyhow::Error>(deployment.servers[index].info("replication")?["master_host"].clone())
            };
            ensure!(followed(1)? == "127.0.0.11" && followed(2)? == "db1");
            // Other spellings of one master are one master; a name that does not resolve is none.
            let port = deployment.port.to_string();
            for (host, expected) in [("db1", "OK"), ("127.0.0.11", "OK")] {
                let reply = deployment.nodes[0].command(&["SENTINEL", "MONITOR", GROUP, host, &port, "2"])?;
                ensure!(reply.text()? == expected, "{host}: {reply}");
            }
            // As in Sentinel the name is looked at before the port.
            let no_host = "ERR Invalid IP address or hostname specified";
            for (host, port, expected) in [
                ("nosuch.invalid", port.as_str(), no_host),
                ("nosuch.invalid", "99999", no_host),
                ("db2", "99999", "ERR Invalid port number."),
            ] {
                let reply = deployment.nodes[0].command(&["SENTINEL", "MONITOR", "n", host, port, "2"])?;
                ensure!(reply.error() == Some(expected), "{host} {port}: {reply}");
            }
            let reply =
                deployment.nodes[0].command(&["SENTINEL", "CONFIG", "SET", "resolve-hostnames", "no"])?;
            ensure!(reply.is_ok(), "{reply}");
            let reply = deployment.nodes[0].command(&["SENTINEL", "MONITOR", "n", "db2", &port, "2"])?;
            ensure!(
                reply.error() == Some("ERR Invalid IP address or hostname specified"),
                "{reply}"
            );
            for (address, expected) in [("127.0.0.11", "0"), ("db1", "0")] {
                let words = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", address, &port, "0", "*"];
                let reply = deployment.nodes[1].command(&words)?;
                ensure!(reply.array()?[0].text()? == expected, "{address}: {reply}");
            }
            Ok(())
        },
    );
}

#[test]
fn a_dead_master_whose_name_is_gone_is_replaced_and_found_again_elsewhere() {
    let name = "a_dead_master_whose_name_is_gone_is_replaced_and_found_again_elsewhere";
    named(name, |deployment| {
        deployment.wait_ready()?;
        let old = format!("127.0.0.11 {}", deployment.port);
        let names = deployment.names.clone().context("private names")?;
        deployment.servers[0].process()?.kill9()?;
        names.set_hosts(&HOSTS.replace("127.0.0.11 db1\n", ""))?;
        let new = deployment.wait_new_master(&old)?;
        let master = deployment.server_at(&new)?;
        deployment.wait_replica_of(3 - master, &ip(master))?;
        // The old master comes back at another address, and its name follows.
        deployment.servers[0].move_to("127.0.0.21")?;
        deployment.servers[0].start()?;
        names.set_hosts(&HOSTS.replace("127.0.0.11 db1", "127.0.0.21 db1"))?;
        deployment.wait_replica_of(0, &ip(master))?;
        deployment.wait_ready()?;
        wait_for("the new address is shown", PATIENCE, || {
            let shown = deployment.replicas(0, "ip")?;
            ensure!(shown.contains(&"127.0.0.21".to_owned()), "{shown:?}");
            Ok(())
        })
    });
}

#[test]
fn a_script_may_move_the_masters_name_to_the_new_master() {
    named(
        "a_script_may_move_the_masters_name_to_the_new_master",
        |deployment| {
            deployment.wait_ready()?;
            let old = format!("127.0.0.11 {}", deployment.port);
            deployment.servers[0].process()?.kill9()?;
            let new = deployment.wait_new_master(&old)?;
            let master = deployment.server_at(&new)?;
            let names = deployment.names.clone().context("private names")?;
            names.set_hosts(&HOSTS.replace("127.0.0.11 db1", &format!("{} db1", ip(master))))?;
            wait_for("the old name leads to the new master", PATIENCE, || {
                let shown = deployment.replicas(0, "ip")?;
                ensure!(shown.contains(&ip(master)), "{shown:?}");
                Ok(())
            })?;
            holds_for("the master is a master", Duration::from_secs(4), || {
                let info = deployment.servers[master].info("replication")?;
                ensure!(info["role"] == "master", "it is a {}", info["role"]);
                Ok(())
            })?;
            deployment.wait_replica_of(3 - master, &ip(master))
        },
    );
}

#[test]
fn a_resolver_that_hangs_delays_nothing() {
    // Redis itself waits for its resolver, so that the servers follow IPs here.
    let server =
        |index: usize, port: u16| named_server(index, port).replace("replicaof db1", "replicaof 127.0.0.11");
    named_with("a_resolver_that_hangs_delays_nothing", server, |deployment| {
        deployment.wait_ready()?;
        // All names are only known to a resolver that never answers: each lookup takes a minute.
        let silent = UdpSocket::bind("127.0.0.77:53").context("cannot listen at port 53")?;
        let names = deployment.names.clone().context("private names")?;
        names.set_resolver("nameserver 127.0.0.77\noptions timeout:30 attempts:2\n")?;
        names.set_hosts("")?;
        let old = format!("127.0.0.11 {}", deployment.port);
        deployment.servers[0].process()?.kill9()?;
        let new = deployment.wait_new_master(&old)?;
        let master = deployment.server_at(&new)?;
        deployment.wait_replica_of(3 - master, &ip(master))?;
        let mut asked = [0; 512];
        silent.set_read_timeout(Some(PATIENCE))?;
        silent.recv(&mut asked).context("the resolver was never asked")?;
        // A restarted node finds its servers by what it remembered, and stops at once.
        deployment.nodes[0].process()?.terminate()?;
        deployment.nodes[0].start()?;
        wait_for("the restarted node is connected", PATIENCE, || {
            let seen = deployment.nodes[0].master(GROUP)?;
            ensure!(seen["flags"] == "master" && seen["ip"] == ip(master), "{seen:?}");
            Ok(())
        })?;
        deployment.servers[master].process()?.kill9()?;
        deployment.wait_new_master(&new).map(drop)
    });
}
