//! A RESP server with hand-built snapshots, and a small client.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sentinel_core::replicated::{
    Command, Group, GroupOptions, KnownReplica, Member, OptionChange, Rejection, State,
};
use sentinel_core::time::{MonoTime, WallTime};
use sentinel_node::clock::{Clock as _, SystemClock};
use sentinel_node::config::{BindAddress, Config};
use sentinel_node::control::{Control, ControlError, SimulatedCrash};
use sentinel_node::net::stream::Stream;
use sentinel_node::peers::PeerAcceptor;
use sentinel_node::pubsub::Hub;
use sentinel_node::server::{self, Context, Settings};
use sentinel_node::view::{InstanceView, NodeView, PeerView, ReportedRole};
use sentinel_proto::resp::{Frame, FrameDecoder, Limits, Protocol};
use sentinel_proto::{EvidenceClass, HostPort, MasterName, NodeId, SentinelId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Every wait of these tests.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Server {
    pub context: Arc<Context>,
    pub view: Arc<NodeView>,
    pub hub: Hub,
    pub addr: SocketAddr,
    pub writes: mpsc::UnboundedReceiver<String>,
    pub peers: mpsc::UnboundedReceiver<(Stream, BytesMut, u32, String, Vec<Bytes>)>,
}

pub fn name(text: &str) -> MasterName {
    MasterName::new(text).unwrap()
}

pub fn at(port: u16) -> HostPort {
    HostPort::new("127.0.0.1", port)
}

fn group(master: u16) -> Group {
    let replicas = [6380, 6381].map(|port| (at(port), KnownReplica { since: WallTime(1) }));
    Group {
        name: name("m"),
        incarnation: 1,
        options: GroupOptions::with_quorum(2),
        address: at(master),
        config_epoch: 0,
        replicas: BTreeMap::from(replicas),
        plan: None,
        lineage: Default::default(),
        history: VecDeque::new(),
    }
}

/// State number `index` with `m` at this port; three sentinels.
pub fn state(index: u64, master: u16) -> Arc<State> {
    let member = |number: u8| Member {
        myid: SentinelId::from_bytes([number; 20]),
        address: at(26_378 + u16::from(number)),
    };
    Arc::new(State {
        last_applied: index,
        current_epoch: 0,
        members: (1..=3).map(|n| (NodeId(u64::from(n)), member(n))).collect(),
        groups: BTreeMap::from([(name("m"), Arc::new(group(master)))]),
    })
}

/// A healthy instance.
pub fn healthy(port: u16, role: ReportedRole, now: MonoTime) -> InstanceView {
    InstanceView {
        address: at(port),
        connected: true,
        pending: 0,
        ping_pending_since: None,
        last_ok: now,
        last_reply: now,
        sdown_since: None,
        class: EvidenceClass::Alive,
        class_since: now,
        role,
        role_since: now,
        info_at: Some(now),
        info_text: Some(Arc::from("role:master\r\n")),
        run_id: "r".repeat(40),
        master_link_up: role == ReportedRole::Replica,
        master_link_down_ms: 0,
        follows: (role == ReportedRole::Replica).then(|| at(6379)),
        priority: 100,
        offset: 7,
        announced: true,
        rebooting: false,
        script_kill_sent: false,
        reconf_flag: None,
    }
}

/// Starts a server on a free port of 127.0.0.1, after `change` to the configuration.
pub fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config::new();
    config.port = 0;
    config.bind = vec![BindAddress {
        host: "127.0.0.1".to_owned(),
        optional: false,
    }];
    change(&mut config);
    let clock = SystemClock::start();
    let now = clock.mono();
    let myid = SentinelId::from_bytes([1; 20]);
    let view = Arc::new(NodeView::new(NodeId(1), myid, state(1, 6379)));
    let instances = [
        (6379, ReportedRole::Master),
        (6380, ReportedRole::Replica),
        (6381, ReportedRole::Replica),
    ];
    let instances = instances.map(|(port, role)| {
        let cell = ArcSwap::from_pointee(healthy(port, role, now));
        ((name("m"), at(port)), Arc::new(cell))
    });
    view.instances.store(Arc::new(BTreeMap::from(instances)));
    let peer = |number: u8| PeerView {
        node: NodeId(u64::from(number)),
        myid: SentinelId::from_bytes([number; 20]),
        address: at(26_378 + u16::from(number)),
        connected: true,
        ping_pending_since: None,
        last_ok: now,
        last_opinions: now,
        sdown_since: None,
    };
    let peers = [2, 3].map(|n| (NodeId(u64::from(n)), Arc::new(peer(n))));
    view.peers.store(Arc::new(BTreeMap::from(peers)));
    view.has_majority.store(true, Ordering::Relaxed);
    let hub = Hub::start(Arc::new(clock));
    let (sender, writes) = mpsc::unbounded_channel();
    let (peer_sender, peers) = mpsc::unbounded_channel();
    let context = Arc::new(Context::new(
        Arc::clone(&view),
        Arc::new(Recorder(sender)),
        hub.clone(),
        Arc::new(Acceptor(peer_sender)),
        Arc::new(clock),
        Settings::from_config(&config),
        CancellationToken::new(),
    ));
    let mut bound = server::Bound::on(&tokio::runtime::Handle::current());
    bound.tcp(&config.bind, 0, 511, None).unwrap();
    let addr = bound.addresses[0];
    server::serve(&context, bound);
    Server {
        context,
        view,
        hub,
        addr,
        writes,
        peers,
    }
}

/// Records what peers send.
struct Acceptor(mpsc::UnboundedSender<(Stream, BytesMut, u32, String, Vec<Bytes>)>);

impl PeerAcceptor for Acceptor {
    fn accept(&self, stream: Stream, unread: BytesMut, version: u32, cluster_id: String, auth: Vec<Bytes>) {
        let _ = self.0.send((stream, unread, version, cluster_id, auth));
    }
}

/// Records writes; refuses those about quorum 77 (no majority) and 78 (rejected).
struct Recorder(mpsc::UnboundedSender<String>);

type Answer = BoxFuture<'static, Result<(), ControlError>>;

impl Recorder {
    fn record(&self, text: String) -> Answer {
        let answer = match &text {
            text if text.contains("77") => Err(ControlError::NoMajority("1 of 3 sentinels".to_owned())),
            text if text.contains("78") => Err(ControlError::Rejected(Rejection::DuplicateMaster)),
            _ => Ok(()),
        };
        let _ = self.0.send(text);
        std::future::ready(answer).boxed()
    }
}

impl Control for Recorder {
    fn monitor(&self, master: MasterName, address: HostPort, quorum: u32) -> Answer {
        self.record(format!("monitor {master} {address} {quorum}"))
    }

    fn remove(&self, master: MasterName) -> Answer {
        self.record(format!("remove {master}"))
    }

    fn set(&self, master: MasterName, changes: Vec<OptionChange>) -> Answer {
        self.record(format!("set {master} {changes:?}"))
    }

    fn reset(&self, masters: Vec<MasterName>) -> Answer {
        self.record(format!("reset {masters:?}"))
    }

    fn failover(&self, master: MasterName, coordinated: bool) -> Answer {
        let coordinated = if coordinated { " coordinated" } else { "" };
        self.record(format!("failover {master}{coordinated}"))
    }

    fn simulate(&self, crashes: Vec<SimulatedCrash>) {
        drop(self.record(format!("simulate {crashes:?}")));
    }

    fn heard(&self, _: sentinel_proto::hello::Hello) {}

    fn propose(&self, command: Command) -> Answer {
        self.record(format!("{command:?}"))
    }

    fn raft_status(&self) -> Vec<(&'static str, String)> {
        vec![("role", "leader".to_owned()), ("term", "7".to_owned())]
    }
}

pub struct Client {
    pub stream: TcpStream,
    decoder: FrameDecoder,
    input: BytesMut,
}

impl Client {
    pub async fn connect(server: &Server) -> Self {
        Self {
            stream: TcpStream::connect(server.addr).await.unwrap(),
            decoder: FrameDecoder::new(Limits::REPLY),
            input: BytesMut::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next reply; `None` = the server closed the connection.
    pub async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            let read = self.stream.read_buf(&mut self.input);
            let count = tokio::time::timeout(DEADLINE, read)
                .await
                .expect("a reply in time");
            if !matches!(count, Ok(1..)) {
                return None;
            }
        }
    }

    /// Sends words and reads one reply.
    pub async fn ask(&mut self, words: &str) -> Frame {
        let frame = Frame::command(words.split(' '));
        self.send(&frame.to_bytes(Protocol::Resp2)).await;
        self.read().await.expect("a reply")
    }

    /// The same, as text: bulk, simple, error or integer.
    pub async fn text(&mut self, words: &str) -> String {
        let frame = self.ask(words).await;
        frame
            .as_str()
            .or(frame.as_error())
            .map(str::to_owned)
            .or(frame.as_i64().map(|number| number.to_string()))
            .unwrap_or_else(|| format!("{frame:?}"))
    }

    /// Reads until the server closes.
    pub async fn closed(&mut self) {
        while self.read().await.is_some() {}
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"));
}
