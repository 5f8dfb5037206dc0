//! Our replies and those of the system's `redis-sentinel` in the same situation, byte for byte.
//!
//! `commands.txt` has the requests, `normal.rs` what must differ (ids, ports, ages), `differences.rs` the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod differences;
mod files;
mod inform;
mod normal;
mod normal_acl;
mod reply;
mod several;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use differences::{ACL_DIFFERENCES, DIFFERENCES, Difference, LOCKED_DIFFERENCES};
use integration::harness::resp::encode;
use integration::harness::scenario::is_here;
use integration::harness::sentinel::Program;
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions};
use normal::Names;
use sentinel_proto::resp::split_words;

const COMMANDS: &str = include_str!("commands.txt");
const LOCKED_COMMANDS: &str = include_str!("locked.txt");
const RENAMED_COMMANDS: &str = include_str!("renamed.txt");
const ACL_COMMANDS: &str = include_str!("acl.txt");

/// The users of `acl.txt`.
const ACL_USERS: &[&str] = &[
    "user app on >p resetchannels &+switch* &foo +@connection -client +client|setname +client|getname +client|id +role \
     +subscribe +psubscribe +unsubscribe +punsubscribe +publish +sentinel|get-master-addr-by-name +sentinel|master \
     +sentinel|masters +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|myid",
    "user all on >p ~* &* +@all",
    "user off off >p +@all",
    "user sel on nopass (+ping) (+subscribe &a) (+psubscribe &b*) (+publish &c)",
    "user first on >p +ping|foo",
    "user most on >p +@all -sentinel|masters -ping -acl|list",
    "user ro on >p -@all +@admin -sentinel|reset -sentinel|remove",
];

/// A list of requests, and where our replies differ.
struct List {
    cases: &'static str,
    differences: &'static [Difference],
    /// Clients must give a password: only RESP2, as HELLO 3 needs it (such lists have it in their cases).
    locked: bool,
    /// Replies are about users.
    acl: bool,
}
const PATIENCE: Duration = Duration::from_secs(30);

/// A "raw" line: `\r`, `\n`, `\0` and `\\` stand for one byte each.
fn raw_bytes(text: &str) -> Vec<u8> {
    let text = text
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0");
    text.replace("\\\\", "\\").into_bytes()
}

/// One deployment: the port of its first sentinel, and names for what differs in it.
struct Side {
    port: u16,
    names: Names,
    cluster: Cluster,
}

impl Side {
    fn start(program: Program, options: ClusterOptions, locked: bool) -> Result<Self> {
        let options = ClusterOptions {
            program: Some(program),
            ..options
        };
        let mut cluster = Cluster::start_servers(options)?;
        for node in &mut cluster.nodes {
            node.launch()?;
        }
        if locked {
            let node = cluster.node(0)?;
            wait_for("it takes the password", PATIENCE, || {
                let reply = node.command(&["AUTH", "hush"])?;
                ensure!(reply.is_ok(), "AUTH was answered {reply}");
                Ok(())
            })?;
        } else {
            for node in &mut cluster.nodes {
                node.wait_ping()?;
            }
            cluster.wait_ready()?;
        }
        let servers: Vec<u16> = cluster.servers.iter().map(|server| server.port()).collect();
        Ok(Self {
            port: cluster.node(0)?.port(),
            names: Names::new(&servers, &cluster.sentinel_ports()),
            cluster,
        })
    }

    /// Sends a case on a new connection, ends it, and gives everything that came back.
    fn ask(&self, case: &str, resp3: bool, acl: bool) -> Result<String> {
        let mut bytes = Vec::new();
        if resp3 {
            bytes.extend(encode(&["HELLO", "3"]));
        }
        match case.strip_prefix("raw ") {
            Some(raw) => {
                bytes.extend(raw_bytes(raw));
                bytes.extend(encode(&["PING"]));
            }
            None => {
                for request in self.names.fill(case).split(" | ") {
                    let words = split_words(request.as_bytes()).context("bad quotes in the list")?;
                    let words: Vec<String> = words
                        .iter()
                        .map(|word| String::from_utf8_lossy(word).into_owned())
                        .collect();
                    bytes.extend(encode(&words.iter().map(String::as_str).collect::<Vec<_>>()));
                }
            }
        }
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connect")?;
        stream.set_read_timeout(Some(PATIENCE)).context("timeout")?;
        stream.write_all(&bytes).context("write")?;
        stream.shutdown(Shutdown::Write).context("shutdown")?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            // Closed by the other side with bytes of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error).with_context(|| format!("no end of the answer to {case}")),
        }
        let replies = reply::read_all(&answer)
            .with_context(|| format!("{case} was answered {:?}", String::from_utf8_lossy(&answer)))?;
        let normal = |reply| {
            let reply = self.names.normal(reply);
            if acl {
                normal_acl::normal(case, reply)
            } else {
                reply
            }
        };
        Ok(replies.iter().map(|reply| normal(reply).shown()).collect())
    }
}

/// Both answer with what monitors learn from the first reports: wait for it.
fn settle(cluster: &Cluster) -> Result<()> {
    let sentinel = cluster.node(0)?;
    wait_for("every instance has reported", PATIENCE, || {
        let flags = sentinel.master()?.remove("flags").unwrap_or_default();
        ensure!(!flags.contains("disconnected"), "the master is {flags}");
        for list in ["REPLICAS", "SENTINELS"] {
            let name = integration::harness::sentinel::GROUP;
            let reply = sentinel.command(&["SENTINEL", list, name])?;
            for instance in reply.array()? {
                let fields = instance.pairs()?;
                let get = |field: &str| fields.get(field).map_or("", String::as_str).to_owned();
                ensure!(!get("runid").is_empty(), "{} has no run id", get("name"));
                ensure!(
                    !get("flags").contains("disconnected"),
                    "{} is {}",
                    get("name"),
                    get("flags")
                );
                if list == "REPLICAS" {
                    ensure!(get("master-link-status") == "ok", "{} has no link", get("name"));
                    ensure!(get("slave-repl-offset") != "0", "{} has no offset", get("name"));
                }
            }
        }
        Ok(())
    })
}

fn cases(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect()
}

fn compare(options: &ClusterOptions, list: &List) -> Result<()> {
    if !is_here("redis-sentinel", "the comparison of replies") {
        return Ok(());
    }
    let locked = list.locked;
    let stock = Side::start(Program::Stock, options.clone(), locked).context("redis-sentinel")?;
    let ours = Side::start(Program::built_here()?, options.clone(), locked).context("sentinel-node")?;
    let known: BTreeSet<&str> = list
        .differences
        .iter()
        .flat_map(|(_, cases)| *cases)
        .copied()
        .collect();
    let mut seen = BTreeSet::new();
    let mut failures = Vec::new();
    let mut asked = 0;
    let protocols: &[bool] = if locked { &[false] } else { &[false, true] };
    for resp3 in protocols.iter().copied() {
        if !locked {
            settle(&stock.cluster)?;
            settle(&ours.cluster)?;
        }
        for case in cases(list.cases) {
            asked += 1;
            let ask = || -> Result<(String, String)> {
                Ok((
                    stock.ask(case, resp3, list.acl)?,
                    ours.ask(case, resp3, list.acl)?,
                ))
            };
            let (mut theirs, mut mine) = ask()?;
            // New credentials are tried on new connections; which side is the first to have them is chance.
            if theirs != mine && (theirs.contains("disconnected") || mine.contains("disconnected")) {
                settle(&stock.cluster)?;
                settle(&ours.cluster)?;
                (theirs, mine) = ask()?;
            }
            if theirs == mine {
                continue;
            }
            if known.contains(case) {
                seen.insert(case);
                continue;
            }
            let version = if resp3 { 3 } else { 2 };
            failures.push(format!(
                "=== {case} (RESP{version})\n--- redis-sentinel\n{theirs}--- sentinel-node\n{mine}"
            ));
        }
    }
    let stale = cases(list.cases)
        .into_iter()
        .filter(|case| known.contains(case) && !seen.contains(case));
    for case in stale.collect::<BTreeSet<_>>() {
        failures.push(format!("=== {case}: listed as different, but it is not"));
    }
    println!("{asked} requests compared, {} explained differences", seen.len());
    ensure!(
        failures.is_empty(),
        "{}\n{} of {asked} replies differ",
        failures.join("\n"),
        failures.len()
    );
    Ok(())
}

fn run(name: &str, options: &ClusterOptions, list: &List) {
    hold(name, compare(options, list));
}

/// Fails the test of that name, with the line that repeats it.
fn hold(name: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        eprintln!("FAILED: {error:#}");
        eprintln!("REPRODUCE WITH: cargo test -p integration --test compat -- --exact --nocapture {name}");
        panic!("{name} failed");
    }
}

#[test]
fn replies_are_those_of_redis_sentinel() {
    let mut options = ClusterOptions::down_after(30_000);
    options.settings.failover_timeout_ms = 60_000;
    let list = List {
        cases: COMMANDS,
        differences: DIFFERENCES,
        locked: false,
        acl: false,
    };
    run("replies_are_those_of_redis_sentinel", &options, &list);
}

#[test]
fn replies_before_authentication_are_those_of_redis_sentinel() {
    let list = List {
        cases: LOCKED_COMMANDS,
        differences: LOCKED_DIFFERENCES,
        locked: true,
        acl: false,
    };
    run(
        "replies_before_authentication_are_those_of_redis_sentinel",
        &single(&["requirepass hush"]),
        &list,
    );
}

#[test]
fn replies_under_other_names_are_those_of_redis_sentinel() {
    let list = List {
        cases: RENAMED_COMMANDS,
        differences: &[],
        locked: false,
        acl: true,
    };
    let lines = [
        "rename-command INFO inf0",
        "rename-command ROLE \"\"",
        "rename-command CLIENT KLIENT",
        "rename-command ACL rights",
    ];
    run(
        "replies_under_other_names_are_those_of_redis_sentinel",
        &single(&lines),
        &list,
    );
}

#[test]
fn replies_about_users_are_those_of_redis_sentinel() {
    let list = List {
        cases: ACL_COMMANDS,
        differences: ACL_DIFFERENCES,
        locked: false,
        acl: true,
    };
    run(
        "replies_about_users_are_those_of_redis_sentinel",
        &single(ACL_USERS),
        &list,
    );
}

/// One sentinel with these lines, and one master.
fn single(lines: &[&str]) -> ClusterOptions {
    let mut options = ClusterOptions::down_after(30_000);
    options.sentinels = 1;
    options.replicas = 0;
    options.settings.odown_quorum = 1;
    options.settings.extra = lines.iter().copied().map(String::from).collect();
    options
}

/// Both alone, so that nothing of a cluster changes between the two questions.
fn compare_info(options: &ClusterOptions) -> Result<()> {
    if !is_here("redis-sentinel", "the comparison of replies") {
        return Ok(());
    }
    let stock = Side::start(Program::Stock, options.clone(), false).context("redis-sentinel")?;
    let ours = Side::start(Program::built_here()?, options.clone(), false).context("sentinel-node")?;
    let info = |side: &Side| side.cluster.node(0)?.command(&["INFO"])?.text();
    inform::compare(&info(&stock)?, &info(&ours)?)
}

#[test]
fn info_has_every_line_of_redis_sentinel_in_its_order() {
    let mut options = ClusterOptions::down_after(30_000);
    options.sentinels = 1;
    options.replicas = 0;
    options.settings.odown_quorum = 1;
    hold(
        "info_has_every_line_of_redis_sentinel_in_its_order",
        compare_info(&options),
    );
}
