//! `SENTINEL FAILOVER ... COORDINATED` with real servers: the master itself hands over, or everything is as before.
//!
//! A hand-over is held open by `CLIENT PAUSE WRITE` on the replica: it answers everybody, but takes nothing more from its
//! master, so the offsets never become equal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::events::Events;
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_between, ms_since, now};
use integration::harness::wait::wait_for;
use integration::harness::writer::Writer;
use integration::harness::{Cluster, ClusterOptions, limit_ms, runs, scenario};

const PATIENCE: Duration = Duration::from_secs(30);
const FAILOVER: [&str; 4] = ["SENTINEL", "FAILOVER", GROUP, "COORDINATED"];
const EVERY: Duration = Duration::from_millis(5);

fn ask(cluster: &Cluster, node: usize) -> Result<()> {
    wait_for("the coordinated failover is accepted", PATIENCE, || {
        let reply = cluster.node(node)?.command(&FAILOVER)?;
        ensure!(reply.is_ok(), "it was answered {reply}");
        Ok(())
    })
}

/// Full synchronisations that all servers have ever given.
fn full_syncs(cluster: &Cluster) -> Result<u64> {
    let mut sum = 0;
    for server in &cluster.servers {
        let info = server.info("stats")?;
        sum += info.get("sync_full").context("no sync_full")?.parse::<u64>()?;
    }
    Ok(sum)
}

#[test]
fn a_hand_over_loses_no_acknowledged_write_and_needs_no_full_resync() {
    scenario(
        "a_hand_over_loses_no_acknowledged_write_and_needs_no_full_resync",
        ClusterOptions::default(),
        |cluster| {
            for round in 0..runs(3, 20) {
                one_hand_over(cluster, round).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        },
    );
}

fn one_hand_over(cluster: &mut Cluster, round: usize) -> Result<()> {
    cluster.wait_ready()?;
    let (old, syncs) = (cluster.master_port()?, full_syncs(cluster)?);
    let writer = Writer::start(cluster.sentinel_ports(), EVERY, None);
    writer.wait_more(100, PATIENCE)?;
    let asked = now();
    ask(cluster, round % cluster.nodes.len())?;
    let new = cluster.wait_new_master(old, PATIENCE)?;
    let switched = now();
    writer.wait_more(100, PATIENCE)?;
    let written = writer.stop()?;
    let missing = written.missing(new, None)?;
    println!(
        "round {round}: switched {:.0} ms after the command, {} writes, {} errors, longest gap {:.0} ms, {} lost",
        ms_between(asked, switched),
        written.acknowledged.len(),
        written.errors,
        written.longest_gap().as_secs_f64() * 1000.0,
        missing.len()
    );
    ensure!(missing.is_empty(), "acknowledged writes are lost: {missing:?}");
    // Its connection is closed once; on a slow machine its patience may have ended before.
    ensure!(written.errors <= 2, "the writer saw {} errors", written.errors);
    cluster.wait_ready()?;
    let info = cluster.server_at(old)?.info("replication")?;
    let follows = info.get("master_port").context("the old master is no replica")?;
    ensure!(*follows == new.to_string(), "the old master follows {follows}");
    let log = std::fs::read_to_string(cluster.server_at(new)?.log_path()).context("log")?;
    ensure!(
        log.contains("Failover request received"),
        "the new master was not told by the old one"
    );
    let more = full_syncs(cluster)? - syncs;
    ensure!(more == 0, "{more} full synchronisations");
    let mut client = cluster.server_at(old)?.client()?;
    let refused = client.command(&["SET", "k", "v"])?;
    let text = refused.error().unwrap_or_default().to_owned();
    ensure!(
        text.starts_with("READONLY"),
        "a write on the old master is answered {refused}"
    );
    Ok(())
}

/// One replica, which is made to stand still.
fn standing_still(failover_timeout_ms: u64) -> ClusterOptions {
    let mut options = ClusterOptions {
        replicas: 1,
        ..ClusterOptions::default()
    };
    options.settings.failover_timeout_ms = failover_timeout_ms;
    options
}

/// A hand-over that waits for its replica.
struct Waiting {
    master: u16,
    replica: u16,
    executor: usize,
    events: Events,
}

fn begin(cluster: &mut Cluster) -> Result<Waiting> {
    let master = cluster.master_port()?;
    let replica = *cluster.ports_but(master).first().context("no replica")?;
    let executor = cluster.raft_leader()?;
    let events = cluster.events()?;
    set_standing(cluster, replica, true)?;
    let mut client = cluster.server_at(master)?.client()?;
    client.command(&["SET", "not-yet", "replicated"])?;
    ask(cluster, executor)?;
    wait_for("the master hands over", PATIENCE, || {
        let info = cluster.server_at(master)?.info("replication")?;
        let state = info.get("master_failover_state").context("no state")?;
        ensure!(state == "waiting-for-sync", "it says {state}");
        Ok(())
    })?;
    let flags = cluster.node(executor)?.master()?.remove("flags");
    let flags = flags.context("no flags")?;
    ensure!(
        flags == "master,failover_in_progress,coordinated_failover",
        "flags {flags}"
    );
    Ok(Waiting {
        master,
        replica,
        executor,
        events,
    })
}

fn set_standing(cluster: &Cluster, replica: u16, stand: bool) -> Result<()> {
    let mut client = cluster.server_at(replica)?.client()?;
    let reply = if stand {
        client.command(&["CLIENT", "PAUSE", "300000", "WRITE"])?
    } else {
        client.command(&["CLIENT", "UNPAUSE"])?
    };
    ensure!(reply.is_ok(), "{reply}");
    Ok(())
}

/// The plan is over, the master takes writes, and the same command works as soon as the replica does.
fn expect_way_back(cluster: &mut Cluster, waiting: &mut Waiting, event: &str) -> Result<()> {
    let aborted = waiting.events.wait(event, PATIENCE, |seen| seen.name == event)?;
    ensure!(
        aborted.node == waiting.executor,
        "node {} says {event}",
        aborted.node
    );
    let asked = now();
    let mut client = cluster.server_at(waiting.master)?.client()?;
    let reply = client.command(&["SET", "after", "it"])?;
    ensure!(reply.is_ok(), "a write is answered {reply}");
    let took = ms_since(asked);
    ensure!(
        took < limit_ms(200.0),
        "the write waited {took:.0} ms: writes are still paused"
    );
    ensure!(cluster.master_port()? == waiting.master, "the master has changed");
    set_standing(cluster, waiting.replica, false)?;
    cluster.wait_ready()?;
    ask(cluster, waiting.executor)?;
    let new = cluster.wait_new_master(waiting.master, PATIENCE)?;
    ensure!(new == waiting.replica, "{new} is the new master");
    let value = cluster.server_at(new)?.client()?.command(&["GET", "after"])?;
    ensure!(value.text()? == "it", "the write is lost: {value}");
    cluster.wait_ready()
}

#[test]
fn a_hand_over_that_takes_too_long_is_undone() {
    let name = "a_hand_over_that_takes_too_long_is_undone";
    scenario(name, standing_still(3_000), |cluster| {
        let writer = Writer::start(cluster.sentinel_ports(), EVERY, None);
        writer.wait_more(20, PATIENCE)?;
        let mut waiting = begin(cluster)?;
        expect_way_back(cluster, &mut waiting, "-failover-abort-slave-timeout")?;
        writer.wait_more(20, PATIENCE)?;
        let written = writer.stop()?;
        let missing = written.missing(cluster.master_port()?, None)?;
        ensure!(missing.is_empty(), "acknowledged writes are lost: {missing:?}");
        Ok(())
    });
}

#[test]
fn a_frozen_replica_is_not_waited_for_until_the_timeout() {
    let name = "a_frozen_replica_is_not_waited_for_until_the_timeout";
    scenario(name, standing_still(120_000), |cluster| {
        let mut waiting = begin(cluster)?;
        let frozen = cluster.server_at_mut(waiting.replica)?.process()?;
        frozen.freeze()?;
        let event = waiting.events.wait("it is called off", PATIENCE, |event| {
            event.name == "-failover-abort-slave-timeout"
        });
        cluster.server_at_mut(waiting.replica)?.process()?.thaw()?;
        event?;
        expect_way_back(cluster, &mut waiting, "-failover-abort-slave-timeout")
    });
}

#[test]
fn a_master_that_dies_while_it_hands_over_is_replaced() {
    let name = "a_master_that_dies_while_it_hands_over_is_replaced";
    scenario(name, standing_still(120_000), |cluster| {
        let waiting = begin(cluster)?;
        cluster.server_at_mut(waiting.master)?.process()?.kill9()?;
        let new = cluster.wait_new_master(waiting.master, PATIENCE)?;
        ensure!(new == waiting.replica, "{new} is the new master");
        set_standing(cluster, new, false)?;
        cluster.server_at_mut(waiting.master)?.restart()?;
        cluster.wait_ready()
    });
}

#[test]
fn a_successor_of_the_executor_finishes_the_hand_over() {
    let name = "a_successor_of_the_executor_finishes_the_hand_over";
    scenario(name, standing_still(120_000), |cluster| {
        let writer = Writer::start(cluster.sentinel_ports(), EVERY, None);
        writer.wait_more(20, PATIENCE)?;
        let mut waiting = begin(cluster)?;
        cluster.node_mut(waiting.executor)?.process()?.kill9()?;
        let successor = wait_for("another node executes the plan", PATIENCE, || {
            let next = cluster.raft_leader()?;
            let mut master = cluster.node(next)?.master()?;
            let flags = master.remove("flags").context("no flags")?;
            ensure!(flags.contains("coordinated_failover"), "node {next}: {flags}");
            let state = master.remove("failover-state").context("no state")?;
            ensure!(state == "wait_promotion", "node {next}: {state}");
            Ok(next)
        })?;
        set_standing(cluster, waiting.replica, false)?;
        let new = cluster.wait_new_master(waiting.master, PATIENCE)?;
        ensure!(new == waiting.replica, "{new} is the new master");
        writer.wait_more(20, PATIENCE)?;
        let missing = writer.stop()?.missing(new, None)?;
        ensure!(missing.is_empty(), "acknowledged writes are lost: {missing:?}");
        let event = "+failover-end";
        waiting.events.wait("the successor ends it", PATIENCE, |e| {
            e.node == successor && e.name == event
        })?;
        cluster.node_mut(waiting.executor)?.start()?;
        cluster.wait_ready()
    });
}

#[test]
fn a_server_without_the_command_leaves_everything_as_it_was() {
    let name = "a_server_without_the_command_leaves_everything_as_it_was";
    if let Err(error) = without_the_command() {
        eprintln!("REPRODUCE WITH: cargo test -p integration --test coordinated_failover {name}");
        panic!("{name}: {error:#}");
    }
}

fn without_the_command() -> Result<()> {
    let mut cluster = Cluster::start_servers(ClusterOptions::default())?;
    for server in &mut cluster.servers {
        server.process()?.kill9()?;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(server.config_path())?;
        writeln!(file, "rename-command FAILOVER \"\"")?;
        server.restart()?;
    }
    for node in &mut cluster.nodes {
        node.launch()?;
    }
    cluster.wait_ready()?;
    let (master, mut events) = (cluster.master_port()?, cluster.events()?);
    ask(&cluster, 0)?;
    let event = "-failover-abort-slave-timeout";
    events.wait(event, PATIENCE, |seen| seen.name == event)?;
    let reply = cluster.server_at(master)?.client()?.command(&["SET", "k", "v"])?;
    ensure!(reply.is_ok(), "a write is answered {reply}");
    cluster.wait_ready()?;
    ensure!(cluster.master_port()? == master, "the master has changed");
    // What needs no such command works.
    let plain = cluster.node(0)?.command(&["SENTINEL", "FAILOVER", GROUP])?;
    ensure!(plain.is_ok(), "{plain}");
    cluster.wait_new_master(master, PATIENCE)?;
    cluster.wait_ready()
}

/// A user without the right to pause clients: the server holds the writes back by itself.
#[test]
fn a_user_without_the_right_to_pause_hands_over_all_the_same() {
    let name = "a_user_without_the_right_to_pause_hands_over_all_the_same";
    scenario(name, ClusterOptions::default(), |cluster| {
        let rights = "+multi +exec +slaveof +ping +info +role +config|rewrite +client|setname +client|kill \
                      +script|kill +subscribe +failover";
        let mut words = vec!["ACL", "SETUSER", "watch", "on", ">secret", "allchannels", "-@all"];
        words.extend(rights.split_whitespace());
        for server in &cluster.servers {
            let reply = server.client()?.command(&words)?;
            ensure!(reply.is_ok(), "{reply}");
        }
        let set = [
            "SENTINEL",
            "SET",
            GROUP,
            "auth-user",
            "watch",
            "auth-pass",
            "secret",
        ];
        let reply = cluster.node(0)?.command(&set)?;
        ensure!(reply.is_ok(), "{reply}");
        cluster.wait_ready()?;
        let old = cluster.master_port()?;
        let writer = Writer::start(cluster.sentinel_ports(), EVERY, None);
        writer.wait_more(50, PATIENCE)?;
        ask(cluster, 0)?;
        let new = cluster.wait_new_master(old, PATIENCE)?;
        writer.wait_more(50, PATIENCE)?;
        let missing = writer.stop()?.missing(new, None)?;
        ensure!(missing.is_empty(), "acknowledged writes are lost: {missing:?}");
        let log = std::fs::read_to_string(cluster.server_at(new)?.log_path()).context("log")?;
        ensure!(
            log.contains("Failover request received"),
            "the old master did not hand over"
        );
        cluster.wait_ready()
    });
}

/// `FAILOVER` by an operator's own hand: the sentinels follow, and do not undo it at a third server.
#[test]
fn a_failover_by_hand_is_followed() {
    for replicas in [1, 2] {
        let options = ClusterOptions {
            replicas,
            ..ClusterOptions::default()
        };
        scenario("a_failover_by_hand_is_followed", options, |cluster| {
            let old = cluster.master_port()?;
            let to = *cluster.ports_but(old).last().context("no replica")?;
            let words = ["FAILOVER", "TO", "127.0.0.1", &to.to_string()];
            let reply = cluster.server_at(old)?.client()?.command(&words)?;
            ensure!(reply.is_ok(), "{reply}");
            wait_for("it is a master", PATIENCE, || {
                let role = cluster.server_at(to)?.role()?;
                ensure!(role == "master", "it is a {role}");
                Ok(())
            })?;
            let mut client = cluster.server_at(to)?.client()?;
            let reply = client.command(&["SET", "since", "then"])?;
            ensure!(reply.is_ok(), "{reply}");
            let new = cluster.wait_new_master(old, PATIENCE)?;
            ensure!(new == to, "{new} is the new master, not {to}");
            cluster.wait_ready()?;
            let value = cluster.server_at(new)?.client()?.command(&["GET", "since"])?;
            ensure!(value.text()? == "then", "the write is lost: {value}");
            Ok(())
        });
    }
}
