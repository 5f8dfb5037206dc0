//! What all connections share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use sentinel_core::time::MonoTime;
use sentinel_proto::HostPort;
use sentinel_proto::command::Renames;
use sentinel_proto::reply::info::ListenerInfo;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use crate::acl::{Acl, AclSettings};
use crate::clock::SharedClock;
use crate::config::{BindAddress, BufferLimits, Config, StaleReads};
use crate::control::Control;
use crate::net::stream::Stream;
use crate::peers::PeerAcceptor;
use crate::pubsub::Hub;
use crate::rewriting::Rewriter;
use crate::view::NodeView;

use super::clients::Clients;
use super::parameters::Parameters;
use super::pause::Pause;
use super::rates::Rates;

/// Refuses all peers: for tests and a node without peers.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl PeerAcceptor for NoPeers {
    fn accept(&self, stream: Stream, _: BytesMut, _: u32, _: String, _: Vec<Bytes>) {
        let mut stream = stream;
        tokio::spawn(async move {
            // Best effort: the connection is closed in any case.
            let _ = stream
                .write_all(b"-ERR this node takes no peer connections\r\n")
                .await;
            let _ = stream.flush().await;
        });
    }
}

/// The part of the configuration that connections need.
#[derive(Clone)]
pub struct Settings {
    /// The users at the start.
    pub acl: AclSettings,
    /// `protected-mode`.
    pub protected_mode: bool,
    /// `maxclients`.
    pub maxclients: u32,
    /// `timeout`, in seconds; 0 = never.
    pub timeout_s: u32,
    /// `tcp-keepalive`, in seconds; 0 = off.
    pub tcp_keepalive_s: u32,
    /// `client-output-buffer-limit` and its like.
    pub limits: BufferLimits,
    /// `rename-command`; `None` = no such line.
    pub renames: Option<Arc<Renames>>,
    /// `process_supervised` of INFO.
    pub supervised: &'static str,
    /// `sentinel stale-reads`.
    pub stale_reads: StaleReads,
    /// `sentinel deny-scripts-reconfig`.
    pub deny_scripts_reconfig: bool,
    /// What SENTINEL CONFIG SET changes, as the file says it.
    pub parameters: Parameters,
    /// Port shown by INFO.
    pub port: u16,
    /// Addresses of `sentinel peer` lines.
    pub peers: Vec<HostPort>,
    /// What is listened on, shown by INFO.
    pub listeners: Vec<ListenerInfo>,
    /// `dir`: where scripts run.
    pub dir: PathBuf,
    /// Path of the configuration file, shown by INFO.
    pub config_file: String,
    /// `sentinel replay-switch`.
    pub replay_switch: bool,
    /// Writes that file, where it is to be written.
    pub rewriter: Rewriter,
}

impl Settings {
    /// Taken from the file.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        Self {
            acl: AclSettings::from_config(config),
            protected_mode: config.protected_mode,
            maxclients: config.maxclients,
            timeout_s: config.timeout_s,
            tcp_keepalive_s: config.tcp_keepalive_s,
            limits: config.limits,
            renames: (!config.renames.is_empty()).then(|| Arc::new(config.renames.clone())),
            supervised: crate::supervise::supervisor(config.supervised).unwrap_or("no"),
            stale_reads: config.sentinel.stale_reads,
            deny_scripts_reconfig: config.sentinel.deny_scripts_reconfig,
            parameters: Parameters::from_config(config),
            port: config.main_port(),
            listeners: listeners(config),
            peers: config.sentinel.peers.clone(),
            dir: config.dir.clone(),
            config_file: config.path.display().to_string(),
            replay_switch: config.sentinel.replay_switch,
            rewriter: Rewriter::default(),
        }
    }
}

/// Numbered by kind, as in Redis: TCP, Unix socket, TLS.
fn listeners(config: &Config) -> Vec<ListenerInfo> {
    let tcp = |number, name, port| {
        (port != 0 && !config.bind.is_empty()).then(|| ListenerInfo {
            number,
            name,
            bind: shown_bind(&config.bind),
            port,
        })
    };
    let unix = config.unixsocket.as_ref().map(|path| ListenerInfo {
        number: 1,
        name: "unix",
        bind: vec![path.display().to_string()],
        port: 0,
    });
    [tcp(0, "tcp", config.port), unix, tcp(2, "tls", config.tls.port)]
        .into_iter()
        .flatten()
        .collect()
}

fn shown_bind(bind: &[BindAddress]) -> Vec<String> {
    let shown = |address: &BindAddress| {
        let mark = if address.optional { "-" } else { "" };
        format!("{mark}{}", address.host)
    };
    bind.iter().map(shown).collect()
}

/// Counters of the server, for INFO and metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Open client connections.
    pub connected: AtomicU32,
    /// Connections accepted since the start.
    pub accepted: AtomicU64,
    /// Connections refused by `maxclients`.
    pub rejected: AtomicU64,
    /// Requests answered.
    pub commands: AtomicU64,
    /// Bytes read.
    pub input_bytes: AtomicU64,
    /// Bytes written.
    pub output_bytes: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Connections closed by a protocol error.
    pub protocol_errors: AtomicU64,
    /// Connections closed for a request above `client-query-buffer-limit`.
    pub query_limit: AtomicU64,
    /// Connections closed for a reply above `client-output-buffer-limit`.
    pub output_limit: AtomicU64,
    /// Batches of input.
    pub reads: AtomicU64,
    /// Batches of output.
    pub writes: AtomicU64,
    /// Connections that wait for the end of a CLIENT PAUSE.
    pub blocked: AtomicU32,
    /// Connections with CLIENT TRACKING ON.
    pub tracking: AtomicU32,
    /// Failed AUTH attempts.
    pub denied_auth: AtomicU64,
    /// Requests refused because of the command.
    pub denied_command: AtomicU64,
    /// Requests refused because of a channel.
    pub denied_channel: AtomicU64,
}

/// Everything a connection task needs; one exists, shared by `Arc`.
pub struct Context {
    /// Read snapshots.
    pub view: Arc<NodeView>,
    /// Writes.
    pub control: Arc<dyn Control>,
    /// Events.
    pub hub: Hub,
    /// Peer connections.
    pub peers: Arc<dyn PeerAcceptor>,
    /// Time.
    pub clock: SharedClock,
    /// Configuration.
    pub settings: Settings,
    /// What SENTINEL CONFIG SET changes, as it is now.
    pub parameters: ArcSwap<Parameters>,
    /// Connected clients.
    pub clients: Clients,
    /// Users.
    pub acl: Acl,
    /// Counters.
    pub counters: Counters,
    /// Some of them per second.
    pub rates: Rates,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// `run_id` of this process: 40 hexadecimal characters, new at each start.
    pub run_id: String,
    /// `sentinel_simulate_failure_flags`: 1 = crash after election, 2 = after promotion.
    pub simulated: AtomicU32,
    /// When the process started.
    pub started: MonoTime,
    /// Cancelled by SHUTDOWN and by whoever stops the process: every connection ends.
    pub stop: CancellationToken,
}

impl Context {
    /// A context that starts now. Must be called on a tokio runtime (the client table is a task).
    #[must_use]
    pub fn new(
        view: Arc<NodeView>,
        control: Arc<dyn Control>,
        hub: Hub,
        peers: Arc<dyn PeerAcceptor>,
        clock: SharedClock,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let bytes: [u8; 20] = rand::random();
        let clients = Clients::start();
        let acl = Acl::start(settings.acl.clone(), clients.clone(), Arc::clone(&clock));
        Self {
            view,
            control,
            hub,
            peers,
            started: clock.mono(),
            clock,
            parameters: ArcSwap::from_pointee(settings.parameters.clone()),
            settings,
            clients,
            acl,
            counters: Counters::default(),
            rates: Rates::default(),
            pause: Pause::default(),
            simulated: AtomicU32::new(0),
            run_id: sentinel_proto::SentinelId::from_bytes(bytes).as_str().to_owned(),
            stop,
        }
    }

    /// True for the addresses of members and of `sentinel peer` lines.
    pub(super) fn may_be_sentinel(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let state = self.view.state.load();
        let members = state.members.values().map(|member| &member.address);
        members
            .chain(&self.settings.peers)
            .any(|address| match address.ip() {
                Some(known) => known == ip,
                None => self.view.names.ips(&address.host).contains(&ip),
            })
    }
}
