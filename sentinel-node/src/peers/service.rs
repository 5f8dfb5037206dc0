//! The handle of the peer layer, and the ports through which it talks to the rest of the node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use sentinel_proto::peer::{Opinion, PeerBody, PeerHello};
use sentinel_proto::{HostPort, NodeId, SentinelId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::acl::Acl;
use crate::clock::SharedClock;
use crate::view::NodeView;

use super::directory::Census;
use super::link::Link;
use super::roster::{Note, Roster};
use super::settings::{Live, PeerSettings};
use super::transport::PeerTransport;

/// Notes to the roster under way; a full queue makes connections wait, never grow.
const NOTES: usize = 256;

/// Accepted peer connections, handshakes included. A group has at most a few dozen sentinels.
const MAX_INCOMING: usize = 128;

/// Answers Raft requests of peers: `raft_store::RaftHandle::serve` behind a seam.
pub trait RaftService: Send + Sync + 'static {
    /// Serves one request; the answer goes back as it is.
    fn serve(&self, request: Vec<u8>) -> BoxFuture<'static, Vec<u8>>;
}

/// Where the peer layer reports. Implementations must return at once and never block.
pub trait PeerPorts: Send + Sync + 'static {
    /// Opinions pushed by a peer.
    fn opinions(&self, from: NodeId, opinions: Vec<Opinion>);
    /// A peer came, went, moved, or its s_down changed; the snapshot is in `NodeView::peers` already.
    fn changed(&self);
    /// A peer became subjectively down (`true`) or is back.
    fn sdown(&self, myid: &SentinelId, address: &HostPort, down: bool);
}

/// A `Found` frame of a peer, to be answered by the founding task.
#[derive(Debug)]
pub struct FoundQuestion {
    /// Who asks.
    pub from: NodeId,
    /// Identity of the group to be.
    pub cluster_id: u64,
    /// Its members.
    pub members: Vec<(NodeId, SentinelId, HostPort)>,
    /// Whether agreeing binds this node.
    pub binding: bool,
    /// `None` = agreed, else the reason.
    pub answer: oneshot::Sender<Option<String>>,
}

/// What changes about this node while it runs, and is told to peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Group this node belongs to, or agreed to found.
    pub(super) cluster_id: Option<u64>,
    /// Holds a Raft log.
    pub(super) initialised: bool,
}

/// Usable connections of each peer, the preferred one first.
pub(super) type Routes = BTreeMap<NodeId, Vec<Arc<Link>>>;

/// Shared by all tasks of the peer layer.
pub(super) struct Shared {
    /// Where the tasks of the peer layer run.
    pub(super) runtime: Handle,
    pub(super) settings: PeerSettings,
    pub(super) clock: SharedClock,
    pub(super) view: Arc<NodeView>,
    pub(super) ports: Arc<dyn PeerPorts>,
    pub(super) live: ArcSwap<Live>,
    pub(super) identity: ArcSwap<Identity>,
    pub(super) routes: ArcSwap<Routes>,
    pub(super) census: watch::Sender<Arc<Census>>,
    pub(super) allowed: ArcSwap<BTreeSet<IpAddr>>,
    pub(super) raft: OnceLock<Arc<dyn RaftService>>,
    pub(super) founding: OnceLock<mpsc::Sender<FoundQuestion>>,
    pub(super) notes: mpsc::Sender<Note>,
    pub(super) incoming: Arc<Semaphore>,
    pub(super) acl: OnceLock<Acl>,
    connections: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A number for a new connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// What we say of ourselves on a connection that was dialed as `dialed`.
    pub(super) fn hello(&self, dialed: Option<&HostPort>) -> PeerHello {
        let identity = **self.identity.load();
        let live = self.live.load();
        PeerHello {
            node: self.settings.node,
            myid: self.settings.myid.clone(),
            cluster_id: identity.cluster_id,
            announce_host: live.announce_host.clone(),
            announce_port: live.announce_port,
            dialed: dialed.cloned(),
            initialised: identity.initialised,
            boot: self.settings.boot,
        }
    }
}

/// Handle of the peer layer; cheap to clone. Dropping the last one does not stop it: call [`Peers::stop`].
#[derive(Debug, Clone)]
pub struct Peers {
    pub(super) shared: Arc<Shared>,
    roster: AbortHandle,
}

impl Peers {
    /// Starts the roster and the dialers on the present tokio runtime.
    ///
    /// `cluster_id` and `initialised` are what the data directory says; they change with [`Peers::set_identity`].
    #[must_use]
    pub fn start(
        settings: PeerSettings,
        identity: (Option<u64>, bool),
        view: Arc<NodeView>,
        clock: SharedClock,
        ports: Arc<dyn PeerPorts>,
    ) -> Self {
        if settings.secret.is_none() && !settings.listed.is_empty() {
            tracing::warn!(
                target: "sentinel::peers",
                "Sentinels do not authenticate to each other: only members and the addresses of 'sentinel peer' lines are accepted. \
                 Set requirepass, or sentinel-user and sentinel-pass, in every sentinel.conf"
            );
        }
        let (notes, inbox) = mpsc::channel(NOTES);
        let allowed = settings.listed.iter().filter_map(HostPort::ip).collect();
        let (cluster_id, initialised) = identity;
        let shared = Arc::new(Shared {
            runtime: Handle::current(),
            census: watch::Sender::new(Arc::new(Census::default())),
            live: ArcSwap::from_pointee(Live::of(&settings)),
            settings,
            clock,
            view,
            ports,
            identity: ArcSwap::from_pointee(Identity {
                cluster_id,
                initialised,
            }),
            routes: ArcSwap::default(),
            allowed: ArcSwap::from_pointee(allowed),
            raft: OnceLock::new(),
            founding: OnceLock::new(),
            notes,
            incoming: Arc::new(Semaphore::new(MAX_INCOMING)),
            acl: OnceLock::new(),
            connections: AtomicU64::new(1),
        });
        let roster = tokio::spawn(Roster::new(Arc::clone(&shared)).run(inbox)).abort_handle();
        Self { shared, roster }
    }

    /// Who answers Raft requests. Until then they are refused. Only the first call counts.
    pub fn serve_raft(&self, service: Arc<dyn RaftService>) {
        let _ = self.shared.raft.set(service);
    }

    /// Who answers `Found`. Until then it is refused. Only the first call counts.
    pub fn answer_founding(&self, questions: mpsc::Sender<FoundQuestion>) {
        let _ = self.shared.founding.set(questions);
    }

    /// Whose users may be peers, beside those who know the secret of the group. Only the first call counts.
    pub fn check_users_of(&self, acl: Acl) {
        let _ = self.shared.acl.set(acl);
    }

    /// The group this node belongs to became known or its log exists now: told to all peers.
    pub fn set_identity(&self, cluster_id: Option<u64>, initialised: bool) {
        let identity = Identity {
            cluster_id,
            initialised,
        };
        if **self.shared.identity.load() == identity {
            return;
        }
        self.shared.identity.store(Arc::new(identity));
        // A full queue is emptied by the roster's next turn, which looks at the identity as well.
        let _ = self.shared.notes.try_send(Note::Look);
    }

    /// Members in the applied state, or what we announce, may have changed: acted on at once instead of at the next look
    /// (200 ms).
    pub fn state_changed(&self) {
        let _ = self.shared.notes.try_send(Note::Look);
    }

    /// What `raft-store` calls peers with.
    #[must_use]
    pub fn transport(&self) -> PeerTransport {
        PeerTransport::new(Arc::clone(&self.shared))
    }

    /// Pushes opinions to all connected peers. Opinions that a slow peer has not been sent yet are replaced by
    /// later ones about the same master: never unbounded, never late.
    pub fn broadcast(&self, opinions: &[Opinion]) {
        for links in self.shared.routes.load().values() {
            if let Some(link) = links.iter().find(|l| l.is_open()) {
                link.push_opinions(opinions);
            }
        }
    }

    /// Who was met so far, for founding and for the node's own address.
    #[must_use]
    pub fn census(&self) -> watch::Receiver<Arc<Census>> {
        self.shared.census.subscribe()
    }

    /// Asks one peer to found a group; any failure is a reason, too.
    ///
    /// # Errors
    /// The reason why the peer does not agree, or could not be asked.
    pub async fn ask_founding(
        &self,
        peer: NodeId,
        cluster_id: u64,
        members: Vec<(NodeId, SentinelId, HostPort)>,
        binding: bool,
    ) -> Result<(), String> {
        let question = PeerBody::Found {
            cluster_id,
            members,
            binding,
        };
        let deadline = self.shared.settings.timing.lost_after;
        match self.transport().request(peer, question, deadline).await {
            Ok(PeerBody::FoundReply(None)) => Ok(()),
            Ok(PeerBody::FoundReply(Some(reason)) | PeerBody::Refused(reason)) => Err(reason),
            Ok(_) => Err("unexpected reply".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Closes all connections and stops dialing.
    pub fn stop(&self) {
        self.roster.abort();
        for links in self.shared.routes.swap(Arc::default()).values() {
            for link in links {
                link.close("shutting down");
            }
        }
    }
}
