//! What client libraries rely on, whichever they are: the rules of docs/CLIENTS.md that no other test covers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::Client;
use integration::harness::sentinel::{GROUP, master_port};
use integration::harness::time::{ms_since, now};
use integration::harness::wait::wait_for;
use integration::harness::{Cluster, ClusterOptions, limit_ms, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

/// Rule 12: connections of clients to the servers that change their role.
struct Bystanders(Vec<(String, Client)>);

impl Bystanders {
    fn connect(cluster: &Cluster) -> Result<Self> {
        let mut clients = Vec::new();
        for server in &cluster.servers {
            let idle = server.client()?;
            clients.push((format!("idle client of {}", server.name()), idle));
            let mut subscriber = server.client()?;
            subscriber.command(&["SUBSCRIBE", "news"])?;
            clients.push((format!("subscriber of {}", server.name()), subscriber));
        }
        for (_, client) in &clients {
            client.set_read_timeout(Some(Duration::from_millis(20)))?;
        }
        Ok(Self(clients))
    }

    /// All are disconnected: one master became a replica, one replica a master, and one follows another master.
    fn wait_closed(&mut self) -> Result<()> {
        for (name, client) in &mut self.0 {
            wait_for(&format!("{name} is disconnected"), PATIENCE, || {
                let reason = client.read().err().context("a reply")?;
                let io = reason.root_cause().downcast_ref::<std::io::Error>();
                let waiting = io.is_some_and(|io| {
                    matches!(
                        io.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    )
                });
                ensure!(!waiting, "it is still connected");
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Rules 3, 6 and 10: what node `index` says about the deployment, once all is well.
fn says_the_same(cluster: &Cluster, index: usize, master: u16) -> Result<()> {
    let node = cluster.node(index)?;
    let described = node.master()?;
    let field = |name: &str| described.get(name).map(String::as_str).unwrap_or_default();
    let shown = (field("ip"), field("port"), field("flags"));
    ensure!(
        shown == ("127.0.0.1", master.to_string().as_str(), "master"),
        "SENTINEL MASTER of node {index}: {shown:?}"
    );
    let replicas = node.command(&["SENTINEL", "REPLICAS", GROUP])?;
    for replica in replicas.array()? {
        let replica = replica.pairs()?;
        let flags = replica.get("flags").context("no flags")?;
        ensure!(flags == "slave", "flags of a replica at node {index}: {flags}");
    }
    let others: BTreeSet<u16> = cluster.nodes.iter().map(|node| node.port()).collect();
    let mut listed = BTreeSet::from([node.port()]);
    for sentinel in node.command(&["SENTINEL", "SENTINELS", GROUP])?.array()? {
        let sentinel = sentinel.pairs()?;
        ensure!(
            sentinel.get("ip").is_some_and(|ip| ip == "127.0.0.1"),
            "{sentinel:?}"
        );
        listed.insert(sentinel.get("port").context("no port")?.parse().context("port")?);
    }
    ensure!(
        listed == others,
        "SENTINEL SENTINELS of node {index}: {listed:?}, not {others:?}"
    );
    Ok(())
}

/// Rules 1 and 2: each node publishes the switch once, answers the new address from then on, and names all replicas anew.
fn one_switch(cluster: &mut Cluster) -> Result<()> {
    let old = cluster.master_port()?;
    let mut events = cluster.events()?;
    let mut bystanders = Bystanders::connect(cluster)?;
    let mut askers = cluster
        .nodes
        .iter()
        .map(|node| node.client())
        .collect::<Result<Vec<_>>>()?;
    let reply = cluster.node(0)?.command(&["SENTINEL", "FAILOVER", GROUP])?;
    ensure!(reply.is_ok(), "SENTINEL FAILOVER was answered {reply}");
    for (index, asker) in askers.iter_mut().enumerate() {
        let event = events.wait(&format!("+switch-master of node {index}"), PATIENCE, |event| {
            event.node == index && event.name == "+switch-master"
        })?;
        let words: Vec<&str> = event.payload.split(' ').collect();
        let answered = master_port(asker)?.to_string();
        ensure!(
            words.get(4) == Some(&answered.as_str()),
            "node {index} published {words:?} and answers {answered}"
        );
    }
    bystanders.wait_closed()?;
    cluster.wait_ready()?;
    let new = cluster.master_port()?;
    ensure!(new != old, "no failover");
    for index in 0..cluster.nodes.len() {
        wait_for(
            &format!("node {index} shows no trace of the failover"),
            PATIENCE,
            || says_the_same(cluster, index, new),
        )?;
        let switches = events.count_at(index, "+switch-master");
        ensure!(
            switches == 1,
            "node {index} published +switch-master {switches} times"
        );
        for replica in cluster.ports_but(new) {
            let payload = format!("slave 127.0.0.1:{replica} 127.0.0.1 {replica} @ {GROUP} 127.0.0.1 {new}");
            ensure!(
                events
                    .first(|event| {
                        event.node == index && event.name == "+slave" && event.payload == payload
                    })
                    .is_some(),
                "no +slave {payload} of node {index}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_switch_is_published_once_and_leaves_no_trace() {
    scenario(
        "a_switch_is_published_once_and_leaves_no_trace",
        ClusterOptions::default(),
        |cluster| {
            // Each node has its turn as the executor, or at least not always the same one.
            for _ in 0..3 {
                one_switch(cluster)?;
            }
            Ok(())
        },
    );
}

/// Rule 11: answers do not wait for other sentinels, even when those hang without anyone knowing it yet.
#[test]
fn addresses_are_answered_at_once_while_the_other_sentinels_hang() {
    scenario(
        "addresses_are_answered_at_once_while_the_other_sentinels_hang",
        ClusterOptions::default(),
        |cluster| {
            let master = cluster.master_port()?;
            let mut client = cluster.node(0)?.client()?;
            for index in 1..cluster.nodes.len() {
                cluster.node_mut(index)?.process()?.freeze()?;
            }
            let mut slowest: f64 = 0.0;
            let start = now();
            let mut asked = 0;
            // Over the time in which the node finds out that it is alone.
            while ms_since(start) < 3_000.0 {
                let before = now();
                let port = master_port(&mut client)?;
                slowest = slowest.max(ms_since(before));
                ensure!(port == master, "it names {port}");
                asked += 1;
            }
            println!("{asked} answers, the slowest after {slowest:.1} ms");
            for index in 1..cluster.nodes.len() {
                cluster.node_mut(index)?.process()?.thaw()?;
            }
            ensure!(slowest < limit_ms(100.0), "an answer took {slowest:.0} ms");
            Ok(())
        },
    );
}

/// Rule 8: the handshakes of all libraries, at a node that monitors nothing.
#[test]
fn handshakes_work_without_a_master() {
    scenario(
        "handshakes_work_without_a_master",
        ClusterOptions::default(),
        |cluster| {
            let node = cluster.node(0)?;
            let reply = node.command(&["SENTINEL", "REMOVE", GROUP])?;
            ensure!(reply.is_ok(), "REMOVE was answered {reply}");
            let mut client = node.client()?;
            for words in [
                &["CLIENT", "MAINT_NOTIFICATIONS", "ON"][..],
                &["NOSUCH", "COMMAND"],
                &["SELECT", "0"],
            ] {
                // A sentinel does not know them: an error, and the connection stays.
                let reply = client.command(words)?;
                let text = reply.error().with_context(|| format!("{words:?}: {reply}"))?;
                ensure!(text.starts_with("ERR "), "{words:?}: {text}");
            }
            for words in [
                &["PING"][..],
                &["CLIENT", "SETNAME", "x"],
                &["CLIENT", "SETINFO", "LIB-NAME", "x"],
                &["CLIENT", "ID"],
                &["ROLE"],
                &["INFO"],
                &["INFO", "server"],
                &["COMMAND"],
                &["COMMAND", "DOCS"],
                &["SENTINEL", "MASTERS"],
            ] {
                let reply = client.command(words)?;
                ensure!(reply.error().is_none(), "{words:?}: {reply}");
            }
            let hello = client.command(&["HELLO", "2"])?;
            let hello: Vec<String> = hello
                .array()?
                .iter()
                .filter_map(|item| item.text().ok())
                .collect();
            ensure!(
                hello.windows(2).any(|pair| pair == ["mode", "sentinel"])
                    && !hello.contains(&"role".to_owned()),
                "HELLO: {hello:?}"
            );
            Ok(())
        },
    );
}
