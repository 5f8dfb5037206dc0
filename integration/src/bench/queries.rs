//! Address queries a second, by `redis-benchmark`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::harness::process::find_program;
use crate::harness::sentinel::GROUP;

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Queries {
    /// Connections.
    pub connections: u32,
    /// Requests in flight on each.
    pub pipeline: u32,
    /// Answered requests a second.
    pub per_second: f64,
}

/// The settings that are measured: connections, pipeline, requests.
pub const SETTINGS: [(u32, u32, u32); 4] = [
    (1, 1, 20_000),
    (50, 1, 100_000),
    (1, 16, 200_000),
    (50, 16, 400_000),
];

/// Asks the sentinel at `port` for the address of the group, as fast as it answers.
pub fn measure(port: u16, connections: u32, pipeline: u32, requests: u32) -> Result<Queries> {
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
    let per_second = text
        .lines()
        .filter_map(|line| line.split(',').nth(1))
        .filter_map(|field| field.trim_matches('"').parse::<f64>().ok())
        .next_back()
        .with_context(|| format!("no figure in the answer of redis-benchmark: {text}"))?;
    Ok(Queries {
        connections,
        pipeline,
        per_second,
    })
}
