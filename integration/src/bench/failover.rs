//! One failover by `kill -9`, timed from outside.
//!
//! ```text
//! kill -9 -- detection --> +odown -- decision --> replica chosen -- promotion --> role:master -- publication --> all answer
//! ```
//!
//! All instants are taken in the measuring process: events as they arrive over pub/sub, roles and addresses by polling
//! without a pause longer than a millisecond.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::stats::percentile;
use crate::harness::cluster::{Cluster, ClusterOptions};
use crate::harness::time::{ms_between, now};
use crate::harness::watch;

/// A step may take this long before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(40);

/// One failover, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Kill to the first `+sdown`.
    pub sdown: f64,
    /// Kill to the first `+odown`.
    pub detection: f64,
    /// `+odown` to `+selected-slave`.
    pub decision: f64,
    /// `+selected-slave` to the first ROLE of the new master that says so.
    pub promotion: f64,
    /// The new master's role to the new address on all sentinels.
    pub publication: f64,
    /// `+odown` to the new address on all sentinels.
    pub odown_to_all: f64,
    /// Kill to the new address on all sentinels.
    pub total: f64,
    /// Kill to the first write of a client that asks the sentinels for the master.
    pub first_write: f64,
    /// `+switch-master` events at the node that saw most of them: more than 1 = it was failed over again.
    pub switches: usize,
}

/// Runs one failover on a fresh cluster.
pub fn measure(options: ClusterOptions) -> Result<Run> {
    let mut cluster = Cluster::start(options)?;
    let outcome = cluster.wait_ready().and_then(|()| measure_on(&mut cluster));
    outcome.with_context(|| cluster.tails(25))
}

/// Runs one failover on a ready cluster.
pub fn measure_on(cluster: &mut Cluster) -> Result<Run> {
    let old = cluster.master_port()?;
    let credentials = cluster.options().access.credentials();
    let mut events = cluster.events()?;
    let running = cluster.running();
    let addresses: Vec<_> = cluster
        .sentinel_ports()
        .into_iter()
        .map(|port| watch::new_address(port, old))
        .collect();
    let promotion = watch::promotion(cluster.ports_but(old), credentials.clone());
    let write = watch::first_write(cluster.sentinel_ports(), old, credentials);

    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let sdown = events.wait("+sdown of the master", PATIENCE, |event| {
        event.name == "+sdown" && event.payload.starts_with("master ")
    })?;
    let odown = events.wait("+odown", PATIENCE, |event| event.name == "+odown")?;
    let selected = events.wait("+selected-slave", PATIENCE, |event| {
        event.name == "+selected-slave"
    })?;
    let (promoted_at, promoted) = promotion.wait("a replica is a master", PATIENCE)?;
    let mut all: Option<Instant> = None;
    for address in addresses {
        let (at, port) = address.wait("every sentinel names a new master", PATIENCE)?;
        ensure!(
            port == promoted,
            "a sentinel names {port}, but {promoted} was promoted"
        );
        all = all.max(Some(at));
    }
    let all = all.context("no sentinels")?;
    let first_write = write.wait("a write is accepted", PATIENCE)?;
    let switches = running
        .iter()
        .map(|node| events.count_at(*node, "+switch-master"))
        .max()
        .unwrap_or(0);
    Ok(Run {
        sdown: ms_between(killed, sdown.at),
        detection: ms_between(killed, odown.at),
        decision: ms_between(odown.at, selected.at),
        promotion: ms_between(selected.at, promoted_at),
        publication: ms_between(promoted_at, all),
        odown_to_all: ms_between(odown.at, all),
        total: ms_between(killed, all),
        first_write: ms_between(killed, first_write),
        switches,
    })
}

/// One figure of a run.
type Part = fn(&Run) -> f64;

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// What was measured.
    pub part: &'static str,
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile (nearest rank) in milliseconds.
    pub p99_ms: f64,
    /// Least, in milliseconds.
    pub min_ms: f64,
    /// Most, in milliseconds.
    pub max_ms: f64,
}

/// Medians and percentiles of all parts.
#[must_use]
pub fn summarize(runs: &[Run]) -> Vec<Summary> {
    let parts: [(&'static str, Part); 8] = [
        ("first SDOWN", |run| run.sdown),
        ("detection", |run| run.detection),
        ("decision", |run| run.decision),
        ("promotion", |run| run.promotion),
        ("publication", |run| run.publication),
        ("ODOWN to address on all", |run| run.odown_to_all),
        ("kill to address on all", |run| run.total),
        ("kill to first write", |run| run.first_write),
    ];
    parts
        .into_iter()
        .map(|(part, value)| {
            let values: Vec<f64> = runs.iter().map(value).collect();
            Summary {
                part,
                p50_ms: percentile(&values, 50),
                p99_ms: percentile(&values, 99),
                min_ms: percentile(&values, 0),
                max_ms: percentile(&values, 100),
            }
        })
        .collect()
}
