//! The one task that knows which lookups are under way, and the only writer of the snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sentinel_core::names::Names;
use sentinel_core::time::MonoTime;
use tokio::sync::{mpsc, oneshot};

use super::{LookUp, Shared};
use crate::clock::SharedClock;

/// Lookups at the same time; others wait for their turn.
const AT_A_TIME: usize = 16;
/// Names kept; servers might report ever new ones.
const MAX_NAMES: usize = 4_096;
/// A lookup that takes longer counts as failed until it ends.
const LATE: Duration = Duration::from_secs(1);

/// What the task is told.
#[derive(Debug)]
pub(super) enum Ask {
    /// Look this host up, and answer with its IPs, none when that fails or takes too long.
    LookUp(String, oneshot::Sender<Vec<IpAddr>>),
    /// A server reported a name, and this node does not accept names.
    NotAccepted(String),
    /// A connection was made.
    Connected(String, IpAddr),
    /// A lookup ended.
    Ended(String, Result<Vec<IpAddr>, String>),
    /// A lookup was asked for `LATE` ago.
    Late(String, u64),
}

/// What is known, and since when.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) names: Arc<Names>,
    /// Hosts asked for in this run, in lower case, with their last lookup.
    asked: BTreeMap<String, Looked>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Looked {
    /// When the last lookup ended, or turned out to be late; `None` = the first one is under way.
    at: Option<MonoTime>,
    /// The last one that ended found something.
    found: bool,
    /// The last one that ended, or turned out to be late, did not.
    failed: bool,
}

impl Snapshot {
    pub(super) fn new(known: Names) -> Self {
        Self {
            names: Arc::new(known),
            asked: BTreeMap::new(),
        }
    }

    /// Whether the last lookup of the host ended not longer ago than this.
    pub(super) fn is_younger(&self, host: &str, age_ms: u64, now: MonoTime) -> bool {
        let at = self.looked(host).and_then(|looked| looked.at);
        at.is_some_and(|at| now.ms_since(at) < age_ms)
    }

    /// What the last lookup found.
    pub(super) fn last(&self, host: &str) -> Vec<IpAddr> {
        if self.looked(host).is_some_and(|looked| looked.found) {
            self.names.ips(host).unwrap_or_default()
        } else {
            Vec::new()
        }
    }

    /// Hosts asked for in this run that have an IP.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        let names = self.names.iter();
        names.filter(|(host, ips)| !ips.is_empty() && self.asked.contains_key(*host))
    }

    fn looked(&self, host: &str) -> Option<Looked> {
        self.asked.get(&host.to_ascii_lowercase()).copied()
    }
}

/// A lookup that was asked for and did not end yet.
#[derive(Debug, Default)]
struct Pending {
    number: u64,
    waiting: Vec<oneshot::Sender<Vec<IpAddr>>>,
}

pub(super) struct Table {
    shared: Arc<Shared>,
    clock: SharedClock,
    look_up: LookUp,
    /// To itself; weak, so that the task ends with the last handle.
    own: mpsc::WeakSender<Ask>,
    names: Names,
    asked: BTreeMap<String, Looked>,
    pending: BTreeMap<String, Pending>,
    /// Pending ones that were not started yet.
    queue: VecDeque<String>,
    running: usize,
    next_number: u64,
}

impl Table {
    pub(super) fn new(
        shared: Arc<Shared>,
        clock: SharedClock,
        look_up: LookUp,
        own: mpsc::WeakSender<Ask>,
    ) -> Self {
        let names = Names::clone(&shared.snapshot.load().names);
        Self {
            shared,
            clock,
            look_up,
            own,
            names,
            asked: BTreeMap::new(),
            pending: BTreeMap::new(),
            queue: VecDeque::new(),
            running: 0,
            next_number: 0,
        }
    }

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::LookUp(host, answer) => self.asked_for(host.to_ascii_lowercase(), answer),
                Ask::NotAccepted(host) => self.not_accepted(&host.to_ascii_lowercase()),
                Ask::Connected(host, ip) => {
                    if self.names.prefer(&host, ip) {
                        self.publish(true);
                    }
                }
                Ask::Ended(host, result) => self.ended(&host, result),
                Ask::Late(host, number) => self.late(&host, number),
            }
            while self.running < AT_A_TIME {
                let Some(host) = self.queue.pop_front() else { break };
                self.start(host);
            }
        }
    }

    fn asked_for(&mut self, host: String, answer: oneshot::Sender<Vec<IpAddr>>) {
        if let Some(pending) = self.pending.get_mut(&host) {
            // One that is late already keeps nobody waiting.
            let is_late = self.asked.get(&host).is_some_and(|looked| looked.at.is_some());
            if !is_late {
                pending.waiting.push(answer);
            }
            return;
        }
        if self.asked.len() >= MAX_NAMES && !self.asked.contains_key(&host) {
            metrics::counter!("sentinel_names_refused").increment(1);
            return;
        }
        // Until it ends it is as old as never looked up: whoever asks now waits for this one.
        self.asked.entry(host.clone()).or_default().at = None;
        self.next_number = self.next_number.wrapping_add(1);
        let number = self.next_number;
        let waiting = vec![answer];
        self.pending.insert(host.clone(), Pending { number, waiting });
        self.queue.push_back(host.clone());
        self.publish(false);
        if let Some(own) = self.own.upgrade() {
            let own = own.downgrade();
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                if let Some(own) = own.upgrade() {
                    let _ = own.send(Ask::Late(host, number)).await;
                }
            });
        }
    }

    fn start(&mut self, host: String) {
        let (look_up, own) = (Arc::clone(&self.look_up), self.own.clone());
        let name = host.clone();
        let started = std::thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || {
                let result = look_up(&name).map_err(|error| error.to_string());
                if let Some(own) = own.upgrade() {
                    // Fails when the node is about to end.
                    let _ = own.blocking_send(Ask::Ended(name, result));
                }
            });
        match started {
            Ok(_) => self.running = self.running.saturating_add(1),
            Err(error) => {
                self.running = self.running.saturating_add(1);
                self.ended(&host, Err(error.to_string()));
            }
        }
    }

    fn ended(&mut self, host: &str, result: Result<Vec<IpAddr>, String>) {
        self.running = self.running.saturating_sub(1);
        let pending = self.pending.remove(host).unwrap_or_default();
        let (found, why) = match result {
            Ok(found) if found.is_empty() => (found, "no address".to_owned()),
            Ok(found) => (found, String::new()),
            Err(why) => (Vec::new(), why),
        };
        let changed = self.take(host, &found, &why);
        self.publish(changed);
        for waiting in pending.waiting {
            let _ = waiting.send(found.clone());
        }
    }

    /// The thread goes on; who waited goes on, too.
    fn late(&mut self, host: &str, number: u64) {
        let Some(pending) = self.pending.get_mut(host).filter(|p| p.number == number) else {
            return;
        };
        let waiting = std::mem::take(&mut pending.waiting);
        let changed = self.take(host, &[], "no answer from the resolver");
        self.publish(changed);
        // Dropping the answers says that there is none.
        drop(waiting);
    }

    /// Notes a result. Returns whether anything is different for readers.
    fn take(&mut self, host: &str, found: &[IpAddr], why: &str) -> bool {
        let now = self.clock.mono();
        let before = self.names.ips(host).unwrap_or_default();
        let changed = self.names.note(host, found);
        let looked = self.asked.entry(host.to_owned()).or_default();
        let (first_failure, moved) = (!looked.failed, changed && !before.is_empty());
        (looked.found, looked.failed) = (!found.is_empty(), found.is_empty());
        looked.at = Some(now);
        if found.is_empty() && first_failure {
            // Sentinel's line, with what is done about it.
            let used = before.first().map(|ip| format!("; {ip} is used as before"));
            tracing::warn!(
                "Failed to resolve hostname '{host}' ({why}){}",
                used.unwrap_or_default()
            );
        } else if moved && !found.is_empty() {
            let list: Vec<String> = found.iter().map(ToString::to_string).collect();
            tracing::info!("hostname '{host}' resolves to {} now", list.join(", "));
        }
        changed
    }

    fn not_accepted(&mut self, host: &str) {
        if self.names.ips(host).is_none() && self.names.len() < MAX_NAMES {
            self.names.note(host, &[]);
            tracing::warn!("Failed to resolve hostname '{host}' (resolve-hostnames is no)");
            self.publish(true);
        }
    }

    fn publish(&mut self, changed: bool) {
        let before = self.shared.snapshot.load();
        let names = if changed {
            Arc::new(self.names.clone())
        } else {
            Arc::clone(&before.names)
        };
        drop(before);
        let asked = self.asked.clone();
        self.shared.snapshot.store(Arc::new(Snapshot { names, asked }));
        if changed {
            self.shared.version.fetch_add(1, Ordering::Release);
            self.shared.changes.send_replace(());
        }
    }
}
