//! Data servers and sentinels at addresses of the test's choice, where [`super::Cluster`] only knows 127.0.0.1: host
//! names, IPv6, several addresses. Optionally with a private `/etc/hosts` and `/etc/resolv.conf`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{Process, find_program, tail};
use super::redis::{self, REQUEST_TIMEOUT, info_fields};
use super::resp::{Client, Value};
use super::sentinel::Program;
use super::wait::wait_for;

/// `/etc/hosts` and `/etc/resolv.conf` as the processes of one test see them; both may be rewritten while they run.
#[derive(Debug, Clone)]
pub struct PrivateNames {
    hosts: PathBuf,
    resolv: PathBuf,
}

impl PrivateNames {
    /// Writes both files; an error where the machine does not allow a mount namespace.
    pub fn new(base: &Path) -> Result<Self> {
        let names = Self {
            hosts: base.join("hosts"),
            resolv: base.join("resolv.conf"),
        };
        names.set_hosts("")?;
        // Nobody listens there: refused at once.
        names.set_resolver("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        let (program, args) = names.wrap(Path::new("/bin/true"), &[])?;
        let done = Command::new(program).args(args).output().context("unshare")?;
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "no mount namespace here: {}", why.trim());
        Ok(names)
    }

    /// Replaces `/etc/hosts`; `localhost` stays.
    pub fn set_hosts(&self, text: &str) -> Result<()> {
        // In place: the file itself is mounted, not its name.
        std::fs::write(&self.hosts, format!("127.0.0.1 localhost\n{text}")).context("hosts")
    }

    /// Replaces `/etc/resolv.conf`.
    pub fn set_resolver(&self, text: &str) -> Result<()> {
        std::fs::write(&self.resolv, text).context("resolv.conf")
    }

    /// The command that runs `program` with these files. It is one process all along.
    fn wrap(&self, program: &Path, args: &[String]) -> Result<(PathBuf, Vec<String>)> {
        let unshare = find_program("unshare").context("unshare is not installed")?;
        let script = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";
        let mut words: Vec<String> = ["-m", "--propagation", "private", "sh", "-c", script, "sh"]
            .map(str::to_owned)
            .into();
        words.extend([&self.hosts, &self.resolv].map(|path| path.display().to_string()));
        words.push(program.display().to_string());
        words.extend_from_slice(args);
        Ok((unshare, words))
    }
}

/// A process with a configuration file, a place where it is reached, and maybe names of its own.
#[derive(Debug)]
pub struct Located {
    name: String,
    /// Literal IP that the test connects to.
    ip: String,
    port: u16,
    dir: PathBuf,
    program: PathBuf,
    names: Option<PrivateNames>,
    process: Option<Process>,
}

impl Located {
    /// A `redis-server` that listens at `ip`; `lines` go into its file.
    pub fn redis(
        name: &str,
        base: &Path,
        (ip, port): (&str, u16),
        lines: &str,
        names: Option<&PrivateNames>,
    ) -> Result<Self> {
        let program = redis::program()?;
        let dir = base.join(name);
        let text = format!(
            "bind {ip}\nport {port}\ndir {}\nlogfile process.log\nsave \"\"\nappendonly no\nprotected-mode no\n\
             repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n{lines}",
            dir.display()
        );
        Self::new(name, dir, (ip, port), program, &text, names)
    }

    /// A `sentinel-node`; `lines` is its whole file but `port`, `bind`, `dir` and `logfile`.
    pub fn sentinel(
        name: &str,
        base: &Path,
        (ip, port): (&str, u16),
        lines: &str,
        names: Option<&PrivateNames>,
    ) -> Result<Self> {
        let Program::Ours(program) = Program::built_here()? else {
            anyhow::bail!("only for our node");
        };
        let dir = base.join(name);
        let text = format!(
            "port {port}\nbind {ip}\ndir {}\nlogfile process.log\nadmin-port 0\n{lines}",
            dir.display()
        );
        Self::new(name, dir, (ip, port), program, &text, names)
    }

    fn new(
        name: &str,
        dir: PathBuf,
        (ip, port): (&str, u16),
        program: PathBuf,
        text: &str,
        names: Option<&PrivateNames>,
    ) -> Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        std::fs::write(dir.join("process.conf"), text).context("cannot write the configuration")?;
        Ok(Self {
            name: name.to_owned(),
            ip: ip.to_owned(),
            port,
            dir,
            program,
            names: names.cloned(),
            process: None,
        })
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ping()
    }

    /// Starts it.
    pub fn launch(&mut self) -> Result<()> {
        let args = vec![self.config_path().display().to_string()];
        let (program, args) = match &self.names {
            None => (self.program.clone(), args),
            Some(names) => names.wrap(&self.program, &args)?,
        };
        let output = self.dir.join("output.log");
        self.process = Some(Process::spawn(&self.name, &program, &args, &self.dir, &output)?);
        Ok(())
    }

    /// Waits until it answers PING.
    pub fn wait_ping(&mut self) -> Result<()> {
        let what = format!("{} answers PING", self.name);
        wait_for(&what, Duration::from_secs(30), || {
            ensure!(self.command(&["PING"])?.text()? == "PONG", "no PONG");
            Ok(())
        })
    }

    /// Moves it to another IP; it must not run.
    pub fn move_to(&mut self, ip: &str) -> Result<()> {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path).context("cannot read the configuration")?;
        let text = text.replacen(&format!("bind {}\n", self.ip), &format!("bind {ip}\n"), 1);
        std::fs::write(path, text).context("cannot write the configuration")?;
        self.ip = ip.to_owned();
        Ok(())
    }

    /// The process.
    pub fn process(&mut self) -> Result<&mut Process> {
        let name = &self.name;
        self.process
            .as_mut()
            .with_context(|| format!("{name} was never started"))
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("process.conf")
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect_to(&self.ip, self.port, REQUEST_TIMEOUT)
    }

    /// One command on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Result<Value> {
        self.client()?.command(words)
    }

    /// The fields of `INFO section`.
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        info_fields(&mut self.client()?, section)
    }

    /// `SENTINEL GET-MASTER-ADDR-BY-NAME` as `host port`.
    pub fn master_address(&self, master: &str) -> Result<String> {
        let reply = self.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master])?;
        let words: Vec<String> = reply.array()?.iter().map(Value::text).collect::<Result<_>>()?;
        Ok(words.join(" "))
    }

    /// `SENTINEL MASTER` as a map.
    pub fn master(&self, master: &str) -> Result<BTreeMap<String, String>> {
        self.command(&["SENTINEL", "MASTER", master])?.pairs()
    }

    /// `SENTINEL REPLICAS` or `SENTINEL SENTINELS` as maps.
    pub fn instances(&self, what: &str, master: &str) -> Result<Vec<BTreeMap<String, String>>> {
        let reply = self.command(&["SENTINEL", what, master])?;
        reply.array()?.iter().map(Value::pairs).collect()
    }

    /// Its whole log.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.join("process.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Last lines of its log and output, for reports of failures.
    #[must_use]
    pub fn tails(&self, count: usize) -> String {
        let log = tail(&self.dir.join("process.log"), count);
        let output = tail(&self.dir.join("output.log"), 10);
        format!("--- {} ({}:{})\n{log}\n{output}\n", self.name, self.ip, self.port)
    }
}
