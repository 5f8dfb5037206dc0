//! A group on `::1`: every address that is written, parsed or shown has colons in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::located::Located;
use integration::harness::ports::Port;
use integration::harness::wait::wait_for;

const GROUP: &str = "m";
const HOST: &str = "::1";
const PATIENCE: Duration = Duration::from_secs(40);

struct Deployment {
    servers: Vec<Located>,
    nodes: Vec<Located>,
    _ports: Vec<Port>,
    _folder: tempfile::TempDir,
}

impl Deployment {
    fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sentinel-test-").tempdir()?;
        let base = folder.path().to_owned();
        let reserved = (0..6).map(|_| Port::reserve()).collect::<Result<Vec<_>>>()?;
        let ports: Vec<u16> = reserved.iter().map(Port::number).collect();
        let mut deployment = Self {
            servers: Vec::new(),
            nodes: Vec::new(),
            _ports: reserved,
            _folder: folder,
        };
        for (index, port) in ports.iter().take(3).enumerate() {
            let lines = match index {
                0 => String::new(),
                _ => format!("replicaof {HOST} {}\n", ports[0]),
            };
            let mut server = Located::redis(&format!("redis-{index}"), &base, (HOST, *port), &lines, None)?;
            server.start()?;
            deployment.servers.push(server);
        }
        for (index, port) in ports.iter().skip(3).enumerate() {
            let peers = ports.iter().skip(3).filter(|other| *other != port);
            let peers: String = peers
                .map(|peer| format!("sentinel peer {HOST} {peer}\n"))
                .collect();
            let lines = format!(
                "sentinel monitor {GROUP} {HOST} {} 2\nsentinel down-after-milliseconds {GROUP} 1000\n\
                 sentinel failover-timeout {GROUP} 20000\n{peers}",
                ports[0]
            );
            let name = format!("sentinel-{index}");
            let mut node = Located::sentinel(&name, &base, (HOST, *port), &lines, None)?;
            node.launch()?;
            deployment.nodes.push(node);
        }
        deployment.nodes.iter_mut().try_for_each(Located::wait_ping)?;
        Ok(deployment)
    }

    fn wait_ready(&self) -> Result<()> {
        for node in &self.nodes {
            wait_for("a sentinel sees the whole deployment", PATIENCE, || {
                let master = node.master(GROUP)?;
                for (field, wanted) in [
                    ("num-slaves", "2"),
                    ("num-other-sentinels", "2"),
                    ("flags", "master"),
                ] {
                    let value = master.get(field).context("no field")?;
                    ensure!(value == wanted, "{field} is {value}");
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn scenario(&mut self) -> Result<()> {
        self.wait_ready()?;
        let old = self.servers[0].port();
        self.addresses_are_shown(old)?;
        self.servers[0].process()?.kill9()?;
        let new = wait_for("all sentinels name the same new master", PATIENCE, || {
            let named: Vec<String> = self
                .nodes
                .iter()
                .map(|node| node.master_address(GROUP))
                .collect::<Result<_>>()?;
            ensure!(
                named.iter().all(|name| *name == named[0]) && named[0] != format!("{HOST} {old}"),
                "{named:?}"
            );
            Ok(named[0].clone())
        })?;
        let (host, port) = new.split_once(' ').context("an address")?;
        ensure!(host == HOST, "{new}");
        let payload = format!("+switch-master {GROUP} {HOST} {old} {HOST} {port}");
        for node in &self.nodes {
            wait_logged(node, &payload)?;
        }
        self.servers[0].start()?;
        wait_for("the old master follows", PATIENCE, || {
            let info = self.servers[0].info("replication")?;
            let up = info
                .get("master_link_status")
                .is_some_and(|status| status == "up");
            ensure!(
                info.get("master_port").is_some_and(|at| at == port) && up,
                "{info:?}"
            );
            Ok(())
        })?;
        self.wait_ready()
    }

    /// Bracketed only in the names of replicas, as in Sentinel.
    fn addresses_are_shown(&self, master: u16) -> Result<()> {
        let node = &self.nodes[0];
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
            wait_logged(node, &event)?;
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
}

/// The new state is shown a moment before its events are logged.
fn wait_logged(node: &Located, text: &str) -> Result<()> {
    wait_for(text, PATIENCE, || {
        ensure!(node.log().contains(text), "not in the log");
        Ok(())
    })
}

#[test]
fn a_group_lives_on_ipv6() {
    if let Err(why) = TcpListener::bind((HOST, 0)) {
        eprintln!("a_group_lives_on_ipv6 is skipped: no {HOST} here ({why})");
        return;
    }
    let mut deployment = Deployment::start().unwrap();
    if let Err(why) = deployment.scenario() {
        let processes = deployment.nodes.iter().chain(&deployment.servers);
        let tails: String = processes.map(|process| process.tails(40)).collect();
        panic!("{why:#}\n{tails}\nREPRODUCE WITH: cargo test -p integration --test ipv6");
    }
}
