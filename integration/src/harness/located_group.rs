//! One group of [`Located`] data servers and sentinels.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::located::{Located, PrivateNames};
use super::ports::Port;
use super::wait::wait_for;

/// Longest wait of a scenario for anything.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Where its processes are.
#[derive(Debug, Clone)]
pub struct Place {
    /// IP and port of each data server; the first one is the master at the start.
    pub servers: Vec<(String, u16)>,
    /// The same of each sentinel.
    pub nodes: Vec<(String, u16)>,
}

/// Running processes and their folder; everything ends with it.
#[derive(Debug)]
pub struct LocatedGroup {
    /// Name of the group in `sentinel monitor`.
    pub name: &'static str,
    /// Data servers, in the order of the place.
    pub servers: Vec<Located>,
    /// Sentinels, in the order of the place.
    pub nodes: Vec<Located>,
    _ports: Vec<Port>,
    _folder: tempfile::TempDir,
}

impl LocatedGroup {
    /// Starts all; `server` and `node` give the lines of the file of the process with that index, `names` the hosts of
    /// each process where they are not the machine's.
    pub fn start(
        name: &'static str,
        place: &Place,
        (folder, ports): (tempfile::TempDir, Vec<Port>),
        names: Option<&PrivateNames>,
        (server, node): (&dyn Fn(usize) -> String, &dyn Fn(usize) -> String),
    ) -> Result<Self> {
        let base: &Path = folder.path();
        let (mut servers, mut nodes) = (Vec::new(), Vec::new());
        for (index, (ip, port)) in place.servers.iter().enumerate() {
            let title = format!("redis-{index}");
            let mut process = Located::redis(&title, base, (ip, *port), &server(index), names)?;
            process.start()?;
            servers.push(process);
        }
        for (index, (ip, port)) in place.nodes.iter().enumerate() {
            let title = format!("sentinel-{index}");
            let mut process = Located::sentinel(&title, base, (ip, *port), &node(index), names)?;
            process.launch()?;
            nodes.push(process);
        }
        nodes.iter_mut().try_for_each(Located::wait_ping)?;
        Ok(Self {
            name,
            servers,
            nodes,
            _ports: ports,
            _folder: folder,
        })
    }

    /// Every sentinel sees two replicas, two sentinels and a healthy master.
    pub fn wait_ready(&self) -> Result<()> {
        for node in &self.nodes {
            wait_for("a sentinel sees the whole deployment", PATIENCE, || {
                let master = node.master(self.name)?;
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

    /// All sentinels name one address (`host port`) that is not `old`; which.
    pub fn wait_new_master(&self, old: &str) -> Result<String> {
        wait_for("all sentinels name the same new master", PATIENCE, || {
            let named = self.nodes.iter().map(|node| node.master_address(self.name));
            let named: Vec<String> = named.collect::<Result<_>>()?;
            ensure!(
                named.iter().all(|name| *name == named[0]) && named[0] != old,
                "{named:?}"
            );
            Ok(named[0].clone())
        })
    }

    /// A data server is attached to the master at this host and port.
    pub fn wait_replica_of(&self, replica: usize, (host, port): (&str, u16)) -> Result<()> {
        wait_for(
            &format!("server {replica} follows {host} {port}"),
            PATIENCE,
            || {
                let info = self.servers[replica].info("replication")?;
                let field = |name: &str| info.get(name).map_or("", String::as_str);
                let seen = ["master_host", "master_port", "master_link_status"].map(field);
                ensure!(seen == [host, &port.to_string(), "up"], "{seen:?}");
                Ok(())
            },
        )
    }

    /// Every sentinel's log has this text: a state is shown a moment before its events are logged.
    pub fn wait_logged(&self, text: &str) -> Result<()> {
        self.nodes.iter().try_for_each(|node| {
            wait_for(text, PATIENCE, || {
                ensure!(node.log().contains(text), "not in the log");
                Ok(())
            })
        })
    }

    /// Ends of all logs, for the report of a failure.
    #[must_use]
    pub fn tails(&self) -> String {
        let processes = self.nodes.iter().chain(&self.servers);
        processes.map(|process| process.tails(40)).collect()
    }
}
