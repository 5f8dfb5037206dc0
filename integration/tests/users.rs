//! Users with real processes: sentinels that prove themselves as users, and files that must be refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::ports::Port;
use integration::harness::process::{Process, tail};
use integration::harness::resp::{Client, Credentials};
use integration::harness::sentinel::{GROUP, Program};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions};

const PATIENCE: Duration = Duration::from_secs(30);

/// Each sentinel has a user of its own on all of them; none of them shares a secret with another.
fn options() -> ClusterOptions {
    let mut options = ClusterOptions::down_after(1_000);
    let rules = "resetchannels -@all +ping +sentinel|is-master-down-by-addr";
    let users = (0..3).map(|n| format!("user sentinel-{n} on >secret-{n} {rules}"));
    options.settings.extra = users.collect();
    options
        .settings
        .extra
        .push(String::from("user default on >clients ~* &* +@all"));
    options
}

fn ask(cluster: &Cluster, index: usize, words: &[&str]) -> Result<String> {
    let credentials = Credentials {
        user: None,
        password: String::from("clients"),
    };
    let port = cluster.node(index)?.port();
    let mut client = Client::connect_as(port, Duration::from_secs(2), Some(&credentials))?;
    let reply = client.command(words)?;
    Ok(reply.to_string())
}

fn usable(cluster: &Cluster, index: usize, count: usize) -> Result<()> {
    let reply = ask(cluster, index, &["SENTINEL", "CKQUORUM", GROUP])?;
    ensure!(
        reply.contains(&format!("{count} usable Sentinels")),
        "sentinel {index} answers {reply}"
    );
    Ok(())
}

fn sentinels_prove_themselves() -> Result<()> {
    let options = ClusterOptions {
        program: Some(Program::built_here()?),
        ..options()
    };
    let mut cluster = Cluster::start_servers(options)?;
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        let own = format!("sentinel sentinel-user sentinel-{index}\nsentinel sentinel-pass secret-{index}\n");
        node.edit_config("user sentinel-0", &format!("{own}user sentinel-0"))?;
        node.launch()?;
    }
    for index in 0..3 {
        wait_for("all are usable", PATIENCE, || usable(&cluster, index, 3))?;
    }
    // Who is switched off is turned away when it dials (the others may still dial it).
    for index in [0, 1] {
        let reply = ask(&cluster, index, &["ACL", "SETUSER", "sentinel-2", "off"])?;
        ensure!(reply.contains("OK"), "{reply}");
    }
    let node = cluster.node_mut(2)?;
    node.process()?.kill9()?;
    node.launch()?;
    wait_for("it is turned away", PATIENCE, || {
        let said = cluster.node(2)?.log_messages()?;
        let said = said.iter().any(|line| line.contains("WRONGPASS"));
        ensure!(said, "no WRONGPASS in its log");
        Ok(())
    })?;
    for index in [0, 1] {
        let reply = ask(&cluster, index, &["ACL", "SETUSER", "sentinel-2", "on"])?;
        ensure!(reply.contains("OK"), "{reply}");
    }
    for index in 0..3 {
        wait_for("all are usable again", PATIENCE, || usable(&cluster, index, 3))?;
    }
    let log = ask(&cluster, 0, &["ACL", "LOG"])?;
    ensure!(!log.contains("secret"), "passwords are shown: {log}");
    Ok(())
}

#[test]
fn sentinels_prove_themselves_as_users() {
    if let Err(error) = sentinels_prove_themselves() {
        eprintln!("FAILED: {error:#}");
        eprintln!(
            "REPRODUCE WITH: cargo test -p integration --test users sentinels_prove_themselves_as_users"
        );
        panic!("sentinels_prove_themselves_as_users failed");
    }
}

/// The end of the process that must refuse this file, and what it printed.
fn refused(lines: &str, users: Option<&str>) -> Result<String> {
    let folder = tempfile::tempdir().context("folder")?;
    let port = Port::reserve()?;
    let config = folder.path().join("sentinel.conf");
    let dir = folder.path().display();
    let text = format!("port {}\ndir {dir}\n{lines}\n", port.number());
    std::fs::write(&config, text).context("sentinel.conf")?;
    if let Some(users) = users {
        std::fs::write(folder.path().join("users.acl"), users).context("users.acl")?;
    }
    let Program::Ours(program) = Program::built_here()? else {
        anyhow::bail!("there is no program");
    };
    let out = folder.path().join("out");
    let args = [config.display().to_string()];
    let mut process = Process::spawn("node", &program, &args, folder.path(), &out)?;
    let status = process.wait_exit(Duration::from_secs(20))?;
    let printed = tail(&out, 50);
    ensure!(
        status.code() == Some(1),
        "{lines:?} ended with {status}:\n{printed}"
    );
    let left = std::fs::read_dir(folder.path()).context("folder")?.flatten();
    let left: Vec<String> = left
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("raft-"))
        .collect();
    ensure!(left.is_empty(), "{lines:?} left {left:?}");
    Ok(printed.replace(&dir.to_string(), "DIR"))
}

#[test]
fn wrong_users_stop_the_start() {
    for (lines, users, text) in [
        (
            "user a on >p foo",
            None,
            "at line 3\n>>> 'user a on >p foo'\nError in user declaration 'foo': Syntax error",
        ),
        (
            "user a on\naclfile users.acl",
            Some("user b on"),
            "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid.",
        ),
        (
            "aclfile users.acl",
            None,
            "Aborting Redis startup because of ACL errors: Error loading ACLs, opening file 'DIR/users.acl': No such \
             file or directory",
        ),
        (
            "aclfile users.acl",
            Some("user a on +get\n# comment\n"),
            "Aborting Redis startup because of ACL errors: DIR/users.acl:1: Error in applying operation '+get': Unknown \
             command or category name in ACL. DIR/users.acl:2 should start with user keyword followed by the username. \
             WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
        ),
    ] {
        let printed = refused(lines, users).unwrap_or_else(|error| panic!("{lines:?}: {error:#}"));
        assert!(printed.contains(text), "{lines:?}: no {text:?} in:\n{printed}");
    }
}
