//! `make demo`: starts a deployment, kills its master, shows the failover as it happens, brings the old master back,
//! and ends clean. Exit status 0 only if everything that it shows was checked and held.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::harness::cluster::{Cluster, ClusterOptions};
use integration::harness::events::{Event, Events};
use integration::harness::sentinel::GROUP;
use integration::harness::time::{ms_between, now, pause_ms};
use integration::harness::wait::wait_for;
use integration::harness::watch;
use integration::harness::writer::Writer;

const PATIENCE: Duration = Duration::from_secs(30);

/// Colours, when a person looks.
struct Paint {
    on: bool,
}

impl Paint {
    fn code(&self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn title(&self, text: &str) {
        println!("\n{}", self.code("1;36", &format!("== {text}")));
    }

    fn good(&self, text: &str) {
        println!("   {} {text}", self.code("32", "ok"));
    }
}

fn main() -> ExitCode {
    let paint = Paint {
        on: std::io::stdout().is_terminal(),
    };
    match run(&paint) {
        Ok(()) => {
            println!(
                "\n{}",
                paint.code("1;32", "The demonstration is complete: everything held.")
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("\n{} {reason:#}", paint.code("1;31", "FAILED:"));
            ExitCode::FAILURE
        }
    }
}

fn run(paint: &Paint) -> Result<()> {
    paint.title("One Redis master, two replicas, three sentinel nodes");
    let mut cluster = Cluster::start(ClusterOptions::default())?;
    let outcome = cluster.wait_ready().and_then(|()| tell(paint, &mut cluster));
    if outcome.is_err() {
        println!("{}", cluster.tails(40));
    }
    outcome
}

fn tell(paint: &Paint, cluster: &mut Cluster) -> Result<()> {
    show_state(paint, cluster)?;
    let old = cluster.master_port()?;

    paint.title("A client writes every 5 ms to the master that the nodes name");
    let writer = Writer::start(cluster.sentinel_ports(), Duration::from_millis(5), None);
    writer.wait_more(100, PATIENCE)?;
    paint.good(&format!("{} writes acknowledged", writer.acknowledged()));

    paint.title(&format!(
        "kill -9 of the master at port {old} (down-after-milliseconds is 1000)"
    ));
    let mut events = cluster.events()?;
    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = follow(paint, cluster, &mut events, killed, old)?;

    paint.title("After the failover");
    writer.wait_more(20, PATIENCE)?;
    paint.good("the client writes again, to the new master");
    check_counts(paint, cluster, &mut events)?;
    wait_for("the other replica follows the new master", PATIENCE, || {
        cluster_attached(cluster, new)
    })?;
    paint.good("the other replica follows the new master");

    paint.title(&format!(
        "The old master at port {old} comes back, still believing that it is the master"
    ));
    let watch = watch::demotion(old, None);
    cluster.server_at_mut(old)?.restart()?;
    let demotion = watch.wait("the old master is a replica", PATIENCE)?;
    let contact = ms_between(demotion.first_contact, demotion.role_slave);
    let answer = ms_between(demotion.first_answer, demotion.role_slave);
    paint.good(&format!(
        "demoted {contact:.1} ms after a node first reached it, {answer:.1} ms after its first answer"
    ));
    cluster.wait_attached()?;
    let written = writer.stop()?;
    let gone = written.missing(new, None)?;
    paint.good(&format!(
        "{} writes acknowledged in all, longest gap {:.0} ms, {} lost with the master that was killed",
        written.acknowledged.len(),
        written.longest_gap().as_secs_f64() * 1000.0,
        gone.len()
    ));
    show_state(paint, cluster)?;
    ensure!(cluster.master_port()? == new, "the master has changed once more");
    Ok(())
}

fn show_state(paint: &Paint, cluster: &mut Cluster) -> Result<()> {
    let master = cluster.master_port()?;
    for server in &mut cluster.servers {
        let role = if server.is_running() {
            server.role()?
        } else {
            String::from("down")
        };
        let offset = server.info("replication").ok();
        let offset = offset
            .and_then(|info| info.get("master_repl_offset").cloned())
            .unwrap_or_default();
        let shown = if server.port() == master {
            paint.code("1;32", &role)
        } else {
            role
        };
        println!(
            "   {:<11} 127.0.0.1:{}  {shown}, offset {offset}",
            server.name(),
            server.port()
        );
    }
    for index in 0..cluster.nodes.len() {
        let node = cluster.node(index)?;
        let raft = if cluster.is_ours() {
            let status = node.raft_status()?;
            let field = |name: &str| status.get(name).cloned().unwrap_or_default();
            format!(
                "Raft {}, term {}, applied {}",
                field("role"),
                field("term"),
                field("applied")
            )
        } else {
            String::from("redis-sentinel")
        };
        println!(
            "   sentinel-{index}  127.0.0.1:{}  {raft}; {}",
            node.port(),
            node.info_line()?
        );
    }
    Ok(())
}

/// Prints events as they arrive until every node names the new master and the failover has ended.
fn follow(
    paint: &Paint,
    cluster: &mut Cluster,
    events: &mut Events,
    killed: Instant,
    old: u16,
) -> Result<u16> {
    let watches: Vec<_> = cluster
        .sentinel_ports()
        .into_iter()
        .map(|port| watch::new_address(port, old))
        .collect();
    let mut shown = 0;
    let done = |event: &Event| event.name == "+failover-end";
    while events.first(done).is_none() {
        ensure!(
            now().saturating_duration_since(killed) < PATIENCE,
            "the failover has not ended"
        );
        shown = print_events(paint, events, killed, shown);
        pause_ms(5);
    }
    print_events(paint, events, killed, shown);
    let mut named = None;
    for (node, watch) in watches.into_iter().enumerate() {
        let (at, port) = watch.wait("every node names the new master", PATIENCE)?;
        ensure!(
            *named.get_or_insert(port) == port,
            "nodes disagree: {named:?} and {port}"
        );
        paint.good(&format!(
            "node {node} names port {port} after {:.1} ms",
            ms_between(killed, at)
        ));
    }
    let new = named.context("no nodes")?;
    ensure!(
        cluster.server_at(new)?.role()? == "master",
        "the named server is not a master"
    );
    show_timeline(paint, events, killed);
    Ok(new)
}

fn print_events(paint: &Paint, events: &mut Events, zero: Instant, from: usize) -> usize {
    let all = events.all();
    for event in all.iter().skip(from) {
        let name = match event.name.as_str() {
            "+sdown" | "+odown" => paint.code("31", &event.name),
            "+switch-master" | "+promoted-slave" | "+failover-end" => paint.code("1;32", &event.name),
            _ => event.name.clone(),
        };
        println!(
            "   {:>8.1} ms  node {}  {name} {}",
            ms_between(zero, event.at),
            event.node,
            paint.code("2", &event.payload)
        );
    }
    all.len()
}

fn show_timeline(paint: &Paint, events: &mut Events, killed: Instant) {
    let mut at = |name: &str| events.first(|event| event.name == name).map(|event| event.at);
    let (Some(odown), Some(switched)) = (at("+odown"), at("+switch-master")) else {
        return;
    };
    println!(
        "   {}",
        paint.code(
            "1",
            &format!(
                "detected after {:.1} ms (down-after 1000), switched {:.1} ms later",
                ms_between(killed, odown),
                ms_between(odown, switched)
            )
        )
    );
}

fn check_counts(paint: &Paint, cluster: &mut Cluster, events: &mut Events) -> Result<()> {
    for node in cluster.running() {
        events.wait(&format!("+switch-master of node {node}"), PATIENCE, |event| {
            event.node == node && event.name == "+switch-master"
        })?;
        let count = events.count_at(node, "+switch-master");
        ensure!(count == 1, "node {node} published +switch-master {count} times");
        let line = cluster.node(node)?.info_line()?;
        ensure!(
            line.starts_with(&format!("name={GROUP},status=ok,")),
            "node {node}: {line}"
        );
    }
    paint.good("every node published +switch-master exactly once, and calls the group ok");
    Ok(())
}

fn cluster_attached(cluster: &Cluster, new: u16) -> Result<()> {
    let info = cluster.server_at(new)?.info("replication")?;
    let count = info.get("connected_slaves").cloned().unwrap_or_default();
    ensure!(count == "1", "{count} replicas are connected");
    Ok(())
}
