//! Connections that die without a sign (a firewall that forgets them): the sentinel drops them and makes new ones, and
//! a server that answers on those is not down.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::events::Events;
use integration::harness::wait::{holds_for, wait_for};
use integration::harness::{Cluster, ClusterOptions, scenario};

const PATIENCE: Duration = Duration::from_secs(30);

/// Connections to a server; those of an older generation carry nothing any more, without being closed.
struct Proxy {
    port: u16,
    generation: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
}

impl Proxy {
    fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let (generation, accepted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (present, count) = (Arc::clone(&generation), Arc::clone(&accepted));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let mine = present.load(Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                        let present = Arc::clone(&present);
                        thread::spawn(move || carry(from, to, || present.load(Ordering::Relaxed) == mine));
                    }
                }
            }
        });
        Ok(Self {
            port,
            generation,
            accepted,
        })
    }

    /// All present connections go silent.
    fn forget(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, alive: impl Fn() -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        // Swallowed, and read on: the sender notices nothing.
        if alive() && to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

#[test]
fn half_open_links_are_replaced_and_cost_no_failover() {
    let mut options = ClusterOptions {
        sentinels: 1,
        replicas: 0,
        ..ClusterOptions::default()
    };
    options.settings.odown_quorum = 1;
    scenario(
        "half_open_links_are_replaced_and_cost_no_failover",
        options,
        half_open,
    );
}

fn half_open(cluster: &mut Cluster) -> Result<()> {
    let server = cluster.master_port()?;
    let proxy = Proxy::start(server)?;
    // The same server under another name: a group of its own, whose only way to it is the proxy.
    let port = proxy.port.to_string();
    for words in [
        &["SENTINEL", "MONITOR", "proxied", "127.0.0.1", &port, "1"][..],
        &["SENTINEL", "SET", "proxied", "down-after-milliseconds", "3000"],
    ] {
        let reply = cluster.node(0)?.command(words)?;
        ensure!(reply.is_ok(), "{words:?} was answered {reply}");
    }
    let field = |name: &str| -> Result<String> {
        let reply = cluster.node(0)?.command(&["SENTINEL", "MASTER", "proxied"])?;
        reply.pairs()?.get(name).cloned().context("no such field")
    };
    let healthy = || -> Result<()> {
        ensure!(field("flags")? == "master", "flags are {}", field("flags")?);
        ensure!(
            field("run_id").is_ok() || !field("runid")?.is_empty(),
            "no INFO yet"
        );
        Ok(())
    };
    wait_for("the server is reached through the proxy", PATIENCE, healthy)?;
    let node = cluster.node(0)?;
    let (node_port, index) = (node.port(), node.index());
    let mut events = Events::new();
    events.subscribe(index, node_port)?;
    for round in 0..2 {
        let before = proxy.accepted();
        proxy.forget();
        wait_for(
            "probe, command and pub/sub links are made again",
            PATIENCE,
            || {
                let links = proxy.accepted() - before;
                ensure!(links >= 3, "{links} in round {round}");
                Ok(())
            },
        )?;
        wait_for("it is healthy", PATIENCE, healthy)?;
    }
    holds_for("it stays healthy", Duration::from_secs(2), healthy)?;
    let wrong = ["+sdown", "+odown", "+try-failover"];
    let seen = events.first(|e| wrong.contains(&e.name.as_str()) && e.payload.contains("proxied"));
    ensure!(
        seen.is_none(),
        "a dead connection was taken for a dead server: {seen:?}"
    );
    Ok(())
}
