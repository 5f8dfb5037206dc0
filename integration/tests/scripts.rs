//! Notification and client-reconfig scripts through a failover with real servers: which sentinel calls which, with what.
//! Retries, limits and time-outs are tests of `sentinel_core::scripts`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::sentinel::{GROUP, Sentinel};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, scenario};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Both append one line of arguments to a file in the folder that they are run in: the `dir` of their sentinel.
const NOTIFY: &str = "#!/bin/sh\nprintf '%s|' \"$@\" | sed 's/$/\\n/' >> notified.txt\n";
const RECONFIG: &str = "#!/bin/sh\nprintf '%s|' \"$@\" | sed 's/$/\\n/' >> reconfigured.txt\n\
                        ls -l /proc/$$/fd > descriptors.tmp; mv descriptors.tmp descriptors.txt\n";

fn write_script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn options(folder: &TempDir) -> ClusterOptions {
    let mut options = ClusterOptions::default();
    let notify = write_script(folder.path(), "notify.sh", NOTIFY);
    let reconfig = write_script(folder.path(), "reconfig.sh", RECONFIG);
    options.settings.extra = vec![
        format!("sentinel notification-script {GROUP} {notify}"),
        format!("sentinel client-reconfig-script {GROUP} {reconfig}"),
    ];
    options
}

/// Lines that a script of this node wrote.
fn lines(node: &Sentinel, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(node.dir().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn both_scripts_are_called_on_each_sentinel_through_a_failover() {
    let folder = tempfile::tempdir().unwrap();
    scenario(
        "both_scripts_are_called_on_each_sentinel_through_a_failover",
        options(&folder),
        |cluster| {
            let old = cluster.master_port()?;
            cluster.server_at_mut(old)?.process()?.kill9()?;
            let new = cluster.wait_new_master(old, PATIENCE)?;
            let leaders = each_is_reconfigured_once(cluster, old, new)?;
            ensure!(leaders == 1, "{leaders} leaders");
            for node in &cluster.nodes {
                notified_as_logged(node, old, new)?;
                no_descriptor_leaked(node)?;
            }
            denied(cluster)
        },
    );
}

/// Returns how many were called as `leader`.
fn each_is_reconfigured_once(cluster: &Cluster, old: u16, new: u16) -> Result<usize> {
    let mut leaders = 0;
    for node in &cluster.nodes {
        let what = format!("the client-reconfig script of node {}", node.index());
        let calls = wait_for(&what, PATIENCE, || {
            let calls = lines(node, "reconfigured.txt");
            ensure!(!calls.is_empty(), "not called");
            Ok(calls)
        })?;
        let call = |role: &str| format!("{GROUP}|{role}|start|127.0.0.1|{old}|127.0.0.1|{new}|");
        ensure!(calls.len() == 1, "{what}: {calls:?}");
        let first = calls.first().context("no call")?;
        let promoted = node.log_count("+promoted-slave")? == 1;
        let role = if promoted { "leader" } else { "observer" };
        ensure!(*first == call(role), "{what}: {first}, not {}", call(role));
        leaders += usize::from(promoted);
    }
    Ok(leaders)
}

/// Every warning about the group, and nothing else, reached the notification script.
fn notified_as_logged(node: &Sentinel, old: u16, new: u16) -> Result<()> {
    let switch = format!("+switch-master|{GROUP} 127.0.0.1 {old} 127.0.0.1 {new}|");
    let what = format!("the notification script of node {}", node.index());
    wait_for(&what, PATIENCE, || {
        let calls = lines(node, "notified.txt");
        for start in [
            "+monitor|master ",
            "+sdown|master ",
            "+new-epoch|",
            "+vote-for-leader|",
        ] {
            ensure!(
                calls.iter().any(|call| call.starts_with(start)),
                "no {start}: {calls:?}"
            );
        }
        let switches = calls.iter().filter(|call| **call == switch).count();
        ensure!(switches == 1, "{switches} of {switch}: {calls:?}");
        Ok(())
    })?;
    for call in lines(node, "notified.txt") {
        let noticed = ["+slave", "+sentinel|", "+tilt", "-script", "+script"];
        ensure!(
            !noticed.iter().any(|name| call.starts_with(name)),
            "{what} was called for {call}"
        );
        let (name, payload) = call.split_once('|').context("no payload")?;
        let message = format!("{name} {}", payload.trim_end_matches('|'));
        ensure!(
            node.log_count(&message)? >= 1,
            "{what}: {message} is not in the log"
        );
    }
    Ok(())
}

/// Beside stdin, stdout and stderr the shell has only its script open, and what the test itself inherited: no socket,
/// no file of the node, no event queue.
fn no_descriptor_leaked(node: &Sentinel) -> Result<()> {
    let path = node.dir().join("descriptors.txt");
    let text = wait_for("descriptors.txt", PATIENCE, || {
        std::fs::read_to_string(&path).context("not written")
    })?;
    ensure!(
        text.contains("reconfig.sh"),
        "the script itself is not seen: {text}"
    );
    let folder = node.dir().display().to_string();
    for line in text.lines() {
        let Some((left, target)) = line.split_once(" -> ") else {
            continue;
        };
        let number = left.split_whitespace().last().context("no number")?;
        // A shell keeps copies of its own stdout while it redirects a command.
        let standard = ["0", "1", "2"].contains(&number) || Path::new(target) == node.output_path();
        let ours = target.starts_with("socket:")
            || target.starts_with("anon_inode:")
            || (target.starts_with(&folder) && !standard);
        ensure!(!ours, "node {} leaks {line}", node.index());
    }
    Ok(())
}

/// A client may not set a path, and what runs is what the files name.
fn denied(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(0)?;
    for option in ["notification-script", "client-reconfig-script"] {
        let set = node.command(&["SENTINEL", "SET", GROUP, option, "/bin/true"]);
        let text = set.map_or_else(|error| format!("{error:#}"), |value| value.to_string());
        ensure!(
            text.contains("Reconfiguration of scripts path is denied for security reasons"),
            "{option}: {text}"
        );
        let shown = node.master()?;
        let path = shown.get(option).with_context(|| format!("no {option}"))?;
        ensure!(path.ends_with(".sh"), "{option} is {path}");
    }
    Ok(())
}

/// Node 0 has a script in its file, node 1 takes the group's, node 2 has neither.
#[test]
fn a_path_of_the_group_is_only_run_where_the_file_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let own = write_script(folder.path(), "own.sh", "#!/bin/sh\necho own >> called.txt\n");
    let set = write_script(folder.path(), "set.sh", "#!/bin/sh\necho set >> called.txt\n");
    let line = format!("sentinel client-reconfig-script {GROUP} {own}");
    let mut options = ClusterOptions::default();
    options.settings.extra = vec![line.clone()];
    let mut cluster = Cluster::start_servers(options).unwrap();
    let outcome = (|| -> Result<()> {
        cluster
            .node(1)?
            .edit_config(&line, "sentinel deny-scripts-reconfig no")?;
        cluster.node(2)?.edit_config(&line, "")?;
        for node in &mut cluster.nodes {
            node.launch()?;
        }
        cluster.wait_ready()?;
        let words = ["SENTINEL", "SET", GROUP, "client-reconfig-script", &set];
        wait_for("SENTINEL SET is accepted", PATIENCE, || {
            let reply = cluster.node(1)?.command(&words)?;
            ensure!(reply.is_ok(), "it was answered {reply}");
            Ok(())
        })?;
        for (index, path) in [(0, Some(&own)), (1, Some(&set)), (2, None)] {
            wait_for("SENTINEL MASTER shows what is run", PATIENCE, || {
                let master = cluster.node(index)?.master()?;
                let shown = master.get("client-reconfig-script");
                ensure!(shown == path, "node {index} shows {shown:?}");
                Ok(())
            })?;
        }
        let old = cluster.master_port()?;
        cluster.server_at_mut(old)?.process()?.kill9()?;
        cluster.wait_new_master(old, PATIENCE)?;
        for (index, called) in [(0, "own"), (1, "set")] {
            let node = cluster.node(index)?;
            wait_for("the script is called", PATIENCE, || {
                let calls = lines(node, "called.txt");
                ensure!(calls == [called], "node {index}: {calls:?}");
                Ok(())
            })?;
        }
        let calls = lines(cluster.node(2)?, "called.txt");
        ensure!(calls.is_empty(), "node 2 ran {calls:?}");
        Ok(())
    })();
    if let Err(reason) = outcome {
        panic!(
            "{}\n{reason:#}\nREPRODUCE WITH: cargo test -p integration --test scripts -- --exact --nocapture \
             a_path_of_the_group_is_only_run_where_the_file_allows_it",
            cluster.tails(60)
        );
    }
}

#[test]
fn a_running_script_is_seen_in_pending_scripts_and_info() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ClusterOptions {
        sentinels: 1,
        replicas: 1,
        ..ClusterOptions::default()
    };
    options.settings.odown_quorum = 1;
    let go = folder.path().join("go");
    let text = format!(
        "#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.05; done\n",
        go.display()
    );
    let slow = write_script(folder.path(), "slow.sh", &text);
    options.settings.extra = vec![format!("sentinel notification-script {GROUP} {slow}")];
    scenario(
        "a_running_script_is_seen_in_pending_scripts_and_info",
        options,
        |cluster| {
            let node = cluster.node(0)?;
            wait_for("+monitor is pending", PATIENCE, || {
                let reply = node.command(&["SENTINEL", "PENDING-SCRIPTS"])?;
                let job = reply.array()?.first().context("none")?.array()?.to_vec();
                let word = |index: usize| job.get(index).context("too short")?.text();
                let argv = job.get(1).context("no argv")?.array()?.to_vec();
                ensure!(argv.len() == 3 && argv[0].text()? == slow, "{argv:?}");
                ensure!(argv[1].text()? == "+monitor", "{argv:?}");
                let labels = [0, 2, 4, 6, 8].map(word);
                let labels: Vec<String> = labels.into_iter().collect::<Result<_>>()?;
                ensure!(
                    labels == ["argv", "flags", "pid", "run-time", "retry-num"],
                    "{labels:?}"
                );
                ensure!(word(3)? == "running" && word(9)? == "1", "{reply}");
                ensure!(word(5)?.parse::<u32>()? > 0, "{reply}");
                Ok(())
            })?;
            let info = |line: &str| -> Result<bool> {
                let text = node.command(&["INFO", "sentinel"])?.text()?;
                Ok(text.lines().any(|l| l.trim_end() == line))
            };
            ensure!(!info("sentinel_running_scripts:0")? && !info("sentinel_scripts_queue_length:0")?);
            std::fs::write(&go, "").context("go")?;
            wait_for("the queue is empty", PATIENCE, || {
                ensure!(info("sentinel_running_scripts:0")? && info("sentinel_scripts_queue_length:0")?);
                ensure!(
                    node.command(&["SENTINEL", "PENDING-SCRIPTS"])?
                        .array()?
                        .is_empty()
                );
                Ok(())
            })
        },
    );
}
