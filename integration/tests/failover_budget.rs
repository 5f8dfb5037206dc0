//! Acceptance 11: ODOWN to the new address on all nodes, measured from outside. `make bench` shows the same beside the
//! system's `redis-sentinel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use integration::bench::failover::{Run, measure_on};
use integration::bench::stats::percentile;
use integration::harness::{ClusterOptions, limit_ms, runs, scenario};

const MEDIAN_MS: f64 = 25.0;
const P99_MS: f64 = 60.0;
/// The budget is one of release builds (make soak, make bench); a debug build may take this many times as long.
const DEBUG_FACTOR: f64 = 2.5;

#[test]
fn odown_to_the_new_address_everywhere_keeps_its_budget() {
    let name = "odown_to_the_new_address_everywhere_keeps_its_budget";
    scenario(name, ClusterOptions::default(), |cluster| {
        let mut measured: Vec<Run> = Vec::new();
        for _ in 0..runs(5, 50) {
            cluster.wait_ready()?;
            let old = cluster.master_port()?;
            let run = measure_on(cluster)?;
            println!("{run:?}");
            measured.push(run);
            cluster.server_at_mut(old)?.restart()?;
        }
        let times: Vec<f64> = measured.iter().map(|run| run.odown_to_all).collect();
        let (median, p99) = (percentile(&times, 50), percentile(&times, 99));
        println!("ODOWN to the new address on all nodes: median {median:.1} ms, p99 {p99:.1} ms");
        if cluster.is_ours() {
            let build = if cfg!(debug_assertions) { DEBUG_FACTOR } else { 1.0 };
            anyhow::ensure!(median <= limit_ms(MEDIAN_MS * build), "the median is {median:.1} ms");
            anyhow::ensure!(p99 <= limit_ms(P99_MS * build), "the 99th percentile is {p99:.1} ms");
        }
        Ok(())
    });
}
