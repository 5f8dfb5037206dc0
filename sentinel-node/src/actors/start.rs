//! Starts all actors on their own thread, in an order in which each finds the recipients that it needs.

use std::sync::Arc;
use std::thread::JoinHandle;

use actix::{Actor, AsyncContext, Context, Recipient, System};
use anyhow::Context as _;
use raft_store::{Applied, RaftHandle};
use sentinel_core::failover::FailoverCore;
use sentinel_core::quorum::QuorumCore;
use sentinel_core::replicated::State;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::failover::{ExecutePort, Failover, FailoverPorts};
use super::gateway::{Gateway, GatewayPorts};
use super::messages::{EventSink, StateApplied, ToFailover, ToQuorum};
use super::monitor::{KillScriptPort, MonitorPorts};
use super::peers::{PeerNews, PeersActor, PeersPorts};
use super::quorum::{ProposePort, Quorum, QuorumPorts};
use super::supervisor::{Supervisor, SupervisorParts};
use crate::clock::SharedClock;
use crate::net::outgoing::Outgoing;
use crate::peers::Peers;
use crate::scripts::ReconfigSink;
use crate::supervise::Pulse;
use crate::view::NodeView;

/// What the actors are made of.
pub struct ActorParts {
    /// Clock of the process.
    pub clock: SharedClock,
    /// Main runtime.
    pub runtime: Handle,
    /// Snapshots.
    pub view: Arc<NodeView>,
    /// The log.
    pub raft: RaftHandle,
    /// State at start.
    pub recovered: Arc<State>,
    /// Everything applied since.
    pub applied: mpsc::Receiver<Applied>,
    /// News of the other sentinels.
    pub news: PeerNews,
    /// Connections to them.
    pub peers: Peers,
    /// Events.
    pub events: EventSink,
    /// Client-reconfig scripts.
    pub reconfigured: ReconfigSink,
    /// Proposals.
    pub propose: ProposePort,
    /// Operations on Redis servers.
    pub execute: ExecutePort,
    /// Source address and TLS of links to Redis servers.
    pub outgoing: Outgoing,
    /// `SCRIPT KILL`.
    pub kill_script: KillScriptPort,
}

/// The running actors.
pub struct Actors {
    /// The failover actor.
    pub failover: Recipient<ToFailover>,
    /// The quorum actor.
    pub quorum: Recipient<ToQuorum>,
    system: System,
    thread: JoinHandle<()>,
}

impl Actors {
    /// Starts the thread; returns once all actors exist.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub async fn start(parts: ActorParts) -> anyhow::Result<Self> {
        let (ready, started) = oneshot::channel();
        let body = move || {
            let system = System::new();
            system.block_on(async move {
                // Dropping `ready` tells the starter that there are no actors.
                if let Some(ports) = start_all(parts) {
                    let _ = ready.send((ports, System::current()));
                }
            });
            if let Err(error) = system.run() {
                tracing::error!("the actors ended: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("actors".to_owned()).spawn(body);
        let thread = thread.context("cannot start the thread of the actors")?;
        let ((quorum, failover), system) = started.await.context("the actors did not start")?;
        Ok(Self {
            failover,
            quorum,
            system,
            thread,
        })
    }

    /// Asks their thread for a sign of life.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let arbiter = self.system.arbiter().clone();
        Box::new(move || {
            let (beat, felt) = oneshot::channel();
            // Without a thread to run it, `beat` is dropped: no answer.
            arbiter.spawn(async move {
                let _ = beat.send(());
            });
            felt
        })
    }

    /// Stops them and waits for the thread.
    pub async fn stop(self) {
        self.system.stop();
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread of the actors ended badly");
        }
    }
}

/// The supervisor starts its monitors from what was recovered, before the first entry is applied.
fn announce(supervisor: &Recipient<StateApplied>, recovered: &Arc<State>) {
    let initial = StateApplied {
        index: recovered.last_applied,
        state: Arc::clone(recovered),
        changes: Arc::from([]),
        replayed: true,
    };
    let first = supervisor.send(initial);
    actix::spawn(async move {
        let _ = first.await;
    });
}

/// `None` when the supervisor's closure did not run; actix runs it before `create` returns.
fn start_all(parts: ActorParts) -> Option<(Recipient<ToQuorum>, Recipient<ToFailover>)> {
    let now = parts.clock.mono();
    let (view, clock) = (Arc::clone(&parts.view), Arc::clone(&parts.clock));
    let recovered = Arc::clone(&parts.recovered);
    let peers = parts.peers.clone();
    let mut inner: Option<(Recipient<ToQuorum>, Recipient<ToFailover>)> = None;
    let supervisor = Supervisor::create(|ctx: &mut Context<Supervisor>| {
        let supervisor = ctx.address();
        let quorum_ports = QuorumPorts {
            broadcast: Arc::new(move |opinions| peers.broadcast(&opinions)),
            propose: Arc::clone(&parts.propose),
            supervisor: supervisor.clone().recipient(),
            events: Arc::clone(&parts.events),
        };
        let core = QuorumCore::new(view.node, Arc::clone(&recovered), now);
        let quorum = Quorum::new(core, Arc::clone(&clock), quorum_ports, Arc::clone(&view)).start();
        let failover_ports = FailoverPorts {
            propose: Arc::clone(&parts.propose),
            execute: Arc::clone(&parts.execute),
            supervisor: supervisor.recipient(),
            quorum: quorum.clone().recipient(),
            events: Arc::clone(&parts.events),
            crash: Arc::new(crate::ports::crash),
        };
        let core = FailoverCore::new(view.node, Arc::clone(&recovered), now);
        let failover = Failover::new(core, Arc::clone(&clock), failover_ports, Arc::clone(&view)).start();
        let ports = MonitorPorts {
            quorum: quorum.recipient(),
            failover: failover.clone().recipient(),
            events: Arc::clone(&parts.events),
            kill_script: Arc::clone(&parts.kill_script),
            view: Arc::clone(&view),
        };
        inner = Some((ports.quorum.clone(), ports.failover.clone()));
        let links = failover.recipient();
        Supervisor::new(SupervisorParts {
            clock,
            runtime: parts.runtime.clone(),
            view: Arc::clone(&view),
            ports,
            links,
            outgoing: parts.outgoing.clone(),
        })
    });
    let (quorum, failover) = inner?;
    announce(&supervisor.clone().recipient(), &recovered);
    let ports = GatewayPorts {
        supervisor: supervisor.recipient(),
        quorum: quorum.clone(),
        failover: failover.clone(),
        events: Arc::clone(&parts.events),
        reconfigured: parts.reconfigured,
    };
    Gateway::start_with(
        &parts.runtime,
        Arc::clone(&view),
        ports,
        &parts.raft,
        recovered,
        parts.applied,
    );
    let ports = PeersPorts {
        quorum: quorum.clone(),
        failover: failover.clone(),
        events: parts.events,
    };
    PeersActor::start_with(&parts.runtime, view, ports, parts.news);
    Some((quorum, failover))
}
