//! `make bench`: failovers by `kill -9` and address queries, ours and the system's `redis-sentinel` in one run.
//!
//! Options: `--runs N` (default 10), `--down-after MS` (default 1000), `--only ours|stock`, `--json FILE`,
//! `--no-queries`, `--check` (exit 1 when a budget of the project is missed).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use integration::bench::failover::{self, Run, Summary, summarize};
use integration::bench::queries::{self, Queries};
use integration::harness::cluster::{Cluster, ClusterOptions};
use integration::harness::sentinel::Program;
use serde::Serialize;

/// The budget for ODOWN to the new address on all nodes: median and 99th percentile in milliseconds.
const BUDGET_MS: (f64, f64) = (25.0, 60.0);

struct Arguments {
    runs: usize,
    down_after_ms: u64,
    only: Option<String>,
    json: PathBuf,
    queries: bool,
    check: bool,
}

#[derive(Serialize)]
struct Side {
    program: String,
    down_after_ms: u64,
    crash_down_after_ms: u64,
    failed_runs: usize,
    runs_with_a_second_failover: usize,
    summary: Vec<Summary>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct QuerySide {
    program: String,
    queries: Vec<Queries>,
}

#[derive(Serialize)]
struct Report {
    sentinels: usize,
    replicas: usize,
    failovers: Vec<Side>,
    address_queries: Vec<QuerySide>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("bench: {reason:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments {
        runs: 10,
        down_after_ms: 1000,
        only: None,
        json: PathBuf::from("target/bench/failover.json"),
        queries: true,
        check: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => parsed.runs = value()?.parse().context("--runs")?,
            "--down-after" => parsed.down_after_ms = value()?.parse().context("--down-after")?,
            "--only" => parsed.only = Some(value()?),
            "--json" => parsed.json = PathBuf::from(value()?),
            "--no-queries" => parsed.queries = false,
            "--check" => parsed.check = true,
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(parsed)
}

fn run() -> Result<bool> {
    let arguments = arguments()?;
    let mut sides: Vec<(&str, Program, u64)> = Vec::new();
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    if wanted("ours") {
        let ours = Program::built_here()?;
        sides.push(("sentinel-node", ours.clone(), 0));
        sides.push(("sentinel-node, crash-down-after 200", ours, 200));
    }
    if wanted("stock") {
        sides.push(("redis-sentinel", Program::Stock, 0));
    }
    let failovers = measure_failovers(&arguments, &sides);
    let address_queries = if arguments.queries {
        measure_queries(&sides)?
    } else {
        Vec::new()
    };
    let report = Report {
        sentinels: 3,
        replicas: 2,
        failovers,
        address_queries,
    };
    print_failovers(&report.failovers);
    print_queries(&report.address_queries);
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder).context("folder of the report")?;
    }
    let json = serde_json::to_string_pretty(&report).context("report")?;
    std::fs::write(&arguments.json, json).context("cannot write the report")?;
    println!("\nreport: {}", arguments.json.display());
    let failed = report
        .failovers
        .iter()
        .filter(|side| side.program != "redis-sentinel");
    let failed: usize = failed.map(|side| side.failed_runs).sum();
    Ok(failed == 0 && (!arguments.check || within_budget(&report.failovers)))
}

/// The sides take turns, so that whatever else the machine does meets them alike.
fn measure_failovers(arguments: &Arguments, sides: &[(&str, Program, u64)]) -> Vec<Side> {
    let mut failovers: Vec<Side> = sides
        .iter()
        .map(|(name, _, crash)| Side {
            program: (*name).to_owned(),
            down_after_ms: arguments.down_after_ms,
            crash_down_after_ms: *crash,
            failed_runs: 0,
            runs_with_a_second_failover: 0,
            summary: Vec::new(),
            runs: Vec::new(),
        })
        .collect();
    for round in 1..=arguments.runs {
        for ((_, program, crash), side) in sides.iter().zip(&mut failovers) {
            let mut options = ClusterOptions::down_after(arguments.down_after_ms);
            options.program = Some(program.clone());
            options.settings.crash_down_after_ms = *crash;
            match failover::measure(options) {
                Ok(run) => {
                    eprintln!(
                        "round {round}/{}: {}: {:.1} ms from ODOWN, {:.1} ms from the kill",
                        arguments.runs, side.program, run.odown_to_all, run.total
                    );
                    side.runs_with_a_second_failover += usize::from(run.switches > 1);
                    side.runs.push(run);
                }
                Err(reason) => {
                    eprintln!("round {round}: {} failed: {reason:?}", side.program);
                    side.failed_runs += 1;
                }
            }
        }
    }
    for side in &mut failovers {
        side.summary = summarize(&side.runs);
    }
    failovers
}

fn measure_queries(sides: &[(&str, Program, u64)]) -> Result<Vec<QuerySide>> {
    let mut clusters = Vec::new();
    for (name, program, _) in sides.iter().filter(|(_, _, crash)| *crash == 0) {
        let options = ClusterOptions {
            program: Some(program.clone()),
            ..ClusterOptions::default()
        };
        let mut cluster = Cluster::start(options)?;
        cluster.wait_ready()?;
        clusters.push((*name, cluster));
    }
    let mut servers = Vec::new();
    for (_, cluster) in &mut clusters {
        let node = cluster.node_mut(0)?;
        servers.push(queries::Server {
            port: node.port(),
            pid: node.process()?.id(),
        });
    }
    let measured = queries::measure(&servers)?;
    let sides = clusters
        .iter()
        .zip(measured)
        .map(|((name, _), queries)| QuerySide {
            program: (*name).to_owned(),
            queries,
        });
    Ok(sides.collect())
}

fn print_failovers(sides: &[Side]) {
    for side in sides {
        println!(
            "\n{} (down-after {} ms): {} runs, {} failed, {} followed by a second failover",
            side.program,
            side.down_after_ms,
            side.runs.len(),
            side.failed_runs,
            side.runs_with_a_second_failover
        );
        println!(
            "  {:<26} {:>10} {:>10} {:>10} {:>10}",
            "ms", "median", "p99", "min", "max"
        );
        for line in &side.summary {
            println!(
                "  {:<26} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
                line.part, line.p50_ms, line.p99_ms, line.min_ms, line.max_ms
            );
        }
    }
}

fn print_queries(sides: &[QuerySide]) {
    if sides.is_empty() {
        return;
    }
    println!(
        "\nSENTINEL GET-MASTER-ADDR-BY-NAME: answers a second, CPU time of the server for one in microseconds"
    );
    print!("  {:<22}", "connections x pipeline");
    for (connections, pipeline, _) in queries::SETTINGS {
        print!(" {:>18}", format!("{connections} x {pipeline}"));
    }
    println!();
    for side in sides {
        print!("  {:<22}", side.program);
        for query in &side.queries {
            print!(
                " {:>18}",
                format!("{:.0} ({:.2})", query.per_second, query.cpu_us)
            );
        }
        println!();
    }
}

fn within_budget(sides: &[Side]) -> bool {
    let mut kept = true;
    for side in sides.iter().filter(|side| side.program != "redis-sentinel") {
        for line in side
            .summary
            .iter()
            .filter(|line| line.part == "ODOWN to address on all")
        {
            let within = line.p50_ms <= BUDGET_MS.0 && line.p99_ms <= BUDGET_MS.1;
            println!(
                "budget {} of {}: median {:.1} <= {} ms, p99 {:.1} <= {} ms",
                if within { "kept" } else { "MISSED" },
                side.program,
                line.p50_ms,
                BUDGET_MS.0,
                line.p99_ms,
                BUDGET_MS.1
            );
            kept &= within;
        }
    }
    kept
}
