//! Memory of idle connections. Alone in its process: the resident size is the measure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code
)]

mod server_support;

use server_support::{Client, start};

#[tokio::test]
async fn idle_connections_hold_no_buffers() {
    let _ = sentinel_node::server::raise_open_files(10_000, 0);
    let server = start(|_| {});
    let rss_kb = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = rss_kb();
    let mut clients = Vec::new();
    for _ in 0..1500 {
        let mut client = Client::connect(&server).await;
        assert_eq!(client.text("PING").await, "PONG");
        clients.push(client);
    }
    let each = rss_kb().saturating_sub(before) / 1500;
    // Both ends are in this process; 16 kB buffers on the server's side alone would be more.
    assert!(each < 14, "{each} kB per connection");
    drop(clients);
}
