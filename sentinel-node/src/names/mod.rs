//! Host names: looked up beside everything else, never waited for by a monitor, a failover or the start.
//!
//! ```text
//! connect, MONITOR, reports --ask--> table (one task) --> a thread per lookup, at most 16, one per name
//!      reads: Snapshot (atomic) <---- publishes
//! ```
//!
//! * What a name resolved to last is kept and used while lookups fail or hang; it survives a restart (`memory`).
//! * A name is looked up again when a connection to it is made, at most once a second.
//! * A lookup that takes longer than a second counts as failed for whoever waits; its thread is left alone and its
//!   result is taken when it comes. These are threads of their own and not the runtime's: a lookup that hangs holds
//!   up neither other work nor the end of the process.
//! * Names in the log and in `sentinel peer` lines are always resolved. `resolve-hostnames` says whether this node
//!   accepts new ones; `announce-hostnames` whether addresses are shown as names ([`Resolver::shown`]).

mod memory;
mod table;

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use raft_store::LocalFacts;
use sentinel_core::names::Names;
use sentinel_proto::HostPort;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;

use crate::clock::SharedClock;
use table::{Ask, Snapshot, Table};

/// Questions that wait for the table; more are not asked.
const ASKS: usize = 1_024;
/// A connection asks again for a name after this long.
const RECONNECT_AGE_MS: u64 = 1_000;
/// ... and a name that is only reported by servers, after this long.
const REPORTED_AGE_MS: u64 = 10_000;

/// Does one lookup; may block for as long as it likes.
pub type LookUp = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Handle of the names; cheap to clone, usable from every thread. The default one resolves nothing.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    asks: mpsc::Sender<Ask>,
}

/// What readers see.
#[derive(Debug, Default)]
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    changes: watch::Sender<()>,
    version: AtomicU64,
    accepts: AtomicBool,
    announces: AtomicBool,
    clock: Option<SharedClock>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Resolver").field(&self.names()).finish()
    }
}

impl Default for Resolver {
    fn default() -> Self {
        let (asks, _) = mpsc::channel(1);
        Self {
            shared: Arc::default(),
            asks,
        }
    }
}

/// The system's resolver: `/etc/hosts`, DNS, and whatever else is configured.
fn system() -> LookUp {
    Arc::new(|host| Ok((host, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
}

/// The names of the process: starts with what an earlier run found, and remembers what this one finds.
///
/// # Errors
/// When the runtime ends.
pub async fn start(facts: LocalFacts, clock: SharedClock) -> Result<Resolver, JoinError> {
    let reading = facts.clone();
    let known = tokio::task::spawn_blocking(move || memory::recall(&reading)).await?;
    let resolver = Resolver::start(clock, system(), known);
    tokio::spawn(memory::remember(resolver.clone(), facts));
    Ok(resolver)
}

impl Resolver {
    /// Starts the table on the current tokio runtime; `known` is what an earlier run of this node found.
    #[must_use]
    pub fn start(clock: SharedClock, look_up: LookUp, known: Names) -> Self {
        let (asks, questions) = mpsc::channel(ASKS);
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(Snapshot::new(known)),
            clock: Some(Arc::clone(&clock)),
            ..Shared::default()
        });
        let table = Table::new(Arc::clone(&shared), clock, look_up, asks.downgrade());
        tokio::spawn(table.run(questions));
        Self { shared, asks }
    }

    /// `resolve-hostnames` and `announce-hostnames`.
    pub fn set_policy(&self, accepts: bool, announces: bool) {
        self.shared.accepts.store(accepts, Ordering::Relaxed);
        self.shared.announces.store(announces, Ordering::Relaxed);
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// Whether this node accepts names from clients and servers.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.shared.accepts.load(Ordering::Relaxed)
    }

    /// What is known.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.shared.snapshot.load().names)
    }

    /// Changes whenever an address may be shown otherwise than before.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// The address as clients and servers are told it: with an IP, unless `announce-hostnames` is yes.
    #[must_use]
    pub fn shown(&self, address: &HostPort) -> HostPort {
        if address.ip().is_some() || self.shared.announces.load(Ordering::Relaxed) {
            return address.clone();
        }
        self.shared.snapshot.load().names.with_ip(address)
    }

    /// Whether both are one address, as far as known.
    #[must_use]
    pub fn same(&self, a: &HostPort, b: &HostPort) -> bool {
        a == b || self.shared.snapshot.load().names.same(a, b) == Some(true)
    }

    /// IPs of a host that was found before, the preferred one first.
    #[must_use]
    pub fn ips(&self, host: &str) -> Vec<IpAddr> {
        self.shared.snapshot.load().names.ips(host).unwrap_or_default()
    }

    /// Makes sure that this host is looked up now and then; does not wait. An address needs no lookup.
    pub fn want(&self, host: &str) {
        if host.parse::<IpAddr>().is_err() {
            let _ = self.ask(host, REPORTED_AGE_MS);
        }
    }

    /// The same for a name that a server reported: only where such names are accepted.
    pub fn reported(&self, host: &str) {
        if self.accepts() {
            self.want(host);
        } else if self.shared.snapshot.load().names.ips(host).is_none() {
            // A full queue is no loss: it is reported again.
            let _ = self.asks.try_send(Ask::NotAccepted(host.to_owned()));
        }
    }

    /// IPs of a host whose last lookup is not older than a second; empty when it failed. Waits a second at most.
    pub async fn refreshed(&self, host: &str) -> Vec<IpAddr> {
        match self.ask(host, RECONNECT_AGE_MS) {
            Some(answer) => answer.await.unwrap_or_default(),
            None => self.shared.snapshot.load().last(host),
        }
    }

    /// The same with a deadline of one's own.
    pub async fn look_up(&self, host: &str, within: Duration) -> Vec<IpAddr> {
        let found = tokio::time::timeout(within, self.refreshed(host)).await;
        found.unwrap_or_default()
    }

    /// A connection to this IP of the host was made.
    pub fn connected(&self, host: &str, ip: IpAddr) {
        if self.ips(host).first() != Some(&ip.to_canonical()) {
            let _ = self.asks.try_send(Ask::Connected(host.to_owned(), ip));
        }
    }

    fn ask(&self, host: &str, age_ms: u64) -> Option<oneshot::Receiver<Vec<IpAddr>>> {
        let clock = self.shared.clock.as_ref()?;
        if self.shared.snapshot.load().is_younger(host, age_ms, clock.mono()) {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        let ask = Ask::LookUp(host.to_owned(), answer);
        self.asks.try_send(ask).is_ok().then_some(receiver)
    }
}

#[cfg(test)]
mod tests;
