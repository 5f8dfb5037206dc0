//! One master, two replicas, some sentinels: the deployment of every test.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::events::Events;
use super::process::tail;
use super::redis::{Access, RedisServer};
use super::sentinel::{Program, Sentinel, Settings};
use super::wait::wait_for;

/// How long a cluster may take to form.
const READY: Duration = Duration::from_secs(40);

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Which sentinel.
    pub program: Option<Program>,
    /// How many sentinels.
    pub sentinels: usize,
    /// How many replicas.
    pub replicas: usize,
    /// Passwords of the data servers.
    pub access: Access,
    /// What the sentinels' files say.
    pub settings: Settings,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            program: None,
            sentinels: 3,
            replicas: 2,
            access: Access::Open,
            settings: Settings {
                odown_quorum: 2,
                down_after_ms: 1000,
                failover_timeout_ms: 10_000,
                crash_down_after_ms: 0,
                password: None,
                extra: Vec::new(),
            },
        }
    }
}

impl ClusterOptions {
    /// The default with another `down-after-milliseconds`.
    #[must_use]
    pub fn down_after(down_after_ms: u64) -> Self {
        let mut options = Self::default();
        options.settings.down_after_ms = down_after_ms;
        options
    }
}

/// Running processes; all end when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The data servers; the first one was the master at the start.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub nodes: Vec<Sentinel>,
    options: ClusterOptions,
    is_ours: bool,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts everything; does not wait until the sentinels have found each other.
    pub fn start(options: ClusterOptions) -> Result<Self> {
        let mut cluster = Self::start_servers(options)?;
        for node in &mut cluster.nodes {
            node.launch()?;
        }
        for node in &mut cluster.nodes {
            node.wait_ping()?;
        }
        Ok(cluster)
    }

    /// Starts the data servers and writes the sentinels' files, without starting a sentinel.
    pub fn start_servers(options: ClusterOptions) -> Result<Self> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => Program::from_environment()?,
        };
        let folder = tempfile::Builder::new()
            .prefix("sentinel-test-")
            .tempdir()
            .context("no folder")?;
        let base = folder.path();
        let mut servers = vec![RedisServer::start("redis-0", base, options.access, None)?];
        let master = servers.first().context("no master")?.port();
        for index in 1..=options.replicas {
            let name = format!("redis-{index}");
            servers.push(RedisServer::start(&name, base, options.access, Some(master))?);
        }
        let nodes = (0..options.sentinels)
            .map(|index| {
                let node = Sentinel::prepare(index, program.clone(), base)?;
                Ok(node.with_password(options.settings.password.clone()))
            })
            .collect::<Result<Vec<_>>>()?;
        let is_ours = program.is_ours();
        let cluster = Self {
            servers,
            nodes,
            options,
            is_ours,
            folder: Some(folder),
        };
        cluster.write_configs()?;
        Ok(cluster)
    }

    fn write_configs(&self) -> Result<()> {
        let master = self.servers.first().context("no master")?.port();
        for node in &self.nodes {
            let peers: Vec<u16> = self
                .nodes
                .iter()
                .map(Sentinel::port)
                .filter(|port| *port != node.port())
                .collect();
            node.write_config(master, &peers, self.options.access, &self.options.settings)?;
        }
        Ok(())
    }

    /// Stopped classic sentinels become ours, each on its own file.
    pub fn take_over(&mut self, program: &Program) -> Result<()> {
        let ports = self.sentinel_ports();
        for node in &mut self.nodes {
            let own = node.port();
            let peers: Vec<u16> = ports.iter().copied().filter(|port| *port != own).collect();
            node.take_over(program.clone(), &peers)?;
        }
        self.is_ours = program.is_ours();
        Ok(())
    }

    /// Waits until every sentinel knows all replicas and all other sentinels and calls the master healthy,
    /// and every replica is attached.
    pub fn wait_ready(&mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            wait_for(&format!("node {index} sees the whole deployment"), READY, || {
                self.is_ready(index)
            })?;
        }
        self.wait_attached()?;
        if self.is_ours {
            wait_for("there is a Raft leader", READY, || self.raft_leader())?;
        }
        Ok(())
    }

    /// Whether node `index` sees the whole deployment as healthy.
    pub fn is_ready(&self, index: usize) -> Result<()> {
        let node = self.nodes.get(index).context("no such node")?;
        let master = node.master()?;
        let expect = |field: &str, wanted: String| {
            let value = master.get(field).with_context(|| format!("no field {field}"))?;
            ensure!(*value == wanted, "{field} is {value}, not {wanted}");
            Ok(())
        };
        expect("num-slaves", (self.servers.len() - 1).to_string())?;
        expect("num-other-sentinels", (self.nodes.len() - 1).to_string())?;
        expect("flags", String::from("master"))
    }

    /// Waits until the server that all sentinels name is a master with all running servers attached to it.
    pub fn wait_attached(&mut self) -> Result<()> {
        let others = self
            .servers
            .iter_mut()
            .filter_map(|server| server.is_running().then_some(()))
            .count()
            - 1;
        wait_for("all running replicas are attached to the master", READY, || {
            let master = self.master_server()?;
            let info = master.info("replication")?;
            let role = info.get("role").context("no role")?;
            ensure!(role == "master", "{} is a {role}", master.name());
            let count: usize = info
                .get("connected_slaves")
                .context("no count")?
                .parse()
                .context("count")?;
            ensure!(count == others, "{count} of {others} replicas are connected");
            let online = info.iter().filter(|(key, value)| {
                key.starts_with("slave") && value.starts_with("ip=") && value.contains("state=online")
            });
            let online = online.count();
            ensure!(online == others, "{online} of {others} replicas are online");
            Ok(())
        })
    }

    /// The server that a living sentinel names as the master.
    pub fn master_server(&self) -> Result<&RedisServer> {
        let port = self.master_port()?;
        self.server_at(port)
    }

    /// Port that the first answering sentinel names.
    pub fn master_port(&self) -> Result<u16> {
        let mut last = None;
        for node in &self.nodes {
            match node.master_port() {
                Ok(port) => return Ok(port),
                Err(reason) => last = Some(reason),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no sentinels")))
    }

    /// The server at a port.
    pub fn server_at(&self, port: u16) -> Result<&RedisServer> {
        self.servers
            .iter()
            .find(|server| server.port() == port)
            .with_context(|| format!("no server at {port}"))
    }

    /// The server at a port, to do something to it.
    pub fn server_at_mut(&mut self, port: u16) -> Result<&mut RedisServer> {
        self.servers
            .iter_mut()
            .find(|server| server.port() == port)
            .with_context(|| format!("no server at {port}"))
    }

    /// A node, to do something to it.
    pub fn node_mut(&mut self, index: usize) -> Result<&mut Sentinel> {
        self.nodes
            .get_mut(index)
            .with_context(|| format!("no node {index}"))
    }

    /// A node.
    pub fn node(&self, index: usize) -> Result<&Sentinel> {
        self.nodes.get(index).with_context(|| format!("no node {index}"))
    }

    /// Indices of the nodes that run.
    pub fn running(&mut self) -> Vec<usize> {
        self.nodes
            .iter_mut()
            .filter_map(|node| node.is_running().then_some(node.index()))
            .collect()
    }

    /// Ports of all sentinels.
    #[must_use]
    pub fn sentinel_ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Sentinel::port).collect()
    }

    /// Ports of all servers but `master`.
    #[must_use]
    pub fn ports_but(&self, master: u16) -> Vec<u16> {
        self.servers
            .iter()
            .map(RedisServer::port)
            .filter(|port| *port != master)
            .collect()
    }

    /// Index of the node that at least half of the running nodes call Raft leader, and that calls itself so.
    pub fn raft_leader(&mut self) -> Result<usize> {
        for index in self.running() {
            let node = self.node(index)?;
            let status = node.raft_status()?;
            if status.get("role").map(String::as_str) == Some("leader") {
                return Ok(index);
            }
        }
        bail!("no node calls itself the Raft leader")
    }

    /// Subscribes to the events of all running sentinels.
    pub fn events(&mut self) -> Result<Events> {
        let mut events = Events::new();
        for index in self.running() {
            events.subscribe(index, self.node(index)?.port())?;
        }
        Ok(events)
    }

    /// Waits until all running sentinels name one and the same master that is not `old`; its port.
    pub fn wait_new_master(&mut self, old: u16, deadline: Duration) -> Result<u16> {
        let running = self.running();
        self.wait_new_master_at(&running, old, deadline)
    }

    /// [`Cluster::wait_new_master`] for some nodes only.
    pub fn wait_new_master_at(&self, nodes: &[usize], old: u16, deadline: Duration) -> Result<u16> {
        wait_for(
            &format!("nodes {nodes:?} name the same new master"),
            deadline,
            || {
                let mut ports = Vec::new();
                for index in nodes {
                    ports.push(self.node(*index)?.master_port()?);
                }
                let first = *ports.first().context("no running sentinel")?;
                ensure!(first != old, "node {:?} still names {old}", nodes.first());
                ensure!(ports.iter().all(|port| *port == first), "they name {ports:?}");
                Ok(first)
            },
        )
    }

    /// What the cluster was started with.
    #[must_use]
    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// Whether the sentinels are ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Folder with all files of the run.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// Last lines of every log.
    #[must_use]
    pub fn tails(&self, count: usize) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let log = tail(&node.log_path(), count);
            let output = tail(&node.output_path(), 15);
            text.push_str(&format!(
                "--- sentinel {} (port {})\n{log}\n--- its output\n{output}\n",
                node.index(),
                node.port()
            ));
        }
        for server in &self.servers {
            let log = tail(&server.log_path(), count / 3);
            text.push_str(&format!(
                "--- {} (port {})\n{log}\n",
                server.name(),
                server.port()
            ));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        self.servers.clear();
        if std::env::var_os("SENTINEL_TEST_KEEP").is_some() {
            if let Some(folder) = self.folder.take() {
                eprintln!("kept: {}", folder.keep().display());
            }
        }
    }
}
