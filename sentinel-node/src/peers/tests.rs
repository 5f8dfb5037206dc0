//! Several peer layers in one process, over loopback with real sockets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use raft_store::transport::{Transport as _, TransportError};
use sentinel_core::replicated::{Member, State};
use sentinel_proto::peer::{Opinion, PEER_VERSION};
use sentinel_proto::{EvidenceClass, HostPort, MasterName, NodeId, SentinelId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::acl::{Acl, AclSettings};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::server::Clients;
use crate::view::NodeView;

/// Longest wait for anything in these tests.
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {DEADLINE:?}: {what}");
}

/// Parses one RESP array from the client port and hands the connection over, as the RESP server does.
pub(super) async fn front_door(listener: TcpListener, acceptor: Peers) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut buf = BytesMut::new();
            let words = loop {
                if let Some(words) = parse(&mut buf) {
                    break words;
                }
                if stream.read_buf(&mut buf).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let text = |i: usize| String::from_utf8_lossy(&words[i]).into_owned();
            acceptor.accept(
                stream.into(),
                buf,
                text(2).parse().unwrap_or(0),
                text(3),
                words[4..].to_vec(),
            );
        });
    }
}

fn parse(buf: &mut BytesMut) -> Option<Vec<Bytes>> {
    let line = |at: usize| {
        let end = buf.get(at..)?.windows(2).position(|w| w == b"\r\n")?;
        let number = std::str::from_utf8(&buf[at + 1..at + end])
            .ok()?
            .parse::<usize>()
            .ok()?;
        Some((number, at + end + 2))
    };
    let (count, mut at) = line(0)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, start) = line(at)?;
        words.push(Bytes::copy_from_slice(buf.get(start..start + length)?));
        at = start + length + 2;
    }
    if buf.len() < at {
        return None;
    }
    let _ = buf.split_to(at);
    Some(words)
}

#[derive(Debug)]
enum Seen {
    Opinions(NodeId, Vec<Opinion>),
    Sdown(SentinelId, bool),
}

struct Recorder(mpsc::UnboundedSender<Seen>);

impl PeerPorts for Recorder {
    fn opinions(&self, from: NodeId, opinions: Vec<Opinion>) {
        let _ = self.0.send(Seen::Opinions(from, opinions));
    }
    fn changed(&self) {}
    fn sdown(&self, myid: &SentinelId, _: &HostPort, down: bool) {
        let _ = self.0.send(Seen::Sdown(myid.clone(), down));
    }
}

/// Answers with the request reversed, after a wait when it starts with `w`.
struct Echo;

impl RaftService for Echo {
    fn serve(&self, mut request: Vec<u8>) -> BoxFuture<'static, Vec<u8>> {
        Box::pin(async move {
            if request.first() == Some(&b'w') {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            request.reverse();
            request
        })
    }
}

pub(super) struct Stack {
    pub(super) peers: Peers,
    pub(super) view: Arc<NodeView>,
    seen: mpsc::UnboundedReceiver<Seen>,
    door: JoinHandle<()>,
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.peers.stop();
        self.door.abort();
    }
}

static BOOT: AtomicU64 = AtomicU64::new(1);

fn id(n: u8) -> SentinelId {
    SentinelId::from_bytes([n; 20])
}

pub(super) async fn listeners(count: usize) -> (Vec<TcpListener>, Vec<HostPort>) {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses = all.iter().map(|l| l.local_addr().unwrap().into()).collect();
    (all, addresses)
}

/// Binds an address again whose last listener is about to be dropped.
pub(super) async fn rebind(address: &HostPort) -> TcpListener {
    let bind = async {
        loop {
            match TcpListener::bind(address.socket_addr().unwrap()).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, bind)
        .await
        .expect("the port is free again")
}

pub(super) fn settings(n: u8, port: u16, listed: &[HostPort]) -> PeerSettings {
    PeerSettings {
        node: NodeId(n.into()),
        myid: id(n),
        boot: BOOT.fetch_add(1, Ordering::Relaxed),
        listed: listed.to_vec(),
        announce_host: None,
        announce_port: port,
        port,
        secret: PeerSecret::default(),
        outgoing: Default::default(),
        timing: PeerTiming {
            ping_every: Duration::from_millis(50),
            lost_after: Duration::from_millis(600),
            sdown_after: Duration::from_millis(600),
            ..PeerTiming::default()
        },
    }
}

pub(super) fn members(list: &[(u8, &HostPort)]) -> State {
    let member = |(n, a): &(u8, &HostPort)| {
        (
            NodeId((*n).into()),
            Member {
                myid: id(*n),
                address: (*a).clone(),
            },
        )
    };
    State {
        last_applied: 1,
        members: list.iter().map(member).collect(),
        ..State::default()
    }
}

pub(super) fn start(
    settings: PeerSettings,
    cluster: Option<u64>,
    state: State,
    listener: TcpListener,
) -> Stack {
    let (tx, seen) = mpsc::unbounded_channel();
    let view = Arc::new(NodeView::new(
        settings.node,
        settings.myid.clone(),
        Arc::new(state),
    ));
    let clock = Arc::new(SystemClock::start());
    let peers = Peers::start(
        settings,
        (cluster, cluster.is_some()),
        Arc::clone(&view),
        clock,
        Arc::new(Recorder(tx)),
    );
    peers.serve_raft(Arc::new(Echo));
    let door = tokio::spawn(front_door(listener, peers.clone()));
    Stack {
        peers,
        view,
        seen,
        door,
    }
}

impl Stack {
    pub(super) fn connected_to(&self, n: u8) -> bool {
        self.view
            .peers
            .load()
            .get(&NodeId(n.into()))
            .is_some_and(|p| p.connected)
    }

    pub(super) async fn call(&self, n: u8, request: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.peers
            .transport()
            .call(NodeId(n.into()), request.to_vec(), Duration::from_millis(500))
            .await
    }

    async fn next_opinions(&mut self) -> (NodeId, Vec<Opinion>) {
        let next = async {
            while let Some(seen) = self.seen.recv().await {
                if let Seen::Opinions(from, opinions) = seen {
                    return Some((from, opinions));
                }
            }
            None
        };
        tokio::time::timeout(DEADLINE, next)
            .await
            .expect("opinions in time")
            .expect("running")
    }

    async fn next_sdown(&mut self) -> (SentinelId, bool) {
        let next = async {
            while let Some(seen) = self.seen.recv().await {
                if let Seen::Sdown(myid, down) = seen {
                    return Some((myid, down));
                }
            }
            None
        };
        tokio::time::timeout(DEADLINE, next)
            .await
            .expect("s_down in time")
            .expect("running")
    }

    fn listed_problem(&self, address: &HostPort) -> String {
        let census = self.peers.census();
        let census = census.borrow();
        match census.listed.iter().find(|(a, _)| a == address) {
            Some((_, ListedStatus::Unknown(text))) => text.clone(),
            other => format!("{other:?}"),
        }
    }
}

fn opinion(master: &str, down: bool) -> Opinion {
    Opinion {
        master: MasterName::new(master).unwrap(),
        address: HostPort::new("127.0.0.1", 6379),
        config_epoch: 0,
        down,
        class: EvidenceClass::Alive,
        class_age_ms: 0,
        refused_count: 0,
        silent_ms: None,
        promotable_replicas: 2,
    }
}

/// Three stacks of one group that know each other only from `sentinel peer` lines which name all three.
pub(super) async fn group() -> (Vec<Stack>, Vec<HostPort>) {
    let (doors, addresses) = listeners(3).await;
    let start = |(n, door): (usize, TcpListener)| {
        let settings = settings(n as u8 + 1, addresses[n].port, &addresses);
        start(settings, Some(7), State::default(), door)
    };
    let stacks: Vec<Stack> = doors.into_iter().enumerate().map(start).collect();
    for (i, stack) in stacks.iter().enumerate() {
        for n in 1..=3u8 {
            if n as usize != i + 1 {
                wait_for("everybody is connected", || stack.connected_to(n)).await;
            }
        }
    }
    (stacks, addresses)
}

#[tokio::test]
async fn three_nodes_meet_recognise_themselves_and_answer_requests() {
    let (stacks, addresses) = group().await;
    for (i, stack) in stacks.iter().enumerate() {
        let census = stack.peers.census();
        wait_for("own line recognised", || {
            census.borrow().listed[i].1 == ListedStatus::Myself
        })
        .await;
        assert!(census.borrow().dialed_as.contains(&addresses[i]));
        for n in 1..=3u8 {
            let reply = stack.call(n, b"abc").await;
            if n as usize == i + 1 {
                assert_eq!(
                    reply,
                    Err(TransportError::Unreachable),
                    "no connection to ourselves"
                );
            } else {
                assert_eq!(reply.as_deref(), Ok(b"cba".as_slice()), "{} to {n}", i + 1);
            }
        }
        assert_eq!(stack.view.peers.load().len(), 2);
    }
}

#[tokio::test]
async fn large_requests_round_trip_and_small_ones_do_not_wait_for_slow_ones() {
    let (stacks, _) = group().await;
    let slow = stacks[0].call(2, b"wait");
    let large = vec![b'x'; 5_000_000];
    let big = async {
        stacks[0]
            .peers
            .transport()
            .call(NodeId(2), large.clone(), DEADLINE)
            .await
    };
    let small = async {
        for _ in 0..20 {
            assert_eq!(stacks[0].call(2, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
        }
    };
    let (slow, big, ()) = tokio::join!(slow, big, small);
    assert_eq!(slow, Err(TransportError::Timeout));
    assert_eq!(big.map(|b| b.len()), Ok(5_000_000));
}

#[tokio::test]
async fn opinions_reach_every_peer_and_only_the_latest_counts() {
    let (mut stacks, _) = group().await;
    for down in [false, true] {
        stacks[0]
            .peers
            .broadcast(&[opinion("a", down), opinion("b", false)]);
    }
    for stack in &mut stacks[1..] {
        loop {
            let (from, opinions) = stack.next_opinions().await;
            assert_eq!(from, NodeId(1));
            assert_eq!(opinions.len(), 2);
            if opinions[0].down {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_restarted_node_is_in_touch_at_once_and_one_that_stays_away_is_down() {
    let (mut stacks, addresses) = group().await;
    drop(stacks.remove(2));
    wait_for("the loss is seen", || !stacks[0].connected_to(3)).await;
    assert_eq!(stacks[0].call(3, b"x").await, Err(TransportError::Unreachable));
    assert_eq!(stacks[0].next_sdown().await, (id(3), true));
    let view = stacks[0].view.peers.load_full();
    assert!(view[&NodeId(3)].sdown_since.is_some());

    let door = rebind(&addresses[2]).await;
    let again = start(
        settings(3, addresses[2].port, &addresses),
        Some(7),
        State::default(),
        door,
    );
    wait_for("both ways again", || {
        again.connected_to(1) && stacks[0].connected_to(3)
    })
    .await;
    assert_eq!(stacks[0].call(3, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
    assert_eq!(stacks[0].next_sdown().await, (id(3), false));
}

#[tokio::test]
async fn nodes_of_another_group_are_refused_with_a_reason_on_both_sides() {
    let (mut doors, addresses) = listeners(2).await;
    let two = start(
        settings(2, addresses[1].port, &[]),
        Some(8),
        State::default(),
        doors.remove(1),
    );
    let one = start(
        settings(1, addresses[0].port, &addresses[1..]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let problem = || one.listed_problem(&addresses[1]);
    wait_for("refused", || problem().contains("refuses the connection")).await;
    assert!(
        problem().contains("DENIED"),
        "strangers without a secret: {}",
        problem()
    );
    drop(two);

    let door = rebind(&addresses[1]).await;
    let two = start(
        settings(2, addresses[1].port, &addresses[..1]),
        Some(8),
        State::default(),
        door,
    );
    wait_for("refused for the group", || {
        problem().contains("belongs to another group")
    })
    .await;
    wait_for("and here", || {
        two.listed_problem(&addresses[0])
            .contains("belongs to another group")
    })
    .await;
    assert!(!one.connected_to(2));
}

#[tokio::test]
async fn with_a_secret_strangers_need_it_and_members_as_well() {
    let (mut doors, addresses) = listeners(3).await;
    let with_pass = |n: u8, pass: &str, listed: &[HostPort]| {
        let mut s = settings(n, addresses[n as usize - 1].port, listed);
        s.secret = PeerSecret::new(None, None, Some(pass.to_owned()));
        s
    };
    let one = start(
        with_pass(1, "right", &[]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let two = start(
        with_pass(2, "right", &addresses[..1]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let three = start(
        with_pass(3, "wrong", &addresses[..1]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    wait_for("the right one gets in", || {
        two.connected_to(1) && one.connected_to(2)
    })
    .await;
    wait_for("the wrong one is told", || {
        three.listed_problem(&addresses[0]).contains("WRONGPASS")
    })
    .await;
    assert!(!one.connected_to(3));
}

#[tokio::test]
async fn a_sentinel_may_prove_itself_as_a_user_that_may_vote() {
    let (mut doors, addresses) = listeners(6).await;
    let mut config = Config::new();
    for (name, rules) in [
        ("default", "on >clients +@all"),
        ("sentinels", "on >p +sentinel|is-master-down-by-addr"),
        ("app", "on >a +sentinel|masters"),
        ("open", "on nopass +@all"),
    ] {
        let rules: Vec<&str> = rules.split(' ').collect();
        let users = &mut config.acl.users;
        users
            .declare(name.as_bytes(), &rules, &crate::acl::policy(false))
            .unwrap();
    }
    config.acl.declares_default = true;
    let users = AclSettings::from_config(&config);
    let clock = Arc::new(SystemClock::start());
    let one = start(
        settings(1, addresses[0].port, &[]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    one.peers
        .check_users_of(Acl::start(users, Clients::start(), clock));
    let mut others = Vec::new();
    for (n, user, pass) in [
        (2, Some("sentinels"), Some("p")),
        (3, Some("app"), Some("a")),
        (4, Some("open"), Some("x")),
        (5, None, None),
        (6, None, Some("clients")),
    ] {
        let mut s = settings(n, addresses[usize::from(n) - 1].port, &addresses[..1]);
        let own = |text: Option<&str>| text.map(str::to_owned);
        s.secret = PeerSecret::new(own(user), own(pass), None);
        others.push(start(s, Some(7), State::default(), doors.remove(0)));
    }
    for (at, n) in [(0, 2), (4, 6)] {
        wait_for("who may vote gets in", || {
            others[at].connected_to(1) && one.connected_to(n)
        })
        .await;
    }
    for (at, text) in [(1, "WRONGPASS"), (2, "WRONGPASS"), (3, "NOAUTH")] {
        wait_for("the others are told", || {
            others[at].listed_problem(&addresses[0]).contains(text)
        })
        .await;
    }
    for n in [3, 4, 5] {
        assert!(!one.connected_to(n), "{n}");
    }
}

#[tokio::test]
async fn a_copied_data_directory_is_refused() {
    let (mut doors, addresses) = listeners(2).await;
    let one = start(
        settings(1, addresses[0].port, &addresses),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let _twin = start(
        settings(1, addresses[1].port, &addresses),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    wait_for("the copy is named", || {
        one.listed_problem(&addresses[1])
            .contains("data directory is a copy")
    })
    .await;
}

#[tokio::test]
async fn garbage_after_the_upgrade_closes_that_connection_only() {
    let (stacks, addresses) = group().await;
    let request = format!("*4\r\n$8\r\nSENTINEL\r\n$4\r\nPEER\r\n$1\r\n{PEER_VERSION}\r\n$1\r\n-\r\n");
    for garbage in [
        &b"\xff\xff\xff\xff"[..],
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x00",
        b"\x80\x00\xff\xff",
        b"",
    ] {
        let mut stream = TcpStream::connect(addresses[0].socket_addr().unwrap())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut all = Vec::new();
        // Ends when the node closes: by the error, or by its patience with the silent one.
        let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut all)).await;
        assert!(end.is_ok(), "still open after {garbage:?}");
        assert!(all.starts_with(b"+OK\r\n"), "{garbage:?}");
    }
    assert_eq!(stacks[1].call(1, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
}

#[tokio::test]
async fn another_version_is_refused_by_name() {
    let (mut doors, addresses) = listeners(1).await;
    let _one = start(
        settings(1, addresses[0].port, &addresses),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let mut stream = TcpStream::connect(addresses[0].socket_addr().unwrap())
        .await
        .unwrap();
    stream
        .write_all(b"*4\r\n$8\r\nSENTINEL\r\n$4\r\nPEER\r\n$3\r\n999\r\n$1\r\n-\r\n")
        .await
        .unwrap();
    let mut all = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut all))
        .await
        .unwrap()
        .unwrap();
    assert!(
        all.starts_with("-ERR sentinels of this build speak version 1"),
        "{all}"
    );
}

#[tokio::test]
async fn an_unfounded_node_is_seen_and_gets_no_raft_answers() {
    let (mut doors, addresses) = listeners(2).await;
    let one = start(
        settings(1, addresses[0].port, &addresses),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let two = start(
        settings(2, addresses[1].port, &addresses),
        None,
        State::default(),
        doors.remove(0),
    );
    let census = one.peers.census();
    wait_for("seen", || {
        census.borrow().met.get(&NodeId(2)).is_some_and(|m| m.connected)
    })
    .await;
    assert_eq!(one.call(2, b"x").await, Err(TransportError::Unreachable));
    // It adopts the group: the same connection carries requests.
    two.peers.set_identity(Some(7), false);
    wait_for("known on both sides", || {
        one.connected_to(2) && two.connected_to(1)
    })
    .await;
    assert_eq!(one.call(2, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
    let met: BTreeSet<NodeId> = census.borrow().met.keys().copied().collect();
    assert_eq!(met, BTreeSet::from([NodeId(2)]));
}

/// Forwards bytes between dialers and an address while it is open; swallows them while it is shut.
struct Proxy {
    address: HostPort,
    open: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn start(to: HostPort) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let (open, shut) = tokio::sync::watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (to, shut) = (to.socket_addr().unwrap(), shut.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let ((nr, nw), (fr, fw)) = (near.into_split(), far.into_split());
                    tokio::join!(pump(nr, fw, shut.clone()), pump(fr, nw, shut));
                });
            }
        });
        Self { address, open, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut open: tokio::sync::watch::Receiver<bool>,
) {
    let mut buf = vec![0; 16 * 1024];
    while let Ok(n) = from.read(&mut buf).await {
        if n == 0 || open.wait_for(|open| *open).await.is_err() || to.write_all(&buf[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_silent_network_is_a_lost_connection_and_heals() {
    let (mut doors, addresses) = listeners(2).await;
    let proxy = Proxy::start(addresses[1].clone()).await;
    // Only node 1 dials, by way of the proxy; node 2 knows its IP from a line that leads nowhere.
    let nowhere = HostPort::new("127.0.0.1", 1);
    let one = start(
        settings(1, addresses[0].port, std::slice::from_ref(&proxy.address)),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    let two = start(
        settings(2, addresses[1].port, &[nowhere]),
        Some(7),
        State::default(),
        doors.remove(0),
    );
    wait_for("connected", || one.connected_to(2) && two.connected_to(1)).await;
    assert_eq!(
        two.call(1, b"ab").await.as_deref(),
        Ok(b"ba".as_slice()),
        "over the accepted connection"
    );
    proxy.open.send_replace(false);
    wait_for("both notice the silence", || {
        !one.connected_to(2) && !two.connected_to(1)
    })
    .await;
    assert_eq!(one.call(2, b"ab").await, Err(TransportError::Unreachable));
    proxy.open.send_replace(true);
    wait_for("connected again", || one.connected_to(2) && two.connected_to(1)).await;
    assert_eq!(one.call(2, b"ab").await.as_deref(), Ok(b"ba".as_slice()));
}

/// Prints what a call costs; fails only when something is badly wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_takes_far_less_than_a_heartbeat() {
    let (stacks, _) = group().await;
    let clock = SystemClock::start();
    let before = crate::clock::Clock::mono(&clock);
    for _ in 0..2000 {
        assert!(stacks[0].call(2, b"ab").await.is_ok());
    }
    let took = crate::clock::Clock::mono(&clock).ms_since(before);
    println!("2000 calls one after the other: {took} ms");
    assert!(took < 20_000, "{took} ms for 2000 calls");
}
