//! Acceptance 8, on the wire: whatever is sent to the client port, the node answers with an error or closes, its
//! memory stays bounded, and failovers work meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::resp::{Client, encode};
use integration::harness::time::{ms_since, now, wall_ms};
use integration::harness::{Cluster, ClusterOptions, limit_ms, scenario};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const PATIENCE: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;
/// How much a node may grow under any of these inputs.
const MAY_GROW: u64 = 96 * MIB;

fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).context("connect")?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .context("timeout")?;
    stream
        .set_write_timeout(Some(Duration::from_secs(5)))
        .context("timeout")?;
    Ok(stream)
}

/// Sends bytes and reads until the node closes or is silent for the deadline. A write may fail: it may have closed.
fn send_and_drain(port: u16, bytes: &[u8], silence: Duration) -> Result<Vec<u8>> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(silence)).context("timeout")?;
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || answer.len() > 1_000_000 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(answer)
}

fn resident(cluster: &mut Cluster, index: usize) -> Result<u64> {
    cluster
        .node_mut(index)?
        .process()?
        .resident_bytes()
        .context("no /proc")
}

fn expect_alive(cluster: &mut Cluster, index: usize, before: u64) -> Result<()> {
    let reply = cluster.node(index)?.command(&["PING"])?;
    ensure!(reply.text()? == "PONG", "PING was answered {reply}");
    let after = resident(cluster, index)?;
    println!("resident {} MiB before, {} MiB after", before / MIB, after / MIB);
    ensure!(
        after < before + MAY_GROW,
        "the node grew from {} to {} MiB",
        before / MIB,
        after / MIB
    );
    Ok(())
}

/// Kills the master and expects the failover in the usual time, as told by some of the nodes.
fn expect_failover(cluster: &mut Cluster, nodes: &[usize]) -> Result<()> {
    let old = cluster.master_port()?;
    let killed = now();
    cluster.server_at_mut(old)?.process()?.kill9()?;
    let new = cluster.wait_new_master_at(nodes, old, PATIENCE)?;
    let took = ms_since(killed);
    println!("failover meanwhile: {took:.0} ms");
    ensure!(
        cluster.server_at(new)?.role()? == "master",
        "the named server is not a master"
    );
    if cluster.is_ours() {
        ensure!(took <= 1000.0 + limit_ms(1000.0), "it took {took:.0} ms");
    }
    Ok(())
}

/// A thread that sends garbage to some ports until told to stop; counts what it sent.
fn garbage(ports: Vec<u16>, seed: u64, stop: Arc<AtomicBool>, count: Arc<AtomicU64>) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        for port in &ports {
            let mut bytes = vec![0; rng.random_range(1..4096)];
            rng.fill_bytes(&mut bytes);
            if rng.random_bool(0.5) {
                let start = [
                    &b"*3\r\n$8\r\nSENTINEL\r\n"[..],
                    b"*2\r\n$",
                    b"$5\r\n",
                    b"*-5\r\n",
                    b"PING ",
                ];
                bytes.splice(0..0, start[rng.random_range(0..start.len())].iter().copied());
            }
            let Ok(mut stream) = connect(*port) else { continue };
            let _ = stream.write_all(&bytes);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn random_bytes_do_no_harm_and_failover_works_meanwhile() {
    scenario(
        "random_bytes_do_no_harm_and_failover_works_meanwhile",
        ClusterOptions::default(),
        |cluster| {
            let seed = wall_ms();
            println!("seed {seed}");
            let before = resident(cluster, 0)?;
            let stop = Arc::new(AtomicBool::new(false));
            let count = Arc::new(AtomicU64::new(0));
            let (stopped, counted, ports) = (Arc::clone(&stop), Arc::clone(&count), cluster.sentinel_ports());
            let thread = std::thread::spawn(move || garbage(ports, seed, stopped, counted));
            let outcome = integration::harness::wait::wait_for("some garbage was sent", PATIENCE, || {
                ensure!(count.load(Ordering::Relaxed) > 300, "not yet");
                Ok(())
            })
            .and_then(|()| expect_failover(cluster, &[0, 1, 2]));
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
            println!("{} connections with garbage", count.load(Ordering::Relaxed));
            outcome?;
            ensure!(cluster.running().len() == 3, "a node has ended");
            expect_alive(cluster, 0, before)
        },
    );
}

#[test]
fn oversized_and_deep_frames_are_refused_before_they_are_stored() {
    scenario(
        "oversized_and_deep_frames_are_refused",
        ClusterOptions::default(),
        |cluster| {
            let port = cluster.node(0)?.port();
            let before = resident(cluster, 0)?;
            let silence = Duration::from_millis(1500);
            let cases: [(&str, Vec<u8>); 7] = [
                (
                    "a bulk header of 1 GB",
                    b"*2\r\n$4\r\nPING\r\n$1073741824\r\n".to_vec(),
                ),
                ("an array header of 2^31", b"*2147483647\r\n".to_vec()),
                ("a negative bulk", b"*1\r\n$-7\r\n".to_vec()),
                ("100,000 nested arrays", b"*1\r\n".repeat(100_000)),
                (
                    "100,000 nested arrays in a command",
                    [b"*2\r\n$4\r\nPING\r\n".to_vec(), b"*1\r\n".repeat(100_000)].concat(),
                ),
                ("a line without an end", vec![b'a'; 2_000_000]),
                (
                    "a number without an end",
                    [b"*".to_vec(), vec![b'1'; 200_000]].concat(),
                ),
            ];
            for (what, bytes) in cases {
                let answer = send_and_drain(port, &bytes, silence)?;
                let answer = String::from_utf8_lossy(&answer).into_owned();
                println!("{what}: {:?}", answer.chars().take(80).collect::<String>());
                ensure!(
                    answer.is_empty() || answer.starts_with('-'),
                    "{what} was answered {answer:?}"
                );
            }
            for cut in 1..30 {
                let frame = encode(&["SENTINEL", "MASTERS"]);
                send_and_drain(port, &frame[..cut], Duration::from_millis(1))?;
            }
            expect_alive(cluster, 0, before)
        },
    );
}

#[test]
fn ten_thousand_idle_connections_leave_failover_working() {
    scenario(
        "ten_thousand_idle_connections_leave_failover_working",
        ClusterOptions::default(),
        |cluster| {
            let wanted = 10_000;
            let limit = getrlimit(Resource::Nofile);
            let need = Some(wanted + 500);
            if limit.current.is_some_and(|current| current < wanted + 500) {
                let raised = Rlimit {
                    current: need,
                    maximum: limit.maximum.max(need),
                };
                if setrlimit(Resource::Nofile, raised).is_err() {
                    println!("skipped: this process may not open 10,000 files");
                    return Ok(());
                }
            }
            let before = resident(cluster, 1)?;
            let port = cluster.node(1)?.port();
            let started = now();
            let mut idle = Vec::new();
            while idle.len() < usize::try_from(wanted).unwrap() {
                match connect(port) {
                    Ok(stream) => idle.push(stream),
                    Err(reason) => {
                        println!("connection {}: {reason:#}", idle.len());
                        break;
                    }
                }
            }
            println!(
                "{} idle connections after {:.0} ms",
                idle.len(),
                ms_since(started)
            );
            ensure!(idle.len() > 5_000, "only {} connections", idle.len());
            // Node 1 may refuse further clients, but not its peers.
            expect_failover(cluster, &[0, 2])?;
            let after = resident(cluster, 1)?;
            println!(
                "resident {} MiB before, {} MiB with them",
                before / MIB,
                after / MIB
            );
            ensure!(
                after < before + 200 * MIB,
                "the node grew from {} to {} MiB",
                before / MIB,
                after / MIB
            );
            drop(idle);
            let new = cluster.master_port()?;
            integration::harness::wait::wait_for("the node takes clients again and knows", PATIENCE, || {
                let port = cluster.node(1)?.master_port()?;
                ensure!(port == new, "it names {port}, not {new}");
                Ok(())
            })
        },
    );
}

/// Asks for far more than any socket buffer holds and never reads it.
fn greedy(port: u16, first: &[&str], request: &[&str], megabytes: usize) -> Result<Client> {
    let mut client = Client::connect(port, Duration::from_secs(3))?;
    if !first.is_empty() {
        client.send(first)?;
    }
    let batch = encode(request).repeat(64);
    let mut sent = 0;
    while sent < megabytes * 1024 * 1024 {
        // An error is fine: the node may stop reading or cut the connection.
        if client.send_raw(&batch).is_err() {
            break;
        }
        sent += batch.len();
    }
    println!(
        "{} MiB of {} sent without reading",
        sent / 1024 / 1024,
        request[0]
    );
    Ok(client)
}

#[test]
fn clients_that_never_read_cost_bounded_memory() {
    scenario(
        "clients_that_never_read_cost_bounded_memory",
        ClusterOptions::default(),
        |cluster| {
            let port = cluster.node(0)?.port();
            let before = resident(cluster, 0)?;
            let payload = "x".repeat(4096);
            let subscriber = greedy(port, &["PSUBSCRIBE", "*"], &["PING", &payload], 200)?;
            let asker = greedy(port, &[], &["SENTINEL", "HELP"], 8)?;
            expect_failover(cluster, &[0, 1, 2])?;
            expect_alive(cluster, 0, before)?;
            drop((subscriber, asker));
            Ok(())
        },
    );
}
