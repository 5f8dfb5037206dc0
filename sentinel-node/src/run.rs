//! Wiring of the process: who is started in which order, and how it ends.
//!
//! Start: listeners (a second process on the same port changes nothing) -> data directory -> log -> peers -> actors ->
//! clients -> the file's lines. Stop: clients and admin first, then the actors (nothing acts any more), then peers,
//! then the log, which closes its files.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use futures::future::BoxFuture;
use raft_store::{Applied, Authority, DataDir, DirOptions, LocalFacts, RaftHandle, RaftSettings};
use sentinel_core::failover::{Guard, Operation, OperationResult};
use sentinel_core::replicated::State;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::actors::peers::{PeerBridge, PeerNews};
use crate::actors::proposals::GatewayHandle;
use crate::actors::{self, ActorParts};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::front::{Listeners, PidFile, stop_on_signals};
use crate::net::link::LinkHandle;
use crate::peers::{Founder, FounderSettings, PeerSecret, PeerSettings, PeerTiming, Peers, ProtoTransport};
use crate::pubsub::Hub;
use crate::seeding;
use crate::server::{Context, Settings};
use crate::view::NodeView;

/// Applied entries that may wait for the actors; then the log waits.
const APPLIED_QUEUE: usize = 1_024;

/// Runs until stopped.
///
/// # Errors
/// When the process cannot start: the text names what is wrong and what to do.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config))
}
