//! The frame of every test with processes: runs it, and on failure prints what is needed to look into it.

use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::Result;

use super::cluster::{Cluster, ClusterOptions};
use super::process::find_program;

/// Starts a cluster, runs `body` on it and ends it. On failure it prints the tails of all logs and one line that
/// repeats the run.
///
/// # Panics
///
/// When the body fails: that is how a test ends.
pub fn scenario(name: &str, options: ClusterOptions, body: impl FnOnce(&mut Cluster) -> Result<()>) {
    let mut cluster = match Cluster::start(options) {
        Ok(cluster) => cluster,
        Err(reason) => fail(name, None, &reason),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        cluster.wait_ready().and_then(|()| body(&mut cluster))
    }));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => fail(name, Some(&cluster), &reason),
        Err(panic) => {
            report(name, Some(&cluster), &panic_text(&*panic));
            resume_unwind(panic);
        }
    }
}

/// Says that something was not tested, and why: past the capture of what tests print that pass.
pub fn say_skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Whether a program that `test` needs is installed; says that the test is skipped where it is not.
#[must_use]
pub fn is_here(program: &str, test: &str) -> bool {
    let found = find_program(program).is_some();
    if !found {
        say_skipped(&format!("{test}: {program} is not installed"));
    }
    found
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| String::from("panic"))
}

fn fail(name: &str, cluster: Option<&Cluster>, reason: &anyhow::Error) -> ! {
    let text = format!("{reason:#}");
    report(name, cluster, &text);
    panic!("{name}: {text}");
}

fn report(name: &str, cluster: Option<&Cluster>, reason: &str) {
    if let Some(cluster) = cluster {
        eprintln!("{}", cluster.tails(60));
    }
    let short = name.rsplit("::").next().unwrap_or(name);
    let variables: String = ["SENTINEL_PROGRAM", "SENTINEL_TEST_RUNS", "SENTINEL_TEST_SLACK"]
        .iter()
        .filter_map(|key| std::env::var(key).ok().map(|value| format!("{key}={value} ")))
        .collect();
    eprintln!("FAILED: {reason}");
    eprintln!("REPRODUCE WITH: {variables}cargo test -p integration -- --exact --nocapture {short}");
}

/// Repetitions of a test: `SENTINEL_TEST_RUNS`, else `full` under `make soak`, else `few`.
#[must_use]
pub fn runs(few: usize, full: usize) -> usize {
    let asked = std::env::var("SENTINEL_TEST_RUNS")
        .ok()
        .and_then(|text| text.parse().ok());
    let default = if std::env::var_os("SENTINEL_TEST_SOAK").is_some() {
        full
    } else {
        few
    };
    asked.unwrap_or(default)
}

/// A limit of time in milliseconds, times `SENTINEL_TEST_SLACK` (for machines that do other work meanwhile).
#[must_use]
pub fn limit_ms(limit: f64) -> f64 {
    let slack: f64 = std::env::var("SENTINEL_TEST_SLACK")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1.0);
    limit * slack
}
