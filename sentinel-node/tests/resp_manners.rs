//! Limits and manners of the client port: pauses, buffers, idle clients, other names for commands, counters.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code
)]

mod server_support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use sentinel_node::config::OutputLimit;
use sentinel_proto::{Event, MasterName};
use server_support::{Client, Server, eventually, start};
use tokio::io::AsyncReadExt as _;

/// Long enough for an answer that is not held back, short enough not to matter.
const A_MOMENT: Duration = Duration::from_millis(150);

async fn info(client: &mut Client, field: &str) -> String {
    let text = client.text("INFO all").await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}"))
        .trim_end()
        .to_owned()
}

/// What came within [`A_MOMENT`].
async fn anything(client: &mut Client) -> bool {
    tokio::time::timeout(A_MOMENT, client.stream.readable())
        .await
        .is_ok()
}

fn epoch(current_epoch: u64) -> Event {
    Event::new_epoch(&MasterName::new("m").unwrap(), current_epoch)
}

fn blocked(server: &Server) -> u32 {
    server.context.counters.blocked.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_pause_holds_clients_back_until_its_end_or_unpause() {
    let mut server = start(|_| {});
    let mut operator = Client::connect(&server).await;
    let mut client = Client::connect(&server).await;
    let mut subscriber = Client::connect(&server).await;
    subscriber.ask("SUBSCRIBE +new-epoch").await;
    assert_eq!(operator.text("CLIENT PAUSE 60000").await, "OK");
    client
        .send(b"PING\r\nSENTINEL get-master-addr-by-name m\r\n")
        .await;
    subscriber.send(b"PING\r\n").await;
    eventually("both wait", || blocked(&server) == 2).await;
    assert!(!anything(&mut client).await);
    // What is refused in any case is refused at once.
    let mut hasty = Client::connect(&server).await;
    assert!(hasty.text("nosuch").await.starts_with("ERR unknown command"));
    // Events are delivered, sentinels get in, and a client that leaves is noticed.
    server.hub.publish(epoch(7));
    let message = subscriber.read().await.unwrap();
    assert_eq!(message.elements().unwrap()[2].as_str(), Some("7"));
    let mut peer = Client::connect(&server).await;
    peer.send(b"SENTINEL PEER 1 -\r\n").await;
    assert_eq!(server.peers.recv().await.unwrap().3, "-");
    drop(subscriber);
    eventually("one has left", || blocked(&server) == 1).await;
    // Unlike in Redis an operator can end what was a mistake.
    assert_eq!(operator.text("CLIENT UNPAUSE").await, "OK");
    assert_eq!(client.read().await.unwrap().as_str(), Some("PONG"));
    assert!(client.read().await.unwrap().elements().is_some());
    assert_eq!(blocked(&server), 0);
}

#[tokio::test]
async fn a_pause_of_writes_holds_publish_only_and_ends_by_itself() {
    let server = start(|_| {});
    let mut client = Client::connect(&server).await;
    assert_eq!(client.text("CLIENT PAUSE 100 WRITE").await, "OK");
    let mut publisher = Client::connect(&server).await;
    publisher.send(b"PUBLISH __sentinel__:hello x\r\n").await;
    eventually("it waits", || blocked(&server) == 1).await;
    assert_eq!(info(&mut client, "blocked_clients").await, "1");
    let list = client.text("CLIENT LIST").await;
    assert!(
        list.lines()
            .any(|line| line.contains(" flags=b ") && line.contains(" cmd=NULL ")),
        "{list}"
    );
    assert_eq!(publisher.read().await.unwrap().as_i64(), Some(1));
    assert_eq!(info(&mut client, "blocked_clients").await, "0");
}

#[tokio::test]
async fn a_request_above_the_query_limit_closes_without_a_reply() {
    let server = start(|config| config.limits.query = 1024 * 1024);
    let mut client = Client::connect(&server).await;
    let word = format!("$400000\r\n{}\r\n", "x".repeat(400_000));
    client.send(b"*4\r\n$4\r\nPING\r\n").await;
    for _ in 0..3 {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, word.as_bytes()).await;
    }
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    let mut other = Client::connect(&server).await;
    assert_eq!(
        info(&mut other, "client_query_buffer_limit_disconnections").await,
        "1"
    );
    // What the file allows is allowed.
    let server = start(|config| {
        config.limits.query = 8 * 1024 * 1024;
        config.limits.bulk = 4 * 1024 * 1024;
    });
    let mut client = Client::connect(&server).await;
    let text = "y".repeat(3_000_000);
    assert_eq!(client.text(&format!("PING {text}")).await, text);
}

#[tokio::test]
async fn a_reply_above_the_output_limit_closes_the_client() {
    let limit = OutputLimit {
        hard: 1000,
        ..OutputLimit::default()
    };
    let server = start(|config| config.limits.normal = limit);
    let mut client = Client::connect(&server).await;
    assert_eq!(client.text("PING").await, "PONG");
    client.send(b"SENTINEL HELP\r\n").await;
    assert!(client.read().await.is_none());
    let cut = || server.context.counters.output_limit.load(Ordering::Relaxed);
    assert_eq!(cut(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_at_its_soft_limit() {
    let limit = OutputLimit {
        hard: 0,
        soft: 1000,
        soft_s: 0,
    };
    let server = start(|config| config.limits.normal = limit);
    let mut greedy = Client::connect(&server).await;
    let text = "z".repeat(60_000);
    let request = format!("PING {text}\r\n").repeat(20);
    // More than the sockets hold; the node stops reading, then closes.
    let stuffed = async {
        while tokio::io::AsyncWriteExt::write_all(&mut greedy.stream, request.as_bytes())
            .await
            .is_ok()
        {}
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), stuffed).await;
    assert!(ended.is_ok(), "it was never closed");
    let cut = || server.context.counters.output_limit.load(Ordering::Relaxed);
    assert_eq!(cut(), 1);
}

#[tokio::test]
async fn idle_clients_are_closed_but_not_subscribers() {
    let server = start(|config| config.timeout_s = 1);
    let mut idle = Client::connect(&server).await;
    let mut subscriber = Client::connect(&server).await;
    assert_eq!(idle.text("PING").await, "PONG");
    subscriber.ask("SUBSCRIBE +new-epoch").await;
    idle.closed().await;
    assert_eq!(server.context.counters.connected.load(Ordering::Relaxed), 1);
    server.hub.publish(epoch(1));
    assert!(subscriber.read().await.is_some());
}

#[tokio::test]
async fn commands_have_the_names_of_the_file() {
    let mut server = start(|config| {
        config.renames.rename("sentinel", "guard").unwrap();
        config.renames.rename("info", "").unwrap();
    });
    let mut client = Client::connect(&server).await;
    assert!(
        client
            .text("SENTINEL MYID")
            .await
            .starts_with("ERR unknown command")
    );
    assert!(client.text("INFO").await.starts_with("ERR unknown command"));
    assert_eq!(client.text("guard MYID").await, "01".repeat(20));
    assert_eq!(
        client.text("GUARD nosuch").await,
        "ERR unknown subcommand 'nosuch'. Try GUARD HELP."
    );
    assert_eq!(client.text("COMMAND COUNT").await, "14");
    // Its group knows nothing of the file.
    let mut peer = Client::connect(&server).await;
    peer.send(b"SENTINEL PEER 1 -\r\n").await;
    assert_eq!(server.peers.recv().await.unwrap().3, "-");
}

#[tokio::test]
async fn counters_and_sizes_are_shown_as_they_are() {
    let server = start(|_| {});
    let mut client = Client::connect(&server).await;
    client.ask("CLIENT TRACKING ON BCAST").await;
    client.ask("CLIENT NO-EVICT ON").await;
    let mut subscriber = Client::connect(&server).await;
    subscriber.ask("SUBSCRIBE a").await;
    subscriber.ask("PSUBSCRIBE b*").await;
    for (field, value) in [
        ("connected_clients", "2"),
        ("tracking_clients", "1"),
        ("pubsub_clients", "1"),
        ("pubsub_channels", "1"),
        ("pubsub_patterns", "1"),
        ("total_connections_received", "2"),
        ("process_supervised", "no"),
        ("maxclients", "10000"),
    ] {
        assert_eq!(info(&mut client, field).await, value, "{field}");
    }
    assert_ne!(info(&mut client, "total_net_input_bytes").await, "0");
    assert_ne!(info(&mut client, "total_reads_processed").await, "0");
    let line = client.text("CLIENT INFO").await;
    let fields: Vec<&str> = line.trim_end().split(' ').collect();
    for wanted in ["flags=tBe", "redir=0", "oll=0", "omem=0", "qbuf=0"] {
        assert!(fields.contains(&wanted), "{wanted}: {line}");
    }
    assert!(
        !fields.contains(&"fd=-1") && !fields.contains(&"tot-mem=0"),
        "{line}"
    );
    drop(client);
    let tracking = || server.context.counters.tracking.load(Ordering::Relaxed);
    eventually("it no longer counts", || tracking() == 0).await;
    let mut client = Client::connect(&server).await;
    for _ in 0..500 {
        client.ask("PING").await;
    }
    let rate = || server.context.rates.commands.load(Ordering::Relaxed);
    eventually("a rate", || rate() > 0).await;
}
