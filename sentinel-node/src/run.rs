//! Wiring of the process: who is started in which order, and how it ends.
//!
//! Start: listeners (a second process on the same port changes nothing) -> data directory -> peers -> log -> actors ->
//! clients -> the file's lines. Stop: clients and admin first, then the role of raft_leader is handed over, then the actors
//! (nothing acts any more), then peers, then the log, which closes its files.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use raft_store::{DataDir, DirOptions, RaftHandle, RaftSettings};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::actors::peers::PeerBridge;
use crate::actors::proposals::GatewayHandle;
use crate::actors::start::{ActorParts, Actors};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::front::{Listeners, PidFile};
use crate::handover::hand_over;
use crate::names;
use crate::net::outgoing::Outgoing;
use crate::peers::{Founder, FounderSettings, PeerSecret, PeerSettings, PeerTiming, Peers};
use crate::pubsub::Hub;
use crate::rewriting::{Requests, Rewriter, Source};
use crate::scripts::{ScriptPaths, Scripts};
use crate::server::{ClientThread, Context, Settings};
use crate::signals::stop_on_signals;
use crate::supervise::{Pulse, Systemd};
use crate::tls::Tls;
use crate::view::NodeView;
use crate::{ports, seeding};

/// Applied entries that may wait for the actors; then the log waits.
const APPLIED_QUEUE: usize = 1_024;

/// Runs until stopped.
///
/// # Errors
/// When the process cannot start: the text names what is wrong and what to do.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::from_config(&config);
    let read = settings.acl.read_file(&config);
    read.map_err(|reason| anyhow!(reason))?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let clients = ClientThread::start().context("cannot start the thread of the clients")?;
    let status = runtime.block_on(serve(config, settings, clients.handle()));
    clients.stop();
    status
}

/// `clients`: the runtime on which they are served.
async fn serve(config: Config, settings: Settings, clients: &Handle) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock::start());
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let (tls, listeners) = open_listeners(&config, &clock, clients).await?;
    let dir = open_dir(&config).await?;
    let pidfile = config.pidfile.as_deref().and_then(PidFile::write);
    tracing::info!("Sentinel ID is {}", dir.myid());

    let facts = dir.facts();
    let view = start_view(&config, &dir, &clock).await?;
    let names = view.names.clone();
    let hub = Hub::start(Arc::clone(&clock));
    let scripts = start_scripts(&config, &view, &hub, &clock)?;
    let outgoing = outgoing(&config, tls.as_ref(), &stop)?.with_names(names.clone());
    let (bridge, news) = PeerBridge::new();
    let identity = (dir.cluster_id(), false);
    let peers = Peers::start(
        peer_settings(&config, &dir, outgoing.clone()),
        identity,
        Arc::clone(&view),
        Arc::clone(&clock),
        bridge,
    );
    let (applied_in, applied) = mpsc::channel(APPLIED_QUEUE);
    let transport = Arc::new(peers.transport());
    let (raft, recovered) = RaftHandle::open(dir, RaftSettings::default(), transport, applied_in).await?;
    view.state.store(Arc::clone(&recovered));

    let gateway = GatewayHandle::new(raft.clone(), Handle::current(), Arc::clone(&clock));
    let parts = ActorParts {
        clock: Arc::clone(&clock),
        runtime: Handle::current(),
        view: Arc::clone(&view),
        raft: raft.clone(),
        recovered,
        applied,
        news,
        peers: peers.clone(),
        events: ports::events(&hub, &scripts, &names),
        reconfigured: ports::reconfigured(scripts, names.clone()),
        propose: gateway.propose_port(),
        execute: ports::execute(raft.clone(), Handle::current(), Arc::clone(&view)),
        outgoing,
        kill_script: ports::kill_script(raft.clone(), Handle::current()),
    };
    let actors = Actors::start(parts).await?;
    connect(&gateway, &actors, &view, &raft);
    let founding = founder_settings(&config);
    let founder = Founder::start(founding, peers.clone(), raft.clone(), Arc::clone(&clock));

    let pulse = ClientThread::pulse(clients, actors.pulse());
    let say_ready = watch_over(&config, pulse, &view, &stop);
    let shared = (&clock, &stop);
    let (context, requests) = context(settings, &config, (view, hub), gateway, &peers, shared, clients);
    listeners.serve(&context, &config, recorder());
    say_ready();
    let lines = Source::new(config, raft.clone(), context, facts);
    let seeding = tokio::spawn(seed(lines, requests, clock));
    let failure = tokio::spawn(say_storage_failure(raft.clone()));

    stop.cancelled().await;
    tracing::warn!("User requested shutdown...");
    let tasks = [seeding, failure].map(|task| task.abort_handle());
    tasks.iter().chain([&founder]).for_each(AbortHandle::abort);
    end(actors, &peers, &raft, pidfile).await;
    Ok(ExitCode::SUCCESS)
}

/// Tells systemd how things are, if it started this process. To be called once clients are served: what is returned.
fn watch_over(
    config: &Config,
    pulse: Pulse,
    view: &Arc<NodeView>,
    stop: &CancellationToken,
) -> impl FnOnce() + use<> {
    let systemd = Systemd::from_environment(config.supervised);
    let (view, stop) = (Arc::clone(view), stop.clone());
    move || {
        if let Some(systemd) = systemd {
            systemd.say_ready();
            tokio::spawn(systemd.watch(pulse, view, stop));
        }
    }
}

/// The others get the role of raft_leader first; nothing acts any more once the actors are gone; the log closes last.
async fn end(actors: Actors, peers: &Peers, raft: &RaftHandle, pidfile: Option<PidFile>) {
    hand_over(raft).await;
    actors.stop().await;
    peers.stop();
    raft.shutdown().await;
    drop(pidfile);
    tracing::warn!("Sentinel is now ready to exit, bye bye...");
}

/// What clients ask of the actors.
fn connect(gateway: &GatewayHandle, actors: &Actors, view: &Arc<NodeView>, raft: &RaftHandle) {
    gateway.shown_in(Arc::clone(view));
    gateway.simulate_with(ports::simulate(actors.failover.clone()));
    gateway.heard_by(ports::heard(actors.quorum.clone()));
    gateway.choose_forced_with(ports::forced_choice(Arc::clone(view), raft.clone()));
}

fn start_scripts(
    config: &Config,
    view: &Arc<NodeView>,
    hub: &Hub,
    clock: &SharedClock,
) -> anyhow::Result<Scripts> {
    let (dir, view, hub, clock) = (
        config.dir.clone(),
        Arc::clone(view),
        hub.clone(),
        Arc::clone(clock),
    );
    Scripts::start(dir, view, hub, clock).context("cannot watch the end of scripts")
}

async fn open_listeners(
    config: &Config,
    clock: &SharedClock,
    clients: &Handle,
) -> anyhow::Result<(Option<Tls>, Listeners)> {
    let tls = Tls::load(&config.tls, clock)?;
    let opened = Listeners::open(config, tls.as_ref(), clients).await;
    let listeners = opened.map_err(|reason| anyhow!(reason))?;
    Ok((tls, listeners))
}

/// What clients read, empty but for what an earlier run found about host names. Nothing at the start waits for a lookup.
async fn start_view(config: &Config, dir: &DataDir, clock: &SharedClock) -> anyhow::Result<Arc<NodeView>> {
    let sentinel = &config.sentinel;
    let names = names::start(dir.facts(), Arc::clone(clock)).await?;
    names.set_policy(sentinel.resolve_hostnames, sentinel.announce_hostnames);
    let mut view = NodeView::new(dir.node(), dir.myid().clone(), Arc::default());
    view.names = names;
    view.script_paths
        .store(Arc::new(ScriptPaths::from_config(config)));
    Ok(Arc::new(view))
}

async fn open_dir(config: &Config) -> anyhow::Result<DataDir> {
    let path = config.data_dir();
    let options = DirOptions {
        myid: config.sentinel.myid.clone(),
        accept_moved: false,
    };
    let open = move || DataDir::open(Path::new(&path), &options);
    tokio::task::spawn_blocking(open)
        .await?
        .map_err(anyhow::Error::from)
}

/// How connections leave; also starts to watch the certificates, those of the listeners, too.
fn outgoing(config: &Config, tls: Option<&Tls>, stop: &CancellationToken) -> anyhow::Result<Outgoing> {
    if let Some(tls) = tls {
        tls.watch(stop).context("cannot watch for SIGHUP")?;
    }
    Ok(Outgoing::new(config.bind_source, tls.and_then(Tls::client)))
}

fn peer_settings(config: &Config, dir: &DataDir, outgoing: Outgoing) -> PeerSettings {
    let sentinel = &config.sentinel;
    let secret = PeerSecret::new(
        sentinel.sentinel_user.clone(),
        sentinel.sentinel_pass.clone(),
        config.requirepass.clone(),
    );
    PeerSettings {
        node: dir.node(),
        myid: dir.myid().clone(),
        boot: rand::random(),
        listed: sentinel.peers.clone(),
        announce_host: sentinel.announce_ip.clone(),
        announce_port: sentinel.announce_port.unwrap_or(config.announced_port()),
        port: config.announced_port(),
        secret,
        outgoing,
        timing: PeerTiming::default(),
    }
}

fn founder_settings(config: &Config) -> FounderSettings {
    let is_literal = |host: &&str| {
        host.parse::<std::net::IpAddr>()
            .is_ok_and(|ip| !ip.is_unspecified())
    };
    let bound = config.bind.iter().map(|b| b.host.as_str()).find(is_literal);
    FounderSettings {
        odown_quorums: config.masters.iter().map(|m| m.options.odown_quorum).collect(),
        fallback_host: bound.unwrap_or("127.0.0.1").to_owned(),
    }
}

/// Metrics of the process; a second process in one (tests) goes without.
fn recorder() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// What client connections share, and what they ask of the file's writer.
fn context(
    settings: Settings,
    config: &Config,
    (view, hub): (Arc<NodeView>, Hub),
    gateway: GatewayHandle,
    peers: &Peers,
    (clock, stop): (&SharedClock, &CancellationToken),
    clients: &Handle,
) -> (Arc<Context>, Option<Requests>) {
    // The tables of clients and users belong to the thread that asks them most.
    let _on = clients.enter();
    let (rewriter, requests) = Rewriter::new(config);
    let settings = Settings { rewriter, ..settings };
    let (control, acceptor) = (Arc::new(gateway), Arc::new(peers.clone()));
    let context = Context::new(
        view,
        control,
        hub,
        acceptor,
        Arc::clone(clock),
        settings,
        stop.clone(),
    );
    peers.check_users_of(context.acl.clone());
    (Arc::new(context), requests)
}

/// The file's lines go to the log; from then on the log's go to the file, if it is to be written.
async fn seed(lines: Source, requests: Option<Requests>, clock: SharedClock) {
    let names = &lines.context.view.names;
    seeding::run(&lines.config.masters, &lines.facts, &lines.raft, names, &clock).await;
    if let Some(requests) = requests {
        lines.run(requests).await;
    }
}

/// A node whose disk failed neither votes nor acts any more, but goes on observing and answering: it says so.
async fn say_storage_failure(raft: RaftHandle) {
    let mut status = raft.watch();
    if let Ok(failed) = status.wait_for(|s| s.failed.is_some()).await {
        let why = failed.failed.clone().unwrap_or_default();
        tracing::error!(
            "The log cannot be written any more: {why}. This sentinel no longer votes; free or repair the disk of 'dir' and restart it."
        );
    }
}
