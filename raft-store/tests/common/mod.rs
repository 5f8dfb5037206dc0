//! Nodes in one process over a network in memory whose links can be cut.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use raft_store::{
    Applied, DataDir, DirOptions, OpenError, Proposal, RaftHandle, RaftRole, RaftSettings, Transport,
    TransportError,
};
use sentinel_core::replicated::{Command, GroupOptions, State};
use sentinel_proto::types::{HostPort, MasterName, NodeId, WallTime};
use tempfile::TempDir;
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinHandle;

pub(crate) const CLUSTER: u64 = 0xc1;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The links between all nodes.
#[derive(Default)]
pub(crate) struct Net {
    nodes: RwLock<BTreeMap<NodeId, RaftHandle>>,
    /// Refused at once, as a closed port.
    cut: RwLock<BTreeSet<(NodeId, NodeId)>>,
    /// Swallowed, as a paused process.
    silent: RwLock<BTreeSet<(NodeId, NodeId)>>,
    /// No connection, and known to be none.
    closed: RwLock<BTreeSet<(NodeId, NodeId)>>,
}

struct Port {
    net: Arc<Net>,
    me: NodeId,
}

impl Transport for Port {
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        _deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        let (net, me) = (Arc::clone(&self.net), self.me);
        async move {
            net.pass(me, target).await?;
            let Some(node) = net.nodes.read().await.get(&target).cloned() else {
                return Err(TransportError::Unreachable);
            };
            let answer = tokio::spawn(async move { node.serve(request).await });
            let answer = answer.await.map_err(|e| TransportError::Closed(e.to_string()))?;
            match net.pass(target, me).await {
                Ok(()) => Ok(answer),
                Err(_) => Err(TransportError::Closed("cut".to_owned())),
            }
        }
        .boxed()
    }

    fn is_connected(&self, target: NodeId) -> bool {
        let closed = self.net.closed.try_read();
        closed.is_ok_and(|closed| !closed.contains(&(self.me, target)))
    }
}

impl Net {
    async fn pass(&self, from: NodeId, to: NodeId) -> Result<(), TransportError> {
        if self.cut.read().await.contains(&(from, to)) {
            return Err(TransportError::Unreachable);
        }
        if self.silent.read().await.contains(&(from, to)) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Cuts one direction.
    pub(crate) async fn cut(&self, from: NodeId, to: NodeId) {
        self.cut.write().await.insert((from, to));
    }

    /// Cuts both directions between `node` and all `others`.
    pub(crate) async fn isolate(&self, node: NodeId, others: &[NodeId]) {
        for other in others.iter().filter(|o| **o != node) {
            self.cut(node, *other).await;
            self.cut(*other, node).await;
        }
    }

    /// Requests between the two hang, but it is known that there is no connection any more.
    pub(crate) async fn close(&self, a: NodeId, b: NodeId) {
        self.silence(a, b).await;
        self.closed.write().await.extend([(a, b), (b, a)]);
    }

    /// Requests between the two hang.
    pub(crate) async fn silence(&self, a: NodeId, b: NodeId) {
        self.silent.write().await.extend([(a, b), (b, a)]);
    }

    pub(crate) async fn heal(&self) {
        self.cut.write().await.clear();
        self.silent.write().await.clear();
        self.closed.write().await.clear();
    }
}

/// One node and what it published.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) path: PathBuf,
    pub(crate) handle: RaftHandle,
    /// State returned by `open`.
    pub(crate) recovered: Arc<State>,
    /// Everything received over the applied channel.
    pub(crate) applied: Arc<RwLock<Vec<Applied>>>,
    collector: JoinHandle<()>,
}

pub(crate) async fn open(net: &Arc<Net>, path: PathBuf, settings: RaftSettings) -> Result<Node, OpenError> {
    let dir = DataDir::open(&path, &DirOptions::default())?;
    let id = dir.node();
    let (sender, mut receiver) = mpsc::channel(16);
    let port = Arc::new(Port {
        net: Arc::clone(net),
        me: id,
    });
    let (handle, recovered) = RaftHandle::open(dir, settings, port, sender).await?;
    let applied = Arc::new(RwLock::new(Vec::new()));
    let sink = Arc::clone(&applied);
    let collector = tokio::spawn(async move {
        while let Some(item) = receiver.recv().await {
            sink.write().await.push(item);
        }
    });
    net.nodes.write().await.insert(id, handle.clone());
    Ok(Node {
        id,
        path,
        handle,
        recovered,
        applied,
        collector,
    })
}

impl Node {
    /// Stops the node and gives its directory back.
    pub(crate) async fn stop(self, net: &Net) -> PathBuf {
        net.nodes.write().await.remove(&self.id);
        self.handle.shutdown().await;
        self.collector.abort();
        self.path
    }

    pub(crate) async fn set(&self, name: &str) -> Proposal {
        self.handle.propose(monitor(name), 3 * SECOND).await
    }

    /// Adds a group; panics with the answer when it is not accepted.
    pub(crate) async fn must_set(&self, name: &str) {
        let answer = self.set(name).await;
        let status = self.handle.status();
        assert!(
            matches!(answer, Proposal::Yes { .. }),
            "{name}: {answer:?} at {status:?}"
        );
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.handle.state().groups.contains_key(&master(name))
    }
}

/// A group of nodes in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: TempDir,
    pub(crate) settings: RaftSettings,
}

impl Cluster {
    pub(crate) async fn founded(size: usize, settings: RaftSettings) -> Self {
        let root = tempfile::tempdir().unwrap();
        let net = Arc::new(Net::default());
        let mut nodes = Vec::new();
        for n in 0..size {
            nodes.push(
                open(&net, root.path().join(format!("raft-{n}")), settings.clone())
                    .await
                    .unwrap(),
            );
        }
        let members: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
        for node in &nodes {
            node.handle.adopt_cluster(CLUSTER).await.unwrap();
        }
        nodes[0].handle.found(&members, CLUSTER).await.unwrap();
        Self {
            net,
            nodes,
            root,
            settings,
        }
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|n| n.id).collect()
    }

    pub(crate) fn get(&self, id: NodeId) -> &Node {
        self.nodes.iter().find(|n| n.id == id).unwrap()
    }

    /// The raft_leader that a majority stands behind.
    pub(crate) fn leader_now(&self) -> Option<NodeId> {
        let statuses = self.nodes.iter().map(|n| n.handle.status());
        statuses
            .filter(|s| s.role == RaftRole::Leader && s.has_majority)
            .max_by_key(|s| s.raft_term)
            .map(|s| s.node)
    }

    pub(crate) async fn leader(&self) -> NodeId {
        self.wait("a raft_leader", 5 * SECOND, || self.leader_now().is_some())
            .await;
        self.leader_now().unwrap()
    }

    pub(crate) fn followers(&self, leader: NodeId) -> Vec<&Node> {
        self.nodes.iter().filter(|n| n.id != leader).collect()
    }

    pub(crate) async fn wait(&self, what: &str, deadline: Duration, condition: impl Fn() -> bool) {
        wait(what, deadline, || {
            let met = condition();
            async move { met }
        })
        .await;
    }

    /// Stops all nodes and opens them again.
    pub(crate) async fn restart(self) -> Self {
        let mut paths = Vec::new();
        for node in self.nodes {
            paths.push(node.stop(&self.net).await);
        }
        let mut nodes = Vec::new();
        for path in paths {
            nodes.push(open(&self.net, path, self.settings.clone()).await.unwrap());
        }
        Self {
            nodes,
            net: self.net,
            root: self.root,
            settings: self.settings,
        }
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop(&self.net).await;
        }
    }
}

/// Waits for a condition; panics with its name when the deadline passes.
pub(crate) async fn wait<F: Future<Output = bool>>(
    what: &str,
    deadline: Duration,
    condition: impl Fn() -> F,
) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(deadline, poll).await.is_ok(),
        "not within {deadline:?}: {what}"
    );
}

pub(crate) fn master(name: &str) -> MasterName {
    MasterName::new(name).unwrap()
}

pub(crate) fn monitor(name: &str) -> Command {
    Command::Monitor {
        master: master(name),
        address: HostPort::new("127.0.0.1", 6379),
        options: GroupOptions::with_quorum(2),
        at: WallTime(1),
    }
}

/// A command that no state accepts.
pub(crate) fn refused() -> Command {
    Command::Remove {
        master: master("nobody"),
    }
}
