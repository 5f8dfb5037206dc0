//! A running driver of a client library (`integration/clients/README.md`): what it was told, and what it says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::resp::Credentials;

/// What a driver is started with.
#[derive(Debug, Clone)]
pub struct Task {
    /// Program with its first arguments.
    pub program: Vec<PathBuf>,
    /// Folder to run in.
    pub folder: PathBuf,
    /// Package that the driver is to load, for those that serve several.
    pub library: String,
    /// Ports of the sentinels, in the order that the library gets them.
    pub sentinels: Vec<u16>,
    /// Name of the master.
    pub master: String,
    /// The set to write to.
    pub key: String,
    /// For the sentinels.
    pub sentinel_access: Option<Credentials>,
    /// For the data servers.
    pub access: Option<Credentials>,
    /// Certificate authority: TLS on all links.
    pub ca: Option<PathBuf>,
}

impl Task {
    fn document(&self) -> Value {
        let user = |access: &Option<Credentials>| access.as_ref().and_then(|access| access.user.clone());
        let password = |access: &Option<Credentials>| access.as_ref().map(|access| access.password.clone());
        json!({
            "sentinels": self.sentinels.iter().map(|port| json!(["127.0.0.1", port])).collect::<Vec<_>>(),
            "master": self.master,
            "key": self.key,
            "library": self.library,
            "sentinel_user": user(&self.sentinel_access),
            "sentinel_password": password(&self.sentinel_access),
            "user": user(&self.access),
            "password": password(&self.access),
            "ca": self.ca,
        })
    }
}

/// The process, and all that it said.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    key: String,
    lines: Receiver<Value>,
    /// Acknowledged numbers, in order.
    written: Vec<u64>,
    /// Reads that a replica answered.
    reads: usize,
    /// Reads that something else answered.
    stray_reads: usize,
    errors: usize,
    version: Option<String>,
    /// Last lines, for reports.
    last: VecDeque<Value>,
    /// Last lines that tell of an error, for reports.
    last_errors: VecDeque<Value>,
}

/// Lines of each kind kept for reports.
const LAST: usize = 4;

fn keep(lines: &mut VecDeque<Value>, line: Value) {
    lines.push_back(line);
    while lines.len() > LAST {
        lines.pop_front();
    }
}

impl Driver {
    /// Starts it.
    pub fn start(task: &Task) -> Result<Self> {
        let (program, args) = task.program.split_first().context("no program")?;
        let mut child = Command::new(program)
            .args(args)
            .arg(task.document().to_string())
            .current_dir(&task.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stdout.take().context("no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            key: task.key.clone(),
            lines,
            written: Vec::new(),
            reads: 0,
            stray_reads: 0,
            errors: 0,
            version: None,
            last: VecDeque::new(),
            last_errors: VecDeque::new(),
        })
    }

    /// Takes in what it said since the last call; an error when it has ended.
    pub fn listen(&mut self) -> Result<()> {
        while let Ok(value) = self.lines.try_recv() {
            match value["event"].as_str() {
                Some("version") => self.version = value["version"].as_str().map(str::to_owned),
                Some("write") => self.written.extend(value["n"].as_u64()),
                Some("read") if value["role"] == "slave" => self.reads += 1,
                Some("read") => self.stray_reads += 1,
                _ => {
                    self.errors += 1;
                    keep(&mut self.last_errors, value);
                    continue;
                }
            }
            keep(&mut self.last, value);
        }
        if let Some(status) = self.child.try_wait().context("driver")? {
            bail!("it ended: {status}");
        }
        Ok(())
    }

    /// The set that it writes to.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Acknowledged numbers, in order.
    #[must_use]
    pub fn written(&self) -> &[u64] {
        &self.written
    }

    /// Reads that a replica answered.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads
    }

    /// Reads that a server answered which was no replica (any more).
    #[must_use]
    pub fn stray_reads(&self) -> usize {
        self.stray_reads
    }

    /// Errors that it reported.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Version of the library.
    #[must_use]
    pub fn version(&self) -> &str {
        self.version.as_deref().unwrap_or("?")
    }

    /// Its last successes, and its last errors.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.last.iter().chain(&self.last_errors);
        let lines: Vec<String> = lines.map(Value::to_string).collect();
        lines.join("\n    ")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
