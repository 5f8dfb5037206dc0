//! Address queries by `redis-benchmark`: answers a second, and what an answer costs the server.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::stats::percentile;
use crate::harness::process::find_program;
use crate::harness::sentinel::GROUP;

/// One setting, measured several times.
#[derive(Debug, Clone, Serialize)]
pub struct Queries {
    /// Connections.
    pub connections: u32,
    /// Requests in flight on each.
    pub pipeline: u32,
    /// Answered requests a second: median of the rounds.
    pub per_second: f64,
    /// CPU time of the server for one of them in microseconds, all its threads: median of the rounds.
    pub cpu_us: f64,
    /// Answered requests a second of each round.
    pub rounds: Vec<f64>,
}

/// A server to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub pid: u32,
}

/// How often each setting is measured.
const ROUNDS: usize = 5;

/// The settings that are measured: connections, pipeline, requests.
pub const SETTINGS: [(u32, u32, u32); 4] = [
    (1, 1, 40_000),
    (50, 1, 200_000),
    (1, 16, 400_000),
    (50, 16, 1_600_000),
];

/// Measures all settings; the servers take turns, so that whatever else the machine does meets them alike.
pub fn measure(servers: &[Server]) -> Result<Vec<Vec<Queries>>> {
    let mut measured = vec![Vec::new(); servers.len()];
    for (connections, pipeline, requests) in SETTINGS {
        let mut rounds = vec![(Vec::new(), Vec::new()); servers.len()];
        for _ in 0..ROUNDS {
            for (server, (per_second, cpu_us)) in servers.iter().zip(&mut rounds) {
                let before = cpu_ns(server.pid)?;
                per_second.push(ask(server.port, connections, pipeline, requests)?);
                let spent = cpu_ns(server.pid)?.saturating_sub(before);
                cpu_us.push(spent as f64 / 1_000.0 / f64::from(requests));
            }
        }
        for (all, (per_second, cpu_us)) in measured.iter_mut().zip(rounds) {
            all.push(Queries {
                connections,
                pipeline,
                per_second: percentile(&per_second, 50),
                cpu_us: percentile(&cpu_us, 50),
                rounds: per_second,
            });
        }
    }
    Ok(measured)
}

/// CPU time of all threads of a process so far.
fn cpu_ns(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the server is gone")? {
        let path = task.context("a thread")?.path().join("schedstat");
        // A thread that ended meanwhile was not serving clients.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        sum += text
            .split(' ')
            .next()
            .and_then(|ns| ns.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// Asks the sentinel at `port` for the address of the group, as fast as it answers: answers a second.
fn ask(port: u16, connections: u32, pipeline: u32, requests: u32) -> Result<f64> {
    let program = find_program("redis-benchmark").context("redis-benchmark is not installed")?;
    let output = Command::new(program)
        .args([
            "-p",
            &port.to_string(),
            "-c",
            &connections.to_string(),
            "-P",
            &pipeline.to_string(),
        ])
        .args(["-n", &requests.to_string(), "--csv"])
        .args(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])
        .output()
        .context("redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "redis-benchmark: {} {text}",
        output.status
    );
    text.lines()
        .filter_map(|line| line.split(',').nth(1))
        .filter_map(|field| field.trim_matches('"').parse::<f64>().ok())
        .next_back()
        .with_context(|| format!("no figure in the answer of redis-benchmark: {text}"))
}
