//! Acceptance 2: unmodified client libraries keep writing through a failover, and see `+switch-master`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::client_runtime::{self, Runtime};
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_since, now, pause_ms};
use integration::harness::{Cluster, ClusterOptions, scenario};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running client script: what it says, line by line.
struct Script {
    child: Child,
    lines: Receiver<Value>,
    said: Vec<Value>,
}

impl Script {
    fn start(program: &Path, folder: &Path, script: &Path, ports: &[u16]) -> Result<Self> {
        let mut child = Command::new(program)
            .current_dir(folder)
            .arg(script)
            .arg(GROUP)
            .args(ports.iter().map(u16::to_string))
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
            lines,
            said: Vec::new(),
        })
    }

    fn said(&mut self) -> &[Value] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    fn count(&mut self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.said().iter().filter(|value| wanted(value)).count()
    }

    fn wait(&mut self, what: &str, least: usize, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let start = now();
        while self.count(&wanted) < least {
            let ended = self.child.try_wait().context("client")?;
            ensure!(
                ended.is_none(),
                "{what}: the client ended: {ended:?}; {:?}",
                self.said.last()
            );
            ensure!(
                now().saturating_duration_since(start) < PATIENCE,
                "still not: {what}; it said last: {:?}",
                self.said.iter().rev().take(5).collect::<Vec<_>>()
            );
            pause_ms(5);
        }
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is(value: &Value, event: &str) -> bool {
    value["event"] == event
}

fn wrote_to(value: &Value, port: u16) -> bool {
    is(value, "write") && value["port"] == port
}

fn through_failovers(cluster: &mut Cluster, runtime: Runtime, script: &str) -> Result<()> {
    let (program, folder) = match runtime {
        Runtime::Ready(program, folder) => (program, folder),
        Runtime::Absent(reason) => {
            println!("SKIPPED: {reason}");
            return Ok(());
        }
    };
    let ports = cluster.sentinel_ports();
    let mut client = Script::start(&program, &folder, &client_runtime::script(script), &ports)?;
    client.wait("it has subscribed at all sentinels", ports.len(), |value| {
        is(value, "subscribed")
    })?;
    let old = cluster.master_port()?;
    client.wait("it writes", 20, |value| wrote_to(value, old))?;

    cluster.server_at_mut(old)?.process()?.kill9()?;
    let killed = now();
    let new = cluster.wait_new_master(old, PATIENCE)?;
    client.wait("it writes to the new master", 20, |value| wrote_to(value, new))?;
    println!(
        "20 writes to the new master {:.0} ms after the kill",
        ms_since(killed)
    );
    let payload = format!("{GROUP} 127.0.0.1 {old} 127.0.0.1 {new}");
    client.wait("it saw +switch-master of every sentinel", ports.len(), |value| {
        is(value, "switch") && value["payload"] == payload.as_str()
    })?;
    cluster.server_at_mut(old)?.restart()?;
    cluster.wait_ready()?;

    // Once more, by command, with the old master alive.
    if !cluster.is_ours() {
        return Ok(());
    }
    let reply = cluster.node(0)?.command(&["SENTINEL", "FAILOVER", GROUP])?;
    ensure!(reply.is_ok(), "SENTINEL FAILOVER was answered {reply}");
    let third = cluster.wait_new_master(new, PATIENCE)?;
    let before = client.count(|value| wrote_to(value, third));
    client.wait("it writes to the third master", before + 20, |value| {
        wrote_to(value, third)
    })?;
    let (writes, errors) = (client.count(|v| is(v, "write")), client.count(|v| is(v, "error")));
    let version = client
        .said()
        .iter()
        .find(|value| is(value, "version"))
        .map(|value| value["version"].clone());
    println!("{script} {version:?}: {writes} writes, {errors} errors");
    Ok(())
}

#[test]
fn redis_py_writes_through_failovers() {
    let runtime = client_runtime::python(&["redis==7.1.0"]).unwrap();
    scenario(
        "redis_py_writes_through_failovers",
        ClusterOptions::default(),
        |cluster| through_failovers(cluster, runtime, "redis_py.py"),
    );
}

#[test]
fn ioredis_writes_through_failovers() {
    let runtime = client_runtime::node(&["ioredis@5.8.2"]).unwrap();
    scenario(
        "ioredis_writes_through_failovers",
        ClusterOptions::default(),
        |cluster| through_failovers(cluster, runtime, "ioredis.js"),
    );
}
