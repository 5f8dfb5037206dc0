//! `make cluster`: one master, two replicas, three nodes, left running until Ctrl-C.

use std::process::ExitCode;

use anyhow::{Context, Result};
use integration::harness::cluster::{Cluster, ClusterOptions};
use integration::harness::sentinel::GROUP;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("cluster: {reason:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")?;
    println!("starting one master, two replicas and three nodes ...");
    let mut cluster = Cluster::start(ClusterOptions::default())?;
    if let Err(reason) = cluster.wait_ready() {
        eprintln!("{}", cluster.tails(30));
        return Err(reason);
    }
    describe(&cluster)?;
    runtime
        .block_on(tokio::signal::ctrl_c())
        .context("cannot wait for Ctrl-C")?;
    println!("\nstopping");
    drop(cluster);
    Ok(())
}

fn describe(cluster: &Cluster) -> Result<()> {
    println!("\ngroup {GROUP}");
    for server in &cluster.servers {
        println!(
            "  {:<12} 127.0.0.1:{}  {}",
            server.name(),
            server.port(),
            server.role()?
        );
    }
    for node in &cluster.nodes {
        println!(
            "  {:<12} 127.0.0.1:{}  admin http://127.0.0.1:{}/v1/status",
            format!("sentinel-{}", node.index()),
            node.port(),
            node.admin_port()
        );
    }
    let port = cluster.node(0)?.port();
    let master = cluster.master_port()?;
    println!(
        "\nfiles and logs: {}",
        cluster
            .folder()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    );
    println!("ask:            redis-cli -p {port} SENTINEL GET-MASTER-ADDR-BY-NAME {GROUP}");
    println!("watch:          redis-cli -p {port} PSUBSCRIBE '*'");
    println!("break:          redis-cli -p {master} SHUTDOWN NOSAVE");
    println!("stop:           Ctrl-C");
    Ok(())
}
