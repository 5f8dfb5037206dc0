//! Real data servers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ports::Port;
use super::process::{Process, find_program};
use super::resp::{Client, Credentials};
use super::wait::wait_for;

/// Deadline of one request to a server.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Ports to try for a server.
const ATTEMPTS: usize = 3;

/// Who may talk to the data servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No password anywhere.
    Open,
    /// The tutorial's: the default user has a password, and replication and sentinels use `master_user`.
    Acl,
}

impl Access {
    /// What a sentinel or replica authenticates with.
    #[must_use]
    pub fn credentials(self) -> Option<Credentials> {
        match self {
            Self::Open => None,
            Self::Acl => Some(Credentials {
                user: Some(String::from("master_user")),
                password: String::from("master_password"),
            }),
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Acl => {
                "user default on >default_password ~* &* +@all\n\
                 user master_user on >master_password ~* &* +@all\n\
                 masteruser \"master_user\"\n\
                 masterauth \"master_password\"\n"
            }
        }
    }
}

/// The data server that the environment names.
pub fn program() -> Result<PathBuf> {
    let name = std::env::var("REDIS_SERVER").unwrap_or_else(|_| String::from("redis-server"));
    find_program(&name)
        .with_context(|| format!("{name} is not installed: run deploy/install-deps.sh, or set REDIS_SERVER"))
}

/// One `redis-server` on 127.0.0.1.
#[derive(Debug)]
pub struct RedisServer {
    name: String,
    port: Port,
    dir: PathBuf,
    access: Access,
    process: Option<Process>,
}

impl RedisServer {
    /// Writes the configuration and starts the server, as a replica if `replica_of` names a port.
    pub fn start(name: &str, base: &Path, access: Access, replica_of: Option<u16>) -> Result<Self> {
        let dir = base.join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for _ in 0..ATTEMPTS {
            let mut server = Self {
                name: name.to_owned(),
                port: Port::reserve()?,
                dir: dir.clone(),
                access,
                process: None,
            };
            server.write_config(replica_of)?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(error) if server.is_running() => return Err(error),
                // A program outside these tests took the port in the meantime.
                Err(_) => {}
            }
        }
        bail!(
            "{name} ended {ATTEMPTS} times at its start: see {}",
            dir.display()
        )
    }

    fn write_config(&self, replica_of: Option<u16>) -> Result<()> {
        let mut config = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nlogfile redis.log\nsave \"\"\nappendonly no\n\
             repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nenable-debug-command yes\n{}",
            self.port(),
            self.dir.display(),
            self.access.config(),
        );
        if let Some(master) = replica_of {
            writeln!(config, "replicaof 127.0.0.1 {master}").context("config")?;
        }
        std::fs::write(self.config_path(), config).context("cannot write redis.conf")
    }

    /// Starts the process again from its own file, and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("{} is running", self.name);
        }
        self.launch()
    }

    fn launch(&mut self) -> Result<()> {
        self.launch_no_wait()?;
        let pid = self.process()?.id().to_string();
        let what = format!("process {pid} answers as {}", self.name);
        let answered = wait_for(&what, Duration::from_secs(20), || {
            if !self.is_running() {
                return Ok(false);
            }
            let mut client = self.client()?;
            let reply = client.command(&["PING"])?;
            anyhow::ensure!(reply.text()? == "PONG", "PING was answered {reply}");
            let fields = info_fields(&mut client, "server")?;
            let found = fields.get("process_id").context("no process_id")?;
            anyhow::ensure!(*found == pid, "process {found} has its port");
            Ok(true)
        })?;
        anyhow::ensure!(answered, "{} ended at its start", self.name);
        Ok(())
    }

    /// Starts the process and does not wait for its first answer.
    pub fn launch_no_wait(&mut self) -> Result<()> {
        let program = program()?;
        let args = [self.dir.join("redis.conf").display().to_string()];
        let output = self.dir.join("output.log");
        self.process = Some(Process::spawn(&self.name, &program, &args, &self.dir, &output)?);
        Ok(())
    }

    /// Name given at start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("redis.log")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("redis.conf")
    }

    /// The process.
    pub fn process(&mut self) -> Result<&mut Process> {
        let name = &self.name;
        self.process
            .as_mut()
            .with_context(|| format!("{name} was never started"))
    }

    /// Whether the process lives (a stopped one does).
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.exit_status().is_none())
    }

    /// An authenticated connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect_as(self.port(), REQUEST_TIMEOUT, self.access.credentials().as_ref())
    }

    /// The fields of `INFO section`.
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        info_fields(&mut self.client()?, section)
    }

    /// First word of `ROLE`: `master` or `slave`.
    pub fn role(&self) -> Result<String> {
        role_of(&mut self.client()?)
    }
}

/// The fields of `INFO section` over a connection.
pub fn info_fields(client: &mut Client, section: &str) -> Result<BTreeMap<String, String>> {
    let text = client.command(&["INFO", section])?.text()?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim_end().to_owned()))
        .collect())
}

/// First word of `ROLE` over a connection.
pub fn role_of(client: &mut Client) -> Result<String> {
    let reply = client.command(&["ROLE"])?;
    reply.array()?.first().context("empty ROLE")?.text()
}
