//! The RESP server over TCP: shapes, order, and what hostile or slow clients can do (nothing).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    dead_code
)]

mod server_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _};
use sentinel_core::replicated::{Command, Outcome, PlanCause, State, apply};
use sentinel_core::time::WallTime;
use sentinel_node::config::StaleReads;
use sentinel_node::view::{GroupView, ReportedRole};
use sentinel_proto::resp::{Frame, Protocol};
use sentinel_proto::{Event, MasterName, NodeId};
use server_support::{Client, Server, at, eventually, healthy, name, start, state};
use tokio::io::AsyncWriteExt as _;

const ADDR: &str = "SENTINEL get-master-addr-by-name m";

fn fields(frame: &Frame) -> Vec<(String, String)> {
    let text = |frame: &Frame| {
        assert!(matches!(frame, Frame::Bulk(_)), "{frame:?} is not a bulk string");
        frame.as_str().unwrap().to_owned()
    };
    match frame {
        Frame::Map(pairs) => pairs.iter().map(|(k, v)| (text(k), text(v))).collect(),
        Frame::Array(items) => items
            .chunks(2)
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect(),
        other => panic!("{other:?} is no description"),
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map_or("(absent)", |(_, value)| value)
}

fn switch() -> Event {
    let name: MasterName = name("m");
    Event::switch_master(&name, &at(6379), &at(6380))
}

#[tokio::test]
async fn handshake_and_descriptions_in_both_protocols() {
    let server = start(|_| {});
    let mut two = Client::connect(&server).await;
    let mut three = Client::connect(&server).await;
    let hello = three.ask("HELLO 3 SETNAME me").await;
    let Frame::Map(pairs) = &hello else {
        panic!("{hello:?}")
    };
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str().unwrap()).collect();
    assert_eq!(keys, ["server", "version", "proto", "id", "mode", "modules"]);
    assert_eq!(three.text("CLIENT GETNAME").await, "me");
    for client in [&mut two, &mut three] {
        assert_eq!(client.text("ping").await, "PONG");
        let masters = client.ask("SENTINEL MASTERS").await;
        let master = fields(&masters.elements().unwrap()[0]);
        assert_eq!(field(&master, "flags"), "master");
        assert_eq!(field(&master, "num-slaves"), "2");
        assert_eq!(master[16], ("num-other-sentinels".to_owned(), "2".to_owned()));
        let replicas = client.ask("SENTINEL slaves m").await;
        let replica = fields(&replicas.elements().unwrap()[0]);
        assert_eq!(field(&replica, "name"), "127.0.0.1:6380");
        assert_eq!(field(&replica, "master-link-status"), "ok");
        let sentinels = client.ask("SENTINEL SENTINELS m").await;
        assert_eq!(sentinels.elements().unwrap().len(), 2);
        assert_eq!(client.ask(ADDR).await, Frame::bulks(["127.0.0.1", "6379"]));
        assert!(client.ask("SENTINEL GET-PRIMARY-ADDR-BY-NAME x").await.is_null());
        assert_eq!(
            client.text("SENTINEL MASTER x").await,
            "ERR No such master with that name"
        );
        assert_eq!(
            client.ask("ROLE").await,
            Frame::Array(vec!["sentinel".into(), Frame::bulks(["m"])])
        );
        assert!(
            client
                .text("INFO sentinel")
                .await
                .ends_with("master0:name=m,status=ok,address=127.0.0.1:6379,slaves=2,sentinels=3\r\n")
        );
        assert_eq!(
            client.text("select 0").await,
            "ERR unknown command 'select', with args beginning with: '0' "
        );
        assert_eq!(
            client.text("CLIENT MAINT_NOTIFICATIONS ON").await,
            "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."
        );
    }
    let list = two.text("CLIENT LIST").await;
    assert!(
        list.contains(" name=me ") && list.contains(" cmd=client|list ") && list.contains(" resp=3 "),
        "{list}"
    );
    assert_eq!(two.text("CLIENT KILL TYPE normal").await, "1");
    three.closed().await;
}

#[tokio::test]
async fn flags_follow_the_snapshots() {
    let server = start(|_| {});
    let mut client = Client::connect(&server).await;
    let now = server.context.clock.mono();
    let soft = GroupView {
        odown_since: Some(now),
        executing: Some("wait_promotion"),
        forced: true,
        ..GroupView::default()
    };
    server
        .view
        .groups
        .store(Arc::new([(name("m"), Arc::new(soft))].into()));
    let mut down = healthy(6379, ReportedRole::Master, now);
    down.sdown_since = Some(now);
    down.connected = false;
    server.view.instances.load()[&(name("m"), at(6379))].store(Arc::new(down));
    let master = fields(&client.ask("SENTINEL MASTER m").await);
    assert_eq!(
        field(&master, "flags"),
        "s_down,o_down,master,disconnected,failover_in_progress,force_failover"
    );
    assert_eq!(field(&master, "failover-state"), "wait_promotion");
    assert!(client.text("INFO sentinel").await.contains("status=odown"));
    let answer = client
        .ask("SENTINEL is-master-down-by-addr 127.0.0.1 6379 0 *")
        .await;
    assert_eq!(
        answer,
        Frame::Array(vec![Frame::Integer(1), "*".into(), Frame::Integer(0)])
    );
    server.view.tilt_since.store(now.0, Ordering::Relaxed);
    let answer = client
        .ask("SENTINEL is-master-down-by-addr 127.0.0.1 6379 0 *")
        .await;
    assert_eq!(answer.elements().unwrap()[0], Frame::Integer(0));
    assert_eq!(
        client.text("SENTINEL CKQUORUM m").await,
        "OK 3 usable Sentinels. Quorum and failover authorization can be reached"
    );
}

#[tokio::test]
async fn a_coordinated_failover_needs_a_master_that_knows_the_command() {
    let mut server = start(|_| {});
    let mut client = Client::connect(&server).await;
    let unable = "NOGOODPRIMARY Primary does not support FAILOVER command";
    for (request, reply) in [
        ("SENTINEL FAILOVER m COORDINATED", unable),
        (
            "SENTINEL FAILOVER m FORCED",
            "ERR Unknown failover option specified",
        ),
        (
            "SENTINEL FAILOVER nosuch FORCED",
            "ERR No such master with that name",
        ),
        (
            "SENTINEL FAILOVER nosuch coordinated",
            "ERR No such master with that name",
        ),
    ] {
        assert_eq!(client.text(request).await, reply, "{request}");
        assert!(server.writes.try_recv().is_err(), "{request}");
    }
    let now = server.context.clock.mono();
    let mut able = healthy(6379, ReportedRole::Master, now);
    able.info_text = Some(Arc::from("role:master\r\nmaster_failover_state:no-failover\r\n"));
    server.view.instances.load()[&(name("m"), at(6379))].store(Arc::new(able));
    assert_eq!(client.text("SENTINEL FAILOVER m COORDINATED").await, "OK");
    assert_eq!(
        server.writes.try_recv().ok().as_deref(),
        Some("failover m coordinated")
    );
    let soft = GroupView {
        executing: Some("wait_promotion"),
        coordinated: true,
        ..GroupView::default()
    };
    server
        .view
        .groups
        .store(Arc::new([(name("m"), Arc::new(soft))].into()));
    let master = fields(&client.ask("SENTINEL MASTER m").await);
    assert_eq!(
        field(&master, "flags"),
        "master,failover_in_progress,coordinated_failover"
    );
}

#[tokio::test]
async fn without_a_majority_only_what_was_verified_is_answered() {
    for (setting, verified, answered) in [
        (StaleReads::Auto, true, true),
        (StaleReads::Auto, false, false),
        (StaleReads::Yes, false, true),
        (StaleReads::No, true, false),
    ] {
        let server = start(|config| config.sentinel.stale_reads = setting);
        let mut client = Client::connect(&server).await;
        assert!(!client.ask(ADDR).await.is_null());
        server.view.has_majority.store(false, Ordering::Relaxed);
        if !verified {
            let now = server.context.clock.mono();
            let demoted = healthy(6379, ReportedRole::Replica, now);
            server.view.instances.load()[&(name("m"), at(6379))].store(Arc::new(demoted));
        }
        let case = format!("{setting:?}, verified: {verified}");
        assert_eq!(!client.ask(ADDR).await.is_null(), answered, "{case}");
        let master = fields(&client.ask("SENTINEL MASTER m").await);
        let expected = if answered { "master" } else { "s_down,master" };
        assert_eq!(field(&master, "flags"), expected, "{case}");
        assert!(client.text("SENTINEL CKQUORUM m").await.starts_with("NOQUORUM"));
    }
}

#[tokio::test]
async fn writes_go_to_control_and_their_errors_have_sentinels_texts() {
    let mut server = start(|_| {});
    let mut client = Client::connect(&server).await;
    for (request, reply, write) in [
        (
            "SENTINEL SET m quorum 3 down-after-milliseconds 5",
            "OK",
            "set \"m\" [quorum 3, down-after-milliseconds 5]",
        ),
        (
            "SENTINEL SET m quorum 77",
            "NOQUORUM 1 of 3 sentinels",
            "set \"m\" [quorum 77]",
        ),
        (
            "SENTINEL SET m quorum 3 parallel-syncs x",
            "ERR Invalid argument 'x' for SENTINEL SET 'parallel-syncs'",
            "",
        ),
        ("SENTINEL SET x quorum 3", "ERR No such master with that name", ""),
        (
            "SENTINEL MONITOR n 127.0.0.1 1 78",
            "ERR Duplicate master name.",
            "monitor n 127.0.0.1:1 78",
        ),
        (
            "SENTINEL MONITOR n localhost 1 1",
            "ERR Invalid IP address or hostname specified",
            "",
        ),
        (
            "SENTINEL MONITOR n 127.0.0.1 1 0",
            "ERR Quorum must be 1 or greater.",
            "",
        ),
        ("SENTINEL REMOVE m", "OK", "remove m"),
        ("SENTINEL RESET [lm]", "1", "reset [\"m\"]"),
        ("SENTINEL RESET x*", "0", ""),
        ("SENTINEL FAILOVER m", "OK", "failover m"),
        (
            "SENTINEL SIMULATE-FAILURE crash-after-open",
            "OK",
            "simulate [AfterOpen]",
        ),
        (
            "SENTINEL SIMULATE-FAILURE foo",
            "ERR Unknown failure simulation specified",
            "simulate []",
        ),
    ] {
        assert_eq!(client.text(request).await, reply, "{request}");
        let expected = (!write.is_empty()).then(|| write.replace("set \"m\"", "set m"));
        assert_eq!(server.writes.try_recv().ok(), expected, "{request}");
    }
    let status = fields(&client.ask("SENTINEL RAFT STATUS").await);
    assert_eq!(field(&status, "term"), "7");
}

#[tokio::test]
async fn a_password_is_asked_for_before_anything_else() {
    let server = start(|config| config.requirepass = Some("p".to_owned()));
    let mut client = Client::connect(&server).await;
    for request in [
        "PING",
        "SENTINEL MASTERS",
        "SENTINEL MASTER nosuch",
        "SUBSCRIBE a",
    ] {
        assert_eq!(
            client.text(request).await,
            "NOAUTH Authentication required.",
            "{request}"
        );
    }
    assert!(
        client
            .text("HELLO 3")
            .await
            .starts_with("NOAUTH HELLO must be called")
    );
    assert!(client.text("AUTH q").await.starts_with("WRONGPASS"));
    assert!(matches!(
        client.ask("HELLO 3 AUTH default p").await,
        Frame::Map(_)
    ));
    assert_eq!(client.text("PING").await, "PONG");
    let mut other = Client::connect(&server).await;
    assert_eq!(other.text("AUTH p").await, "OK");
    let mut stranger = Client::connect(&server).await;
    stranger.send(b"*1000\r\n").await;
    assert!(
        stranger
            .read()
            .await
            .unwrap()
            .as_error()
            .unwrap()
            .contains("unauthenticated multibulk")
    );
    stranger.closed().await;
}

#[tokio::test]
async fn subscribers_get_events_in_their_protocol() {
    let server = start(|_| {});
    let mut two = Client::connect(&server).await;
    let mut three = Client::connect(&server).await;
    three.ask("HELLO 3").await;
    let confirmation = two.ask("SUBSCRIBE +switch-master").await;
    assert_eq!(confirmation.elements().unwrap()[2], Frame::Integer(1));
    assert!(matches!(three.ask("PSUBSCRIBE *").await, Frame::Push(_)));
    server.hub.publish(switch());
    let message = two.read().await.unwrap();
    assert_eq!(
        message,
        Frame::bulks(["message", "+switch-master", "m 127.0.0.1 6379 127.0.0.1 6380"])
    );
    let message = three.read().await.unwrap();
    assert!(
        matches!(&message, Frame::Push(items) if items.len() == 4),
        "{message:?}"
    );
    assert!(two.text("INFO").await.starts_with("ERR Can't execute 'info'"));
    assert_eq!(two.ask("PING").await, Frame::bulks(["pong", ""]));
    assert!(!three.ask(ADDR).await.is_null());
    assert_eq!(
        two.ask("UNSUBSCRIBE").await.elements().unwrap()[2],
        Frame::Integer(0)
    );
    assert_eq!(two.text("PING").await, "PONG");
    assert_eq!(two.text("PUBLISH __sentinel__:hello x").await, "1");
    assert!(two.text("PUBLISH a b").await.starts_with("ERR Only HELLO"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_see_each_new_state() {
    let server = start(|_| {});
    let mut client = Client::connect(&server).await;
    let request = Frame::command(ADDR.split(' ')).to_bytes(Protocol::Resp2);
    for (index, port) in [(1u64, 6379u16), (2, 6380), (3, 6381)] {
        server.view.state.store(state(index, port));
        let mut batch = Vec::new();
        for number in 0..3000 {
            batch.extend_from_slice(&request);
            if number % 1000 == 999 {
                batch.extend_from_slice(format!("PING {number}\r\n").as_bytes());
            }
        }
        client.send(&batch).await;
        for number in 0..3000 {
            let reply = client.read().await.unwrap();
            assert_eq!(reply, Frame::bulks(["127.0.0.1".to_owned(), port.to_string()]));
            if number % 1000 == 999 {
                assert_eq!(client.read().await.unwrap().as_i64(), Some(number));
            }
        }
    }
    // The memo must not outlive the protocol it was encoded for.
    assert!(client.ask("SENTINEL get-master-addr-by-name x").await.is_null());
    client.ask("HELLO 3").await;
    client
        .send(b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$1\r\nx\r\n")
        .await;
    assert_eq!(client.read().await.unwrap(), Frame::NullBulk);
}

#[tokio::test]
async fn a_peer_gets_the_stream_with_what_was_not_read() {
    let mut server = start(|config| config.requirepass = Some("p".to_owned()));
    let mut client = Client::connect(&server).await;
    let mut bytes = Frame::command(["SENTINEL", "PEER", "1", "00000000000000ff", "user", "pass"])
        .to_bytes(Protocol::Resp2)
        .to_vec();
    bytes.extend_from_slice(b"\0\0\0\x01frame");
    client.send(&bytes).await;
    let (mut stream, unread, version, cluster, auth) = server.peers.recv().await.unwrap();
    assert_eq!((version, cluster.as_str()), (1, "00000000000000ff"));
    assert_eq!(auth, [Bytes::from("user"), Bytes::from("pass")]);
    assert!(b"\0\0\0\x01frame".starts_with(&unread[..]));
    stream.write_all(b"+OK\r\n").await.unwrap();
    assert_eq!(client.read().await.unwrap(), Frame::OK);
    let connected = &server.context.counters.connected;
    assert_eq!(connected.load(Ordering::Relaxed), 0);
}

async fn still_serves(server: &Server) {
    let mut client = Client::connect(server).await;
    assert!(!client.ask(ADDR).await.is_null());
}

#[tokio::test]
async fn hostile_input_ends_its_own_connection_only() {
    let server = start(|_| {});
    let cases: [(&str, Vec<u8>); 7] = [
        ("1 GB bulk", b"*2\r\n$8\r\nSENTINEL\r\n$1073741824\r\n".to_vec()),
        ("100,000 nested arrays", b"*1\r\n".repeat(100_000)),
        ("2 G elements", b"*2147483647\r\n".to_vec()),
        ("negative bulk", b"*1\r\n$-5\r\n".to_vec()),
        ("endless inline", vec![b'a'; 100_000]),
        (
            "many large words",
            [
                &b"*4000\r\n"[..],
                &[b"$1000\r\n", &[b'x'; 1000][..], b"\r\n"].concat().repeat(2000),
            ]
            .concat(),
        ),
        ("http", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut client = Client::connect(&server).await;
        // The server may close before everything is sent.
        let _ = client.stream.write_all(&bytes).await;
        client.closed().await;
        still_serves(&server).await;
        eventually(what, || {
            server.context.counters.connected.load(Ordering::Relaxed) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn random_bytes_and_half_frames_do_no_harm() {
    let server = start(|_| {});
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("REPRODUCE WITH: SEED={seed} cargo test -p sentinel-node --test resp_server random_bytes");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let valid = Frame::command(["SENTINEL", "SET", "m", "quorum", "2"]).to_bytes(Protocol::Resp2);
    for _ in 0..200 {
        let mut client = Client::connect(&server).await;
        let mut bytes = valid.to_vec();
        match random.random_range(0..3) {
            0 => {
                bytes = (0..random.random_range(1..2000))
                    .map(|_| random.random())
                    .collect()
            }
            1 => bytes.truncate(random.random_range(1..bytes.len())),
            _ => {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        let _ = client.stream.write_all(&bytes).await;
        let _ = client.stream.shutdown().await;
        client.closed().await;
    }
    still_serves(&server).await;
    eventually("all gone", || {
        server.context.counters.connected.load(Ordering::Relaxed) == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_from() {
    let server = start(|_| {});
    let mut slow = Client::connect(&server).await;
    let request = Frame::command(["SENTINEL", "HELP"])
        .to_bytes(Protocol::Resp2)
        .repeat(1000);
    let mut sent = 0usize;
    // About 4 kB of reply per request: the server must stop reading long before 100 MB of replies.
    let stuffed = async {
        loop {
            slow.stream.write_all(&request).await.unwrap();
            sent += 1000;
        }
    };
    let stuffed = tokio::time::timeout(std::time::Duration::from_millis(700), stuffed).await;
    assert!(stuffed.is_err());
    let before = server.context.counters.commands.load(Ordering::Relaxed);
    still_serves(&server).await;
    let output = server.context.counters.output_bytes.load(Ordering::Relaxed);
    assert!(
        output < 64 * 1024 * 1024,
        "{output} bytes written for {before} requests of {sent} sent"
    );
}

#[tokio::test]
async fn a_slow_subscriber_is_closed_and_the_others_served() {
    let server = start(|config| config.limits.pubsub.hard = 1024 * 1024);
    let mut slow = Client::connect(&server).await;
    slow.ask("PSUBSCRIBE *").await;
    let mut good = Client::connect(&server).await;
    good.ask("SUBSCRIBE +switch-master").await;
    let overflowed = || server.hub.counters().overflowed.load(Ordering::Relaxed);
    let mut received = 0;
    while overflowed() == 0 {
        for _ in 0..500 {
            server.hub.publish(switch());
        }
        for _ in 0..500 {
            good.read().await.unwrap();
        }
        received += 500;
        assert!(received < 1_000_000, "the slow subscriber is never closed");
    }
    eventually("closed", || {
        server.context.counters.connected.load(Ordering::Relaxed) == 1
    })
    .await;
    still_serves(&server).await;
}

#[tokio::test]
async fn sentinels_still_get_in_when_clients_use_up_the_limit() {
    // The members of the state are at 127.0.0.1, as this test is.
    let mut server = start(|config| config.maxclients = 1);
    let mut client = Client::connect(&server).await;
    assert_eq!(client.text("PING").await, "PONG");
    let mut talking = Client::connect(&server).await;
    assert_eq!(talking.text("PING").await, "ERR max number of clients reached");
    talking.closed().await;
    let mut silent = Client::connect(&server).await;
    let refusal = silent.read().await.unwrap();
    assert_eq!(refusal.as_error(), Some("ERR max number of clients reached"));
    let mut peer = Client::connect(&server).await;
    peer.send(b"SENTINEL PEER 1 -\r\n").await;
    assert_eq!(server.peers.recv().await.unwrap().3, "-");
    assert_eq!(server.context.counters.rejected.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn maxclients_and_shutdown() {
    let server = start(|config| config.maxclients = 2);
    server.view.state.store(Arc::default());
    let mut first = Client::connect(&server).await;
    let mut second = Client::connect(&server).await;
    assert_eq!(first.text("PING").await, "PONG");
    assert_eq!(second.text("PING").await, "PONG");
    let mut third = Client::connect(&server).await;
    let refusal = third.read().await.unwrap();
    assert_eq!(refusal.as_error(), Some("ERR max number of clients reached"));
    first.send(b"SHUTDOWN\r\n").await;
    first.closed().await;
    second.closed().await;
    assert!(server.context.stop.is_cancelled());
}

#[tokio::test]
async fn the_executor_flags_the_replica_that_it_promotes() {
    let server = start(|_| {});
    let mut client = Client::connect(&server).await;
    for (executor, expected) in [(1, "slave,promoted"), (2, "slave")] {
        let mut next = State::clone(&state(2, 6379));
        let open = Command::OpenFailover {
            master: name("m"),
            config_epoch: 0,
            failover_epoch: 1,
            executor: NodeId(executor),
            cause: PlanCause::Forced,
            evidence: Vec::new(),
            before: Vec::new(),
            choice: Some((at(6381), Vec::new())),
            at: WallTime(1),
        };
        assert_eq!(apply(&mut next, 3, &open).0, Outcome::Done);
        server.view.state.store(Arc::new(next));
        let Frame::Array(replicas) = client.ask("SENTINEL REPLICAS m").await else {
            panic!("no list")
        };
        let flags: Vec<String> = replicas
            .iter()
            .map(|replica| field(&fields(replica), "flags").to_owned())
            .collect();
        assert_eq!(flags, ["slave", expected]);
    }
}
