//! The admin RPC and `sentinel-node status` of a running deployment, before and after a failover.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::http::{get, get_json};
use integration::harness::sentinel::{GROUP, Program};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, scenario};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_admin_rpc_tells_state_and_history() {
    scenario(
        "the_admin_rpc_tells_state_and_history",
        ClusterOptions::default(),
        |cluster| {
            if !cluster.is_ours() {
                println!("skipped: the admin RPC is ours");
                return Ok(());
            }
            for index in 0..cluster.nodes.len() {
                expect_healthy(cluster, index).with_context(|| format!("node {index}"))?;
            }
            let old = cluster.master_port()?;
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let new = cluster.wait_new_master(old, PATIENCE)?;
            for index in 0..cluster.nodes.len() {
                wait_for("the history tells the failover", PATIENCE, || {
                    expect_history(cluster, index, old, new)
                })?;
            }
            expect_status_command(cluster)
        },
    );
}

fn group(cluster: &Cluster, index: usize) -> Result<Value> {
    get_json(cluster.node(index)?.admin_port(), &format!("/v1/masters/{GROUP}"))
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

fn expect_healthy(cluster: &Cluster, index: usize) -> Result<()> {
    let node = cluster.node(index)?;
    let admin = node.admin_port();
    wait_for("/readyz says ok", PATIENCE, || {
        let (status, body) = get(admin, "/readyz")?;
        ensure!(status == 200, "/readyz was answered {status}: {body}");
        Ok(())
    })?;
    let (status, body) = get(admin, "/healthz")?;
    ensure!(status == 200, "/healthz was answered {status}: {body}");

    let status = get_json(admin, "/v1/status")?;
    ensure!(
        status["node"]["myid"] == node.myid()?.as_str(),
        "node: {}",
        status["node"]
    );
    ensure!(status["node"]["has_majority"] == true, "node: {}", status["node"]);
    ensure!(
        length(&status["sentinels"]) == cluster.nodes.len(),
        "sentinels: {}",
        status["sentinels"]
    );
    let masters = get_json(admin, "/v1/masters")?;
    ensure!(masters.to_string().contains(GROUP), "/v1/masters: {masters}");
    let raft = get_json(admin, "/v1/raft")?;
    ensure!(raft.to_string().contains("term"), "/v1/raft: {raft}");

    let master = group(cluster, index)?;
    ensure!(master["status"] == "ok", "status: {}", master["status"]);
    ensure!(
        length(&master["instances"]) == 3,
        "instances: {}",
        master["instances"]
    );
    wait_for("the opinions of all sentinels are shown", PATIENCE, || {
        let opinions = group(cluster, index)?["opinions"].clone();
        ensure!(length(&opinions) == cluster.nodes.len(), "opinions: {opinions}");
        Ok(())
    })?;

    let (status, metrics) = get(admin, "/metrics")?;
    ensure!(
        status == 200 && metrics.contains("# TYPE sentinel_"),
        "/metrics was answered {status}: {metrics}"
    );
    let (status, body) = get(admin, "/v1/masters/no-such-master")?;
    ensure!(status == 404, "an unknown master was answered {status}: {body}");
    Ok(())
}

fn expect_history(cluster: &Cluster, index: usize, old: u16, new: u16) -> Result<()> {
    let master = group(cluster, index)?;
    ensure!(master["plan"].is_null(), "open plan: {}", master["plan"]);
    ensure!(length(&master["history"]) == 1, "history: {}", master["history"]);
    let plan = &master["history"][0];
    ensure!(
        plan["from"]
            .as_str()
            .is_some_and(|text| text.contains(&old.to_string())),
        "plan: {plan}"
    );
    ensure!(
        plan["to"]
            .as_str()
            .is_some_and(|text| text.contains(&new.to_string())),
        "plan: {plan}"
    );
    ensure!(length(&plan["timeline"]) >= 3, "timeline: {}", plan["timeline"]);
    ensure!(length(&plan["evidence"]) >= 1, "evidence: {}", plan["evidence"]);
    Ok(())
}

fn expect_status_command(cluster: &Cluster) -> Result<()> {
    let Program::Ours(program) = Program::from_environment()? else {
        return Ok(());
    };
    let admin = format!("127.0.0.1:{}", cluster.node(0)?.admin_port());
    let output = Command::new(program)
        .args(["status", "--admin", &admin])
        .output()
        .context("status")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    ensure!(output.status.success(), "{}: {text}", output.status);
    ensure!(text.contains(GROUP), "the group is not named: {text}");
    Ok(())
}
