//! `sentinel rewrite-config yes`: the file is written as Sentinel writes it, follows the group, and loads again, here and in
//! the system's `redis-sentinel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::lone::Lone;
use integration::harness::ports::Port;
use integration::harness::process::find_program;
use integration::harness::scenario::is_here;
use integration::harness::sentinel::{GROUP, Sentinel};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

fn rewriting() -> ClusterOptions {
    let mut options = ClusterOptions::default();
    options.settings.extra = vec![
        "sentinel rewrite-config yes".to_owned(),
        "# an operator's remark".to_owned(),
    ];
    options
}

fn file(node: &Sentinel) -> Result<String> {
    std::fs::read_to_string(node.config_path()).context("no file")
}

fn has(node: &Sentinel, line: &str) -> Result<()> {
    let text = file(node)?;
    ensure!(
        text.lines().any(|found| found == line),
        "node {} has no line {line:?}:\n{text}",
        node.index()
    );
    Ok(())
}

/// A machine that does other work meanwhile may be without a raft_leader for a moment.
fn ask(node: &Sentinel, words: &[&str]) -> Result<()> {
    wait_for("the command is done", PATIENCE, || {
        let reply = node.command(words)?;
        ensure!(reply.is_ok(), "{words:?} was answered {reply}");
        Ok(())
    })
}

/// Every file says who is who.
fn files_say_what_is(cluster: &Cluster, master: u16, replicas: &[u16]) -> Result<()> {
    wait_for("the files say what is", PATIENCE, || {
        for node in &cluster.nodes {
            has(node, &format!("sentinel monitor {GROUP} 127.0.0.1 {master} 2"))?;
            for replica in replicas {
                has(
                    node,
                    &format!("sentinel known-replica {GROUP} 127.0.0.1 {replica}"),
                )?;
            }
            let text = file(node)?;
            let count = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
            ensure!(
                count("sentinel known-replica ") == replicas.len(),
                "other replicas:\n{text}"
            );
            ensure!(count("sentinel known-sentinel ") == 2, "other sentinels:\n{text}");
            has(node, &format!("sentinel myid {}", node.myid()?))?;
        }
        Ok(())
    })
}

fn restart_all(cluster: &mut Cluster) -> Result<()> {
    for node in &mut cluster.nodes {
        node.process()?.terminate()?;
    }
    for node in &mut cluster.nodes {
        node.launch()?;
    }
    for node in &mut cluster.nodes {
        node.wait_ping()?;
    }
    cluster.wait_ready()
}

#[test]
fn the_file_follows_the_group_and_an_edit_of_it_counts_at_the_next_start() {
    let name = "the_file_follows_the_group_and_an_edit_of_it_counts_at_the_next_start";
    scenario(name, rewriting(), |cluster| {
        let ports: Vec<u16> = cluster.servers.iter().map(|server| server.port()).collect();
        let [first, others @ ..] = &ports[..] else {
            anyhow::bail!("no servers");
        };
        files_say_what_is(cluster, *first, others)?;
        follows_commands(cluster)?;

        cluster.server_at_mut(*first)?.process()?.kill9()?;
        let new = cluster.wait_new_master(*first, PATIENCE)?;
        let rest: Vec<u16> = ports.iter().copied().filter(|port| *port != new).collect();
        files_say_what_is(cluster, new, &rest)?;
        for node in &cluster.nodes {
            let text = file(node)?;
            ensure!(
                text.contains("# an operator's remark\n"),
                "a remark is gone:\n{text}"
            );
            ensure!(
                !text.contains(&format!("config-epoch {GROUP} 0")),
                "no epoch:\n{text}"
            );
            ensure!(
                node.log_count("Sentinel new configuration saved on disk")? > 1,
                "not said in the log"
            );
        }

        // The edit of one node counts for all; nothing else changes, and no line is taken for an edit.
        for node in &mut cluster.nodes {
            node.process()?.terminate()?;
        }
        let edit = (
            "down-after-milliseconds redis-master-node 1500",
            "down-after-milliseconds redis-master-node 1200",
        );
        cluster.node(0)?.edit_config(edit.0, edit.1)?;
        for node in &mut cluster.nodes {
            node.launch()?;
        }
        for node in &mut cluster.nodes {
            node.wait_ping()?;
        }
        wait_for("the edit counts everywhere", PATIENCE, || {
            for node in &cluster.nodes {
                let master = node.master()?;
                let period = master.get("down-after-milliseconds").context("no field")?;
                ensure!(period == "1200" && node.master_port()? == new, "{master:?}");
                has(node, &format!("sentinel {}", edit.1))?;
            }
            Ok(())
        })?;
        files_say_what_is(cluster, new, &rest)
    });
}

/// MONITOR, REMOVE, SET, CONFIG SET and FLUSHCONFIG.
fn follows_commands(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(0)?;
    ask(
        node,
        &["SENTINEL", "SET", GROUP, "down-after-milliseconds", "1500"],
    )?;
    ask(node, &["SENTINEL", "MONITOR", "added", "127.0.0.1", "1", "2"])?;
    ask(
        node,
        &[
            "SENTINEL",
            "CONFIG",
            "SET",
            "announce-port",
            &node.port().to_string(),
        ],
    )?;
    has(node, &format!("sentinel announce-port {}", node.port()))?;
    wait_for("the files have followed", PATIENCE, || {
        for node in &cluster.nodes {
            has(node, &format!("sentinel down-after-milliseconds {GROUP} 1500"))?;
            has(node, "sentinel monitor added 127.0.0.1 1 2")?;
            ensure!(
                !file(node)?.contains("down-after-milliseconds added"),
                "a default was written"
            );
        }
        Ok(())
    })?;
    ask(node, &["SENTINEL", "REMOVE", "added"])?;
    ask(node, &["SENTINEL", "CONFIG", "SET", "announce-port", "0"])?;
    wait_for("the removed master is gone", PATIENCE, || {
        for node in &cluster.nodes {
            ensure!(!file(node)?.contains(" added "), "{}", file(node)?);
        }
        Ok(())
    })?;
    ensure!(!file(node)?.contains("announce-port"), "{}", file(node)?);
    // A file that was lost is written again, all of it.
    let before: BTreeSet<String> = file(node)?.lines().map(str::to_owned).collect();
    std::fs::remove_file(node.config_path())?;
    ask(node, &["SENTINEL", "FLUSHCONFIG"])?;
    let after: BTreeSet<String> = file(node)?.lines().map(str::to_owned).collect();
    ensure!(before == after, "before {before:?}, after {after:?}");
    Ok(())
}

#[test]
fn an_edit_of_a_running_node_is_not_lost_to_a_failover() {
    let name = "an_edit_of_a_running_node_is_not_lost_to_a_failover";
    scenario(name, rewriting(), |cluster| {
        let ports: Vec<u16> = cluster.servers.iter().map(|server| server.port()).collect();
        files_say_what_is(cluster, ports[0], &ports[1..])?;
        let line = |ms: u32| format!("sentinel down-after-milliseconds {GROUP} {ms}");
        cluster.node(0)?.edit_config(&line(1000), &line(1300))?;
        cluster.server_at_mut(ports[0])?.process()?.kill9()?;
        let new = cluster.wait_new_master(ports[0], PATIENCE)?;
        wait_for("the node says that its file was edited", PATIENCE, || {
            let text = cluster.node(0)?.log_messages()?.join("\n");
            ensure!(
                text.contains("was edited while this sentinel runs"),
                "it does not"
            );
            has(cluster.node(0)?, &line(1300))
        })?;
        restart_all(cluster)?;
        wait_for("the edit counts, the failover stays", PATIENCE, || {
            for node in &cluster.nodes {
                let master = node.master()?;
                let period = master.get("down-after-milliseconds").context("no field")?;
                ensure!(period == "1300" && node.master_port()? == new, "{master:?}");
                has(node, &line(1300))?;
                has(node, &format!("sentinel monitor {GROUP} 127.0.0.1 {new} 2"))?;
            }
            Ok(())
        })
    });
}

/// What both write, but for what only one of them has.
fn comparable(text: &str) -> BTreeSet<String> {
    // The number of an epoch; the id of a sentinel; and what is ours alone.
    const CUT: [&str; 4] = [
        "sentinel myid",
        "sentinel current-epoch",
        "sentinel config-epoch m",
        "sentinel leader-epoch m",
    ];
    const OURS: [&str; 2] = ["sentinel rewrite-config", "admin-port"];
    let lines = text
        .lines()
        .filter(|line| !OURS.iter().any(|ours| line.starts_with(ours)));
    let normal = |line: &str| {
        let cut = CUT.iter().find(|cut| line.starts_with(**cut));
        cut.map_or(line, |cut| *cut).to_owned()
    };
    lines.map(normal).collect()
}

/// A file with a bit of everything. One rule for commands: redis-sentinel writes several in an order of its own each time.
fn rich(port: u16, dir: &Path, master: u16) -> String {
    format!(
        "# head\nport {port}\nDIR {}\n\n\n# two blank lines above\nsentinel monitor m 127.0.0.1 {master} 1\n\
         SENTINEL down-after-milliseconds m 30000\nsentinel failover-timeout m 60000\n\
         sentinel parallel-syncs m 2\n# remark\nsentinel auth-pass m \"foobared\"\nloglevel NOTICE\nlogfile x.log\n\
         save 3600 1\nmaxclients 5000\nmaxclients 6000\ntcp-keepalive 60\nmaxmemory 1048576\n\
         sentinel announce-ip 127.0.0.1\nsentinel sentinel-pass secret\nsentinel deny-scripts-reconfig yes\n\
         sentinel resolve-hostnames yes\nsentinel rename-command m CONFIG GUESSME\n\
         user spare on >pw ~x* &ch* -@all +ping\nsyslog-ident \"a b\"\nsave 60 5\n# tail\n",
        dir.display()
    )
}

#[test]
fn our_file_has_the_lines_that_redis_sentinel_writes_and_each_loads_the_others() {
    if !is_here(
        "redis-sentinel",
        "our_file_has_the_lines_that_redis_sentinel_writes_and_each_loads_the_others",
    ) {
        return;
    }
    let name = "our_file_has_the_lines_that_redis_sentinel_writes_and_each_loads_the_others";
    let options = ClusterOptions {
        sentinels: 0,
        replicas: 0,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_servers(options).unwrap();
    compare(cluster.servers[0].port()).unwrap_or_else(|error| {
        panic!("{error:#}\nREPRODUCE WITH: cargo test -p integration --test rewrite_config -- {name}")
    });
}

fn compare(master: u16) -> Result<()> {
    let stock = find_program("redis-sentinel").context("redis-sentinel is not installed")?;
    let folder = tempfile::tempdir()?;
    let port = Port::reserve()?;
    let (path, stock_path) = (folder.path().join("ours.conf"), folder.path().join("stock.conf"));
    let text = rich(port.number(), folder.path(), master);
    std::fs::write(&stock_path, &text)?;
    let admin = Port::reserve()?;
    let own = format!(
        "{text}sentinel rewrite-config yes\nadmin-port {}\n",
        admin.number()
    );
    std::fs::write(&path, own)?;

    let start = |program: &Path, file: &Path| {
        let args = [file.display().to_string()];
        Lone::start(program, &args, folder.path(), file.to_path_buf(), port.number())
    };
    let mut theirs = start(&stock, &stock_path)?;
    ensure!(theirs.ask(&["SENTINEL", "FLUSHCONFIG"])? == "OK");
    let expected = theirs.text()?;
    theirs.process.terminate()?;
    let mut node = start(&Lone::program().unwrap(), &path)?;
    wait_for("our file is complete", PATIENCE, || {
        ensure!(node.ask(&["SENTINEL", "FLUSHCONFIG"])? == "OK");
        let written = node.text()?;
        ensure!(
            comparable(&written) == comparable(&expected),
            "only in one of them: {:?}",
            comparable(&written)
                .symmetric_difference(&comparable(&expected))
                .collect::<Vec<_>>()
        );
        Ok(())
    })?;
    node.process.terminate()?;

    // Without the lines of our own, Sentinel starts on our file.
    let written = std::fs::read_to_string(&path)?;
    let back: String = written
        .lines()
        .filter(|line| !line.contains("rewrite-config") && !line.starts_with("admin-port"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&path, back)?;
    let mut theirs = start(&stock, &path)?;
    let address = theirs.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"])?;
    ensure!(address.contains(&master.to_string()), "it names {address}");
    theirs.process.terminate()?;
    // And we on what it has made of it.
    let again = format!(
        "{}sentinel rewrite-config yes\nadmin-port {}\n",
        std::fs::read_to_string(&path)?,
        admin.number()
    );
    std::fs::write(&path, again)?;
    let mut node = start(&Lone::program().unwrap(), &path)?;
    node.process.terminate()?;
    Ok(())
}

/// A node on a file of its own, in a mount namespace where `script` was run first. `None` where that is not permitted.
fn start_mounted(folder: &Path, script: &str, port: &Port) -> Result<Option<Lone>> {
    let Some(unshare) = find_program("unshare") else {
        return Ok(None);
    };
    let probe = std::process::Command::new(&unshare)
        .args(["-m", "sh", "-c", script])
        .current_dir(folder)
        .output()?;
    if !probe.status.success() {
        eprintln!(
            "skipped: a mount namespace is not permitted here: {}",
            String::from_utf8_lossy(&probe.stderr)
        );
        return Ok(None);
    }
    let file = folder.join("sentinel.conf");
    let script = format!(
        "{script} && exec {} {}",
        Lone::program()?.display(),
        file.display()
    );
    let args = ["-m", "sh", "-c", &script].map(str::to_owned);
    Lone::start(
        &unshare,
        &args,
        folder,
        folder.join("mounted.conf"),
        port.number(),
    )
    .map(Some)
}

fn lone_file(folder: &Path, port: &Port, admin: &Port) -> String {
    format!(
        "port {}\ndir {}\nadmin-port {}\nsentinel rewrite-config yes\nlogfile sentinel.log\nsentinel monitor m 127.0.0.1 1 1\n",
        port.number(),
        folder.display(),
        admin.number()
    )
}

#[test]
fn a_file_that_is_a_mount_of_its_own_is_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let text = lone_file(folder.path(), &port, &admin);
    std::fs::write(folder.path().join("sentinel.conf"), "").unwrap();
    std::fs::write(folder.path().join("mounted.conf"), &text).unwrap();
    let script = "mount --bind mounted.conf sentinel.conf";
    let Some(mut node) = start_mounted(folder.path(), script, &port).unwrap() else {
        return;
    };
    for ms in [5000, 50_000, 7] {
        wait_for("the setting is taken", PATIENCE, || {
            let answer = node.ask(&["SENTINEL", "SET", "m", "down-after-milliseconds", &ms.to_string()])?;
            ensure!(answer == "OK", "{answer}");
            Ok(())
        })
        .unwrap();
        assert_eq!(node.ask(&["SENTINEL", "FLUSHCONFIG"]).unwrap(), "OK");
        let text = node.text().unwrap();
        assert!(
            text.contains(&format!("sentinel down-after-milliseconds m {ms}\n")),
            "{text}"
        );
        assert!(!text.contains("#>"), "the journal was left:\n{text}");
    }
    node.process.terminate().unwrap();
}

#[test]
fn a_file_that_cannot_be_written_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    std::fs::write(
        folder.path().join("sentinel.conf"),
        lone_file(folder.path(), &port, &admin),
    )
    .unwrap();
    let script = "mount --bind sentinel.conf sentinel.conf && mount -o remount,ro,bind sentinel.conf";
    match start_mounted(folder.path(), script, &port) {
        Ok(None) => return,
        Ok(Some(_)) => panic!("it started on a file that it cannot write"),
        Err(reason) => assert!(format!("{reason:#}").contains("exit status: 1"), "{reason:#}"),
    }
    let log = std::fs::read_to_string(folder.path().join("sentinel.log")).unwrap_or_default();
    assert!(
        log.contains("Sentinel config file ")
            && log.contains("sentinel.conf is not writable: Read-only file system. Exiting..."),
        "{log}"
    );
}

#[test]
fn what_an_included_file_says_is_not_repeated_and_a_failed_write_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let inner = folder.path().join("etc");
    std::fs::create_dir(&inner).unwrap();
    let text = lone_file(folder.path(), &port, &admin).replace(
        "sentinel monitor m 127.0.0.1 1 1",
        &format!("include {}/masters.conf", folder.path().display()),
    );
    std::fs::write(
        folder.path().join("masters.conf"),
        "sentinel monitor m 127.0.0.1 1 1\n",
    )
    .unwrap();
    let path = inner.join("sentinel.conf");
    std::fs::write(&path, text).unwrap();
    let args = [path.display().to_string()];
    let start = || {
        Lone::start(
            &Lone::program().unwrap(),
            &args,
            folder.path(),
            path.clone(),
            port.number(),
        )
        .unwrap()
    };
    let mut node = start();
    wait_for("the file is written", PATIENCE, || {
        ensure!(node.ask(&["SENTINEL", "FLUSHCONFIG"])? == "OK");
        ensure!(node.text()?.contains("sentinel myid"), "not yet");
        Ok(())
    })
    .unwrap();
    let text = node.text().unwrap();
    assert!(
        !text.contains("sentinel monitor") && !text.contains(" m "),
        "{text}"
    );

    let away = folder.path().join("away");
    std::fs::rename(&inner, &away).unwrap();
    let answer = node.ask(&["SENTINEL", "FLUSHCONFIG"]).unwrap();
    assert_eq!(answer, "-ERR Failed to save config file. Check server logs.");
    let said =
        "WARNING: Sentinel was not able to save the new configuration on disk!!!: No such file or directory";
    wait_for("the log says so", PATIENCE, || {
        let log = std::fs::read_to_string(folder.path().join("sentinel.log"))?;
        ensure!(log.contains(said), "{log}");
        Ok(())
    })
    .unwrap();
    std::fs::rename(&away, &inner).unwrap();
    assert_eq!(node.ask(&["SENTINEL", "FLUSHCONFIG"]).unwrap(), "OK");
    node.process.terminate().unwrap();
    let mut node = start();
    assert_eq!(node.ask(&["SENTINEL", "FLUSHCONFIG"]).unwrap(), "OK");
    node.process.terminate().unwrap();
}
