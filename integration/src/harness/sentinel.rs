//! Sentinel processes: ours, or the system's `redis-sentinel` with the same settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::ports::Port;
use super::process::{Process, find_program};
use super::redis::{Access, REQUEST_TIMEOUT};
use super::resp::{Client, Credentials, Value};
use super::wait::wait_for;

/// Name of the group that tests monitor.
pub const GROUP: &str = "redis-master-node";

/// Which program is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A `sentinel-node` binary.
    Ours(PathBuf),
    /// The system's `redis-sentinel`.
    Stock,
}

impl Program {
    /// The one that the environment names, else the `sentinel-node` built beside this binary.
    pub fn from_environment() -> Result<Self> {
        match std::env::var("SENTINEL_PROGRAM") {
            Ok(name) if name == "stock" => Ok(Self::Stock),
            Ok(path) => {
                ensure!(
                    Path::new(&path).is_file(),
                    "SENTINEL_PROGRAM={path} is not a file"
                );
                Ok(Self::Ours(std::path::absolute(path).context("SENTINEL_PROGRAM")?))
            }
            Err(_) => Self::built_here(),
        }
    }

    /// `sentinel-node` of the same target folder and profile as the running binary.
    pub fn built_here() -> Result<Self> {
        let own = std::env::current_exe().context("own path")?;
        let found = own
            .ancestors()
            .skip(1)
            .take(3)
            .map(|folder| folder.join("sentinel-node"))
            .find(|path| path.is_file())
            .context("sentinel-node is not built: cargo build -p sentinel-node")?;
        Ok(Self::Ours(found))
    }

    /// Whether this is our node.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    fn path(&self) -> Result<PathBuf> {
        match self {
            Self::Ours(path) => Ok(path.clone()),
            Self::Stock => find_program("redis-sentinel").context("redis-sentinel is not installed"),
        }
    }
}

/// What a sentinel's file says about the group.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sentinels that must agree for ODOWN.
    pub odown_quorum: u32,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// `failover-timeout`.
    pub failover_timeout_ms: u64,
    /// Our `crash-down-after-milliseconds`; 0 = off (not written).
    pub crash_down_after_ms: u64,
    /// `requirepass` of the sentinels, also used between them; `None` = no password.
    pub password: Option<String>,
    /// Further lines, as they are.
    pub extra: Vec<String>,
}

/// One sentinel process.
#[derive(Debug)]
pub struct Sentinel {
    index: usize,
    program: Program,
    port: Port,
    admin_port: Port,
    dir: PathBuf,
    password: Option<String>,
    process: Option<Process>,
}

impl Sentinel {
    /// Reserves ports and a folder.
    pub fn prepare(index: usize, program: Program, base: &Path) -> Result<Self> {
        let dir = base.join(format!("sentinel-{index}"));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self {
            index,
            program,
            port: Port::reserve()?,
            admin_port: Port::reserve()?,
            dir,
            password: None,
            process: None,
        })
    }

    /// Connections of tests use `requirepass` of the file.
    #[must_use]
    pub fn with_password(mut self, password: Option<String>) -> Self {
        self.password = password;
        self
    }

    /// Writes `sentinel.conf`. `peers` are the ports of all other sentinels.
    pub fn write_config(
        &self,
        master: u16,
        peers: &[u16],
        access: Access,
        settings: &Settings,
    ) -> Result<()> {
        let mut text = format!(
            "port {}\ndir {}\nlogfile sentinel.log\nsentinel monitor {GROUP} 127.0.0.1 {master} {}\n",
            self.port(),
            self.dir.display(),
            settings.odown_quorum
        );
        if let Some(credentials) = access.credentials() {
            if let Some(user) = credentials.user {
                writeln!(text, "sentinel auth-user {GROUP} {user}").context("config")?;
            }
            writeln!(text, "sentinel auth-pass {GROUP} {}", credentials.password).context("config")?;
        }
        writeln!(
            text,
            "sentinel down-after-milliseconds {GROUP} {}",
            settings.down_after_ms
        )
        .context("config")?;
        writeln!(
            text,
            "sentinel failover-timeout {GROUP} {}",
            settings.failover_timeout_ms
        )
        .context("config")?;
        if self.program.is_ours() {
            for peer in peers {
                writeln!(text, "sentinel peer 127.0.0.1 {peer}").context("config")?;
            }
            writeln!(text, "admin-port {}", self.admin_port()).context("config")?;
            if settings.crash_down_after_ms > 0 {
                writeln!(
                    text,
                    "sentinel crash-down-after-milliseconds {GROUP} {}",
                    settings.crash_down_after_ms
                )
                .context("config")?;
            }
        } else {
            text.push_str("bind 127.0.0.1\nprotected-mode no\n");
        }
        if let Some(password) = &settings.password {
            writeln!(text, "requirepass {password}\nsentinel sentinel-pass {password}").context("config")?;
        }
        for line in &settings.extra {
            writeln!(text, "{line}").context("config")?;
        }
        std::fs::write(self.config_path(), text).context("cannot write sentinel.conf")
    }

    /// The next start runs `program` on the present file, with the lines that only our node knows after it.
    pub fn take_over(&mut self, program: Program, peers: &[u16]) -> Result<()> {
        ensure!(!self.is_running(), "node {} is running", self.index);
        let path = self.config_path();
        let mut text = std::fs::read_to_string(&path).context("cannot read sentinel.conf")?;
        for peer in peers {
            writeln!(text, "sentinel peer 127.0.0.1 {peer}").context("config")?;
        }
        writeln!(text, "admin-port {}", self.admin_port()).context("config")?;
        std::fs::write(path, text).context("cannot write sentinel.conf")?;
        self.program = program;
        Ok(())
    }

    /// Replaces text in the configuration file, as an operator with an editor does.
    pub fn edit_config(&self, from: &str, to: &str) -> Result<()> {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path).context("cannot read sentinel.conf")?;
        ensure!(
            text.contains(from),
            "sentinel.conf of node {} does not contain {from:?}",
            self.index
        );
        std::fs::write(&path, text.replace(from, to)).context("cannot write sentinel.conf")
    }

    /// Starts the process without waiting for it.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(!self.is_running(), "node {} is running", self.index);
        let name = format!("sentinel-{}", self.index);
        let args = [self.config_path().display().to_string()];
        let output = self.dir.join("output.log");
        self.process = Some(Process::spawn(
            &name,
            &self.program.path()?,
            &args,
            &self.dir,
            &output,
        )?);
        Ok(())
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ping()
    }

    /// Waits until it answers PING.
    pub fn wait_ping(&mut self) -> Result<()> {
        let what = format!("sentinel {} answers PING", self.index);
        wait_for(&what, Duration::from_secs(30), || {
            if let Some(status) = self.process.as_mut().and_then(Process::exit_status) {
                bail!("it ended: {status}");
            }
            let reply = self.command(&["PING"])?;
            ensure!(reply.text()? == "PONG", "PING was answered {reply}");
            Ok(())
        })
    }

    /// Place in the cluster, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Port for clients and peers.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Port of the admin RPC.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin_port.number()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("sentinel.conf")
    }

    /// Its folder (`dir` of the configuration).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("sentinel.log")
    }

    /// What it printed to stdout and stderr.
    #[must_use]
    pub fn output_path(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The process.
    pub fn process(&mut self) -> Result<&mut Process> {
        let index = self.index;
        self.process
            .as_mut()
            .with_context(|| format!("node {index} was never started"))
    }

    /// Whether the process lives (a stopped one does).
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.exit_status().is_none())
    }

    /// A new connection, authenticated where the sentinels have a password.
    pub fn client(&self) -> Result<Client> {
        let credentials = self
            .password
            .clone()
            .map(|password| Credentials { user: None, password });
        Client::connect_as(self.port(), REQUEST_TIMEOUT, credentials.as_ref())
    }

    /// One command on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Result<Value> {
        self.client()?.command(words)
    }

    /// `SENTINEL MASTER` as a map.
    pub fn master(&self) -> Result<BTreeMap<String, String>> {
        self.command(&["SENTINEL", "MASTER", GROUP])?.pairs()
    }

    /// Port that `SENTINEL GET-MASTER-ADDR-BY-NAME` answers.
    pub fn master_port(&self) -> Result<u16> {
        master_port(&mut self.client()?)
    }

    /// The line `master0:` of `INFO sentinel`, without that prefix.
    pub fn info_line(&self) -> Result<String> {
        let text = self.command(&["INFO", "sentinel"])?.text()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("master0:"))
            .context("no line master0:")?;
        Ok(line.trim_end().to_owned())
    }

    /// `SENTINEL MYID`.
    pub fn myid(&self) -> Result<String> {
        self.command(&["SENTINEL", "MYID"])?.text()
    }

    /// `SENTINEL RAFT STATUS` as a map.
    pub fn raft_status(&self) -> Result<BTreeMap<String, String>> {
        self.command(&["SENTINEL", "RAFT", "STATUS"])?.pairs()
    }

    /// The messages of its log (without process id, time and level), in order.
    pub fn log_messages(&self) -> Result<Vec<String>> {
        let bytes = std::fs::read(self.log_path()).context("cannot read the log")?;
        Ok(String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(message_of)
            .map(str::to_owned)
            .collect())
    }

    /// How many log messages begin with `prefix`.
    pub fn log_count(&self, prefix: &str) -> Result<usize> {
        Ok(self
            .log_messages()?
            .iter()
            .filter(|message| message.starts_with(prefix))
            .count())
    }
}

/// Port that `GET-MASTER-ADDR-BY-NAME` answers over a connection.
pub fn master_port(client: &mut Client) -> Result<u16> {
    let reply = client.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
    let items = reply.array()?;
    let port = items.get(1).context("no port in the answer")?.text()?;
    port.parse().with_context(|| format!("bad port {port:?}"))
}

/// `PID:X DD Mon YYYY HH:MM:SS.mmm L message` without everything before the message.
fn message_of(line: &str) -> Option<&str> {
    let mut rest = line;
    for _ in 0..6 {
        rest = rest.split_once(' ')?.1;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_log_line_is_found() {
        let line = "17785:X 17 Aug 2023 13:44:20.854 # +sdown master m 127.0.0.1 6379";
        assert_eq!(message_of(line), Some("+sdown master m 127.0.0.1 6379"));
    }
}
