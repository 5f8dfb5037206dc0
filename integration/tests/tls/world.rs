//! Processes that speak TLS, and the system's `redis-cli` to talk to them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::ports::Port;
use integration::harness::process::{Process, find_program, tail};
use integration::harness::sentinel::{GROUP, Program};
use integration::harness::wait::wait_for;
use tempfile::TempDir;

use crate::certs::{Ca, Pair};

pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A folder with a CA and one certificate that all servers show.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) ca: Ca,
    pub(crate) shown: Pair,
    /// Whether clients must show a certificate.
    auth_clients: &'static str,
}

/// A process with TLS only.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) port: Port,
    pub(crate) dir: PathBuf,
    pub(crate) process: Process,
    _admin: Port,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sentinel-test-")
            .tempdir()
            .unwrap();
        let ca = Ca::new(folder.path(), "ca");
        let shown = ca.issue(folder.path(), "server");
        Self {
            folder,
            ca,
            shown,
            auth_clients: "yes",
        }
    }

    /// For client libraries: a certificate for 127.0.0.1, and clients need none.
    pub(crate) fn for_libraries() -> Self {
        let mut world = Self::new();
        world.shown = world.ca.issue_for_address(world.folder.path(), "address");
        world.auth_clients = "no";
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The lines that all programs here understand.
    pub(crate) fn tls_lines(&self, port: u16) -> String {
        format!(
            "port 0\ntls-port {port}\ntls-replication yes\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients {}\n",
            self.shown.cert.display(),
            self.shown.key.display(),
            self.ca.file.display(),
            self.auth_clients,
        )
    }

    fn start(&self, name: &str, port: Port, text: &str, program: &Path) -> Result<Node> {
        let dir = self.path().join(name);
        std::fs::create_dir_all(&dir).context("folder")?;
        let config = dir.join("node.conf");
        let admin = Port::reserve()?;
        let ours = program.ends_with("sentinel-node");
        let own = if ours {
            format!("admin-port {}\n", admin.number())
        } else {
            String::new()
        };
        let text = format!("dir {}\nlogfile log.txt\n{own}{text}", dir.display());
        std::fs::write(&config, text).context("config")?;
        let args = [config.display().to_string()];
        let process = Process::spawn(name, program, &args, &dir, &dir.join("output.txt"))?;
        let mut node = Node {
            name: name.to_owned(),
            port,
            dir,
            process,
            _admin: admin,
        };
        let me = Some(&self.shown);
        wait_for(&format!("{name} answers"), PATIENCE, || {
            ensure!(
                node.process.exit_status().is_none(),
                "it ended: {}{}",
                node.log(),
                tail(&node.dir.join("output.txt"), 10)
            );
            let pong = self.ask(node.port(), me, &["PING"])?;
            ensure!(pong == "PONG", "{pong}");
            Ok(())
        })?;
        Ok(node)
    }

    /// A Redis server, a replica of `master`.
    pub(crate) fn redis(&self, name: &str, port: Port, master: Option<u16>) -> Result<Node> {
        let mut text = self.tls_lines(port.number());
        text.push_str("bind 127.0.0.1\nprotected-mode no\nsave \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n");
        if let Some(master) = master {
            text.push_str(&format!("replicaof 127.0.0.1 {master}\n"));
        }
        let program = integration::harness::redis::program()?;
        self.start(name, port, &text, &program)
    }

    /// A sentinel with these lines beside those of TLS.
    pub(crate) fn sentinel(&self, name: &str, port: Port, lines: &str, program: &Program) -> Result<Node> {
        let text = format!("{}{lines}", self.tls_lines(port.number()));
        let program = match program {
            Program::Ours(path) => path.clone(),
            Program::Stock => find_program("redis-sentinel").context("redis-sentinel is not installed")?,
        };
        self.start(name, port, &text, &program)
    }

    /// A sentinel of ours that monitors nothing.
    pub(crate) fn alone(&self, name: &str, lines: &str) -> Node {
        let program = Program::from_environment().unwrap();
        self.sentinel(name, Port::reserve().unwrap(), lines, &program)
            .unwrap()
    }

    /// What redis-cli prints over TLS; `who` is the certificate it shows.
    pub(crate) fn ask(&self, port: u16, who: Option<&Pair>, words: &[&str]) -> Result<String> {
        let mut command = Command::new("timeout");
        command
            .args(["10", "redis-cli", "--tls", "--cacert"])
            .arg(&self.ca.file);
        command.args(["-p", &port.to_string()]);
        if let Some(pair) = who {
            command.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        let output = command.args(words).output().context("redis-cli")?;
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        ensure!(
            output.status.success(),
            "redis-cli: {printed} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(printed)
    }

    /// The same of a node, with the certificate that all servers have.
    pub(crate) fn tell(&self, node: &Node, words: &[&str]) -> Result<String> {
        self.ask(node.port(), Some(&self.shown), words)
    }

    /// Port of the master that a sentinel names.
    pub(crate) fn master(&self, sentinel: &Node) -> Result<u16> {
        let answer = self.tell(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        let port = answer.lines().nth(1).with_context(|| answer.clone())?;
        Ok(port.parse()?)
    }

    /// A field of a flat reply that redis-cli prints line by line.
    pub(crate) fn field(&self, node: &Node, words: &[&str], name: &str) -> Result<String> {
        let printed = self.tell(node, words)?;
        let mut lines = printed.lines();
        lines
            .find(|line| *line == name)
            .with_context(|| printed.clone())?;
        Ok(lines.next().unwrap_or_default().to_owned())
    }
}

impl Node {
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log.txt")).unwrap_or_default()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, Iterator::count)
    }
}
