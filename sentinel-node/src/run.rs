//! Wiring of the process.
//!
//! This first form serves clients and the admin port from an in-memory state seeded by the file: there is no log
//! behind it yet, so every write is refused.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, anyhow};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sentinel_core::replicated::{Command, Member, OptionChange, State, apply};
use sentinel_proto::{HostPort, MasterName, NodeId, SentinelId};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::config::{Config, seed};
use crate::control::{Control, ControlError, SimulatedCrash};
use crate::front::{Listeners, PidFile, stop_on_signals};
use crate::pubsub::Hub;
use crate::server::{Context, NoPeers, Settings};
use crate::view::NodeView;

/// Runs until stopped.
///
/// # Errors
/// When the process cannot start.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::start();
    let shared: SharedClock = Arc::new(clock);
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let listeners = Listeners::open(&config).await.map_err(|reason| anyhow!(reason))?;
    let _pidfile = config.pidfile.as_deref().and_then(PidFile::write);
    let (node, myid) = (NodeId(1), SentinelId::from_bytes(rand::random()));
    let mut state = State::default();
    let address = HostPort::new("127.0.0.1", config.port);
    state.members.insert(
        node,
        Member {
            myid: myid.clone(),
            address,
        },
    );
    let seeding = seed::plan_seeding(&config.masters, None, &state, clock.wall());
    for (index, command) in (1..).zip(&seeding.commands) {
        apply(&mut state, index, command);
    }
    let view = Arc::new(NodeView::new(node, myid, Arc::new(state)));
    view.has_majority.store(true, Ordering::Relaxed);
    let hub = Hub::start(Arc::clone(&shared));
    let context = Arc::new(Context::new(
        view,
        Arc::new(NoLog),
        hub,
        Arc::new(NoPeers),
        shared,
        Settings::from_config(&config),
        stop.clone(),
    ));
    listeners.serve(&context, &config, None);
    stop.cancelled().await;
    tracing::warn!("Sentinel is now ready to exit, bye bye...");
    Ok(ExitCode::SUCCESS)
}

/// Refuses every write.
struct NoLog;

impl NoLog {
    fn refuse() -> BoxFuture<'static, Result<(), ControlError>> {
        let reason = "this node has no log yet".to_owned();
        std::future::ready(Err(ControlError::NoMajority(reason))).boxed()
    }
}

impl Control for NoLog {
    fn monitor(&self, _: MasterName, _: HostPort, _: u32) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn remove(&self, _: MasterName) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn set(&self, _: MasterName, _: Vec<OptionChange>) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn reset(&self, _: Vec<MasterName>) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn failover(&self, _: MasterName) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn simulate(&self, _: Vec<SimulatedCrash>) {}

    fn propose(&self, _: Command) -> BoxFuture<'static, Result<(), ControlError>> {
        Self::refuse()
    }

    fn raft_status(&self) -> Vec<(&'static str, String)> {
        vec![("role", "learner".to_owned())]
    }
}
