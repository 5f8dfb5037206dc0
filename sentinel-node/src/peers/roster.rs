//! The one task that knows who is connected: admits connections, keeps dialers, publishes routes and snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sentinel_core::time::MonoTime;
use sentinel_proto::peer::{PeerBody, PeerHello};
use sentinel_proto::{HostPort, NodeId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::view::PeerView;

use super::dial::Dialer;
use super::directory::{Admission, Arrival, Directory};
use super::link::{Link, Via};
use super::liveness::Liveness;
use super::service::{Routes, Shared};

/// How often members, s_down and snapshots are looked at without a reason.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Places for which the last complaint is remembered, so that each is logged once.
const MAX_COMPLAINTS: usize = 256;

/// What the roster is told.
#[derive(Debug)]
pub(super) enum Note {
    /// A connection said hello and asks to be admitted.
    Arrived {
        link: Arc<Link>,
        hello: PeerHello,
        local: Option<SocketAddr>,
        verdict: oneshot::Sender<Verdict>,
    },
    /// It said hello again.
    Hello { connection: u64, hello: PeerHello },
    /// An admitted connection ended.
    Gone { connection: u64, reason: String },
    /// A dialed address is our own.
    Myself(HostPort),
    /// A dialed address does not work; `refused` = somebody answered and does not want us.
    DialFailed {
        address: HostPort,
        reason: String,
        refused: bool,
    },
    /// An incoming connection was turned away.
    TurnedAway { remote: SocketAddr, reason: String },
    /// Something that this task reads elsewhere may have changed.
    Look,
}

/// Answer to an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    Myself,
    Duplicate,
    Refuse(String),
}

pub(super) struct Roster {
    shared: Arc<Shared>,
    directory: Directory,
    /// What peers were last told of ourselves.
    told: PeerHello,
    links: BTreeMap<u64, Arc<Link>>,
    dialers: BTreeMap<HostPort, Dialer>,
    liveness: Liveness,
    complaints: BTreeMap<String, String>,
    /// Applied index and version of the names that the addresses allowed to connect were made from.
    allowed_at: Option<(u64, u64)>,
}

impl Roster {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let s = &shared.settings;
        let mut directory = Directory::new(s.node, s.myid.clone(), s.boot, &s.listed);
        let told = shared.hello(None);
        directory.cluster_id = told.cluster_id;
        directory.initialised = told.initialised;
        Self {
            directory,
            told,
            links: BTreeMap::new(),
            dialers: BTreeMap::new(),
            liveness: Liveness::default(),
            complaints: BTreeMap::new(),
            allowed_at: None,
            shared,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Note>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = inbox.recv() => match note {
                    Some(note) => self.on_note(note),
                    None => return,
                },
                _ = look.tick() => {}
            }
            self.look();
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Arrived {
                link,
                hello,
                local,
                verdict,
            } => {
                let answer = self.judge(&link, &hello);
                if answer == Verdict::Welcome {
                    self.arrived(link, &hello, local);
                }
                // Routes are published before the connection starts, so that nothing it brings finds it unknown.
                self.publish_routes();
                let _ = verdict.send(answer);
            }
            Note::Hello { connection, hello } => self.heard(connection, &hello),
            Note::Gone { connection, reason } => self.gone(connection, &reason),
            Note::Myself(address) => {
                tracing::info!(target: "sentinel::peers", "'sentinel peer' {address} is this node itself");
                self.directory.is_myself(&address);
            }
            Note::DialFailed {
                address,
                reason,
                refused,
            } => {
                self.directory.failed(&address, &reason);
                if refused {
                    self.complain(address.to_string(), reason);
                }
            }
            Note::TurnedAway { remote, reason } => {
                // Without the port: it is another one at each attempt.
                let text = format!("connection of a sentinel from {} refused: {reason}", remote.ip());
                self.complain(text.clone(), text);
            }
            Note::Look => {}
        }
    }

    fn judge(&self, link: &Link, hello: &PeerHello) -> Verdict {
        match self.directory.admit(&arrival(link, hello)) {
            Admission::Myself => Verdict::Myself,
            Admission::Refuse(reason) => Verdict::Refuse(reason),
            Admission::Welcome if link.via.dialed().is_some() && self.dialed_link(hello).is_some() => {
                Verdict::Duplicate
            }
            Admission::Welcome => Verdict::Welcome,
        }
    }

    fn dialed_link(&self, hello: &PeerHello) -> Option<&Arc<Link>> {
        self.links
            .values()
            .find(|l| l.node == hello.node && l.boot == hello.boot && l.via.dialed().is_some() && l.is_open())
    }

    fn arrived(&mut self, link: Arc<Link>, hello: &PeerHello, local: Option<SocketAddr>) {
        let first = !self.links.values().any(|l| l.node == link.node);
        for old in self
            .links
            .values()
            .filter(|l| l.node == link.node && l.boot != link.boot)
        {
            old.close("replaced by a connection of a later start");
        }
        self.directory
            .arrived(&arrival(&link, hello), local.map(|a| a.ip()));
        if let Some(address) = link.via.dialed() {
            self.complaints.remove(&address.to_string());
        }
        if let Via::Accepted(_) = link.via {
            // It is alive: dial it now instead of at the end of the present wait.
            if let Some(dialer) = self
                .directory
                .address(link.node)
                .and_then(|a| self.dialers.get(&a))
            {
                dialer.kick();
            }
        }
        if first {
            let address = self
                .directory
                .address(link.node)
                .map(|a| a.to_string())
                .unwrap_or_default();
            tracing::info!(target: "sentinel::peers", "sentinel {} connected at {address}", hello.myid);
        }
        self.links.insert(link.id, link);
    }

    fn heard(&mut self, connection: u64, hello: &PeerHello) {
        let Some(link) = self.links.get(&connection) else {
            return;
        };
        let address = self.directory.address(hello.node);
        if let Some(reason) = address.and_then(|a| self.directory.foreign(hello, &a)) {
            link.close(&reason);
            self.complain(hello.myid.to_string(), reason);
            return;
        }
        self.directory.heard(&arrival(link, hello));
    }

    fn gone(&mut self, connection: u64, reason: &str) {
        let Some(link) = self.links.remove(&connection) else {
            return;
        };
        if !self.links.values().any(|l| l.node == link.node) {
            self.directory.left(link.node);
            let address = self
                .directory
                .address(link.node)
                .map(|a| a.to_string())
                .unwrap_or_default();
            tracing::info!(target: "sentinel::peers", "connection to the sentinel at {address} lost: {reason}");
        }
    }

    /// Logs a complaint about a place once, until it changes.
    fn complain(&mut self, place: String, text: String) {
        if self.complaints.get(&place) == Some(&text) {
            return;
        }
        tracing::warn!(target: "sentinel::peers", "{text}");
        if self.complaints.len() >= MAX_COMPLAINTS {
            self.complaints.clear();
        }
        self.complaints.insert(place, text);
    }

    /// Brings everything that is derived up to date.
    fn look(&mut self) {
        self.look_at_ourselves();
        let state = self.shared.view.state.load();
        let names = self.shared.settings.outgoing.names();
        let at = Some((state.last_applied, names.version()));
        if self.allowed_at != at {
            self.allowed_at = at;
            self.directory.set_members(&state.members);
            let hosts = self.directory.known_hosts();
            let allowed: BTreeSet<IpAddr> = hosts.iter().flat_map(|host| names.ips(host)).collect();
            self.shared.allowed.store(Arc::new(allowed));
        }
        drop(state);
        // A sentinel whose address behind its name moved must be let in before it can be reached itself.
        for host in self.directory.known_hosts() {
            if host.parse::<IpAddr>().is_err() {
                names.want(&host);
            }
        }
        self.keep_dialers();
        self.publish_routes();
        self.publish_peers();
        let census = self.directory.census();
        self.shared.census.send_if_modified(|published| {
            let changed = published.as_ref() != census;
            if changed {
                *published = Arc::new(census.clone());
            }
            changed
        });
    }

    fn look_at_ourselves(&mut self) {
        let hello = self.shared.hello(None);
        if hello == self.told {
            return;
        }
        self.directory.cluster_id = hello.cluster_id;
        self.directory.initialised = hello.initialised;
        self.told = hello;
        for link in self.links.values() {
            link.tell(PeerBody::Hello(self.shared.hello(link.via.dialed())));
        }
        let strangers: Vec<(u64, String)> = self.strangers();
        for (connection, reason) in strangers {
            if let Some(link) = self.links.get(&connection) {
                link.close(&reason);
            }
        }
    }

    /// Connections that do not belong here since our own group is known.
    fn strangers(&self) -> Vec<(u64, String)> {
        let met = &self.directory.census().met;
        let reason = |l: &Arc<Link>| {
            let met = met.get(&l.node)?;
            Some((l.id, self.directory.foreign(&met.hello, &met.address)?))
        };
        self.links.values().filter_map(reason).collect()
    }

    fn keep_dialers(&mut self) {
        let dialed = self.links.values().filter(|l| l.is_open());
        let connected = dialed.filter_map(|l| Some((l.node, l.via.dialed()?.clone())));
        let targets = self.directory.targets(&connected.collect());
        self.dialers.retain(|address, dialer| {
            let wanted = targets.contains(address);
            if !wanted {
                dialer.stop();
            }
            wanted
        });
        for address in targets {
            let shared = &self.shared;
            self.dialers
                .entry(address)
                .or_insert_with_key(|address| Dialer::start(Arc::clone(shared), address.clone()));
        }
    }

    fn publish_routes(&self) {
        let mut routes = Routes::new();
        for link in self.links.values().filter(|l| l.is_open()) {
            routes.entry(link.node).or_default().push(Arc::clone(link));
        }
        for links in routes.values_mut() {
            // Dialed ones first, then the latest: a connection of an earlier start may not know yet that it is dead.
            links.sort_by_key(|l| (l.via.dialed().is_none(), std::cmp::Reverse(l.id)));
        }
        let published = self.shared.routes.load();
        let ids = |routes: &Routes| routes.values().flatten().map(|l| l.id).collect::<Vec<_>>();
        if ids(&published) != ids(&routes) {
            self.shared.routes.store(Arc::new(routes));
        }
    }

    fn publish_peers(&mut self) {
        let now = self.shared.clock.mono();
        let routes = self.shared.routes.load();
        let fellows = self.directory.fellows();
        let last = |node: &NodeId, time: fn(&Link) -> MonoTime| {
            routes
                .get(node)
                .and_then(|links| links.iter().map(|l| time(l)).max())
        };
        let heard = fellows
            .keys()
            .map(|node| (*node, last(node, Link::last_heard)))
            .collect();
        let sdown_after =
            u64::try_from(self.shared.settings.timing.sdown_after.as_millis()).unwrap_or(u64::MAX);
        let changes = self.liveness.step(now, sdown_after, &heard);
        let old = self.shared.view.peers.load();
        let views: BTreeMap<NodeId, Arc<PeerView>> = fellows
            .iter()
            .map(|(node, (myid, address))| {
                let life = self.liveness.get(*node);
                let links = routes.get(node);
                let view = PeerView {
                    node: *node,
                    myid: myid.clone(),
                    address: address.clone(),
                    connected: links.is_some(),
                    ping_pending_since: links.and_then(|l| l.first()).and_then(|l| l.ping_pending_since()),
                    last_ok: life.map_or(now, |l| l.last_ok),
                    last_opinions: last(node, Link::last_opinions)
                        .unwrap_or_default()
                        .max(old.get(node).map(|v| v.last_opinions).unwrap_or_default()),
                    sdown_since: life.and_then(|l| l.sdown_since),
                };
                (*node, Arc::new(view))
            })
            .collect();
        let key = |v: &PeerView| (v.node, v.address.clone(), v.connected, v.sdown_since);
        let changed = old.values().map(|v| key(v)).ne(views.values().map(|v| key(v)));
        self.shared.view.peers.store(Arc::new(views));
        for (node, down) in changes {
            if let Some((myid, address)) = fellows.get(&node) {
                self.shared.ports.sdown(myid, address, down);
            }
        }
        if changed {
            self.shared.ports.changed();
        }
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        for dialer in self.dialers.values() {
            dialer.stop();
        }
        for link in self.links.values() {
            link.close("shutting down");
        }
    }
}

fn arrival<'a>(link: &'a Link, hello: &'a PeerHello) -> Arrival<'a> {
    let remote = match &link.via {
        Via::Accepted(remote) => Some(remote.ip()),
        Via::Dialed(address) => address.ip(),
    };
    Arrival {
        hello,
        dialed: link.via.dialed(),
        remote,
    }
}
