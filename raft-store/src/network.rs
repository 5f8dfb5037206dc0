//! openraft's network over a [`Transport`]: one request, one answer, each with a deadline.
//!
//! openraft runs one replication task and one heartbeat task for each peer, so a peer that does not answer
//! delays nobody else. A peer that is not connected is tried again after 10, 20, 40, 80, 100, 100 ms...

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use sentinel_proto::types::NodeId;
use tokio::sync::watch;

use crate::clock::{Instant, now};
use crate::codec;
use crate::rpc::{Envelope, Reply, Request};
use crate::transport::{Transport, TransportError};
use crate::types::{Snapshot, SnapshotBytes, TypeConfig, Vote};

/// Time for a whole snapshot.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no usable answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The transport failed.
    Transport(TransportError),
    /// The peer did nothing and said why.
    Refused(String),
    /// The peer's answer makes no sense: it may have acted.
    Garbled(String),
}

/// The way to the peers; shared by all tasks of a node.
pub(crate) struct Peers {
    me: u64,
    transport: Arc<dyn Transport>,
    /// This node's group; 0 = none yet.
    cluster_id: Arc<AtomicU64>,
    append_deadline: Duration,
    /// When a peer was last heard, in either direction.
    contacts: watch::Sender<BTreeMap<u64, Instant>>,
    /// Appends are withheld: see [`crate::observe`].
    quiet: AtomicBool,
}

impl Peers {
    /// `append_deadline`: after this, an append without an answer is sent again.
    pub(crate) fn new(
        me: u64,
        transport: Arc<dyn Transport>,
        cluster_id: Arc<AtomicU64>,
        append_deadline: Duration,
    ) -> Self {
        Self {
            me,
            transport,
            cluster_id,
            append_deadline,
            contacts: watch::Sender::default(),
            quiet: AtomicBool::new(false),
        }
    }

    /// Notes that `peer` is alive.
    pub(crate) fn heard(&self, peer: u64) {
        let at = now();
        self.contacts.send_modify(|contacts| {
            contacts.insert(peer, at);
        });
    }

    /// When `peer` was last heard.
    pub(crate) fn last_heard(&self, peer: u64) -> Option<Instant> {
        self.contacts.borrow().get(&peer).copied()
    }

    /// Whether a call to `peer` has a chance.
    pub(crate) fn is_connected(&self, peer: u64) -> bool {
        self.transport.is_connected(NodeId(peer))
    }

    /// Withholds appends, or lets them pass again.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::Release);
    }

    /// Asks a peer.
    pub(crate) async fn call(&self, to: u64, body: Request, deadline: Duration) -> Result<Reply, CallError> {
        let cluster_id = self.cluster_id.load(Ordering::Acquire);
        let envelope = Envelope {
            cluster_id,
            from: self.me,
            body,
        };
        let bytes = codec::encode(&envelope).map_err(|e| CallError::Refused(e.to_string()))?;
        let answer = self.transport.call(NodeId(to), bytes, deadline);
        let bytes = match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(e)) => return Err(CallError::Transport(e)),
            Err(_) => return Err(CallError::Transport(TransportError::Timeout)),
        };
        self.heard(to);
        match codec::decode(&bytes) {
            Ok(Reply::Refused(why)) => Err(CallError::Refused(why)),
            Ok(reply) => Ok(reply),
            Err(e) => Err(CallError::Garbled(e.to_string())),
        }
    }
}

/// Makes a [`Link`] for each peer.
pub(crate) struct Links(pub(crate) Arc<Peers>);

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &()) -> Link {
        Link {
            peers: Arc::clone(&self.0),
            target,
        }
    }
}

/// openraft's way to one peer.
pub(crate) struct Link {
    peers: Arc<Peers>,
    target: u64,
}

type RpcError = RPCError<TypeConfig>;

impl Link {
    async fn ask(&self, body: Request, action: RPCTypes, deadline: Duration) -> Result<Reply, RpcError> {
        self.peers
            .call(self.target, body, deadline)
            .await
            .map_err(|e| match e {
                CallError::Transport(TransportError::Timeout) => RPCError::Timeout(Timeout {
                    action,
                    id: self.peers.me,
                    target: self.target,
                    timeout: deadline,
                }),
                CallError::Transport(e) => unreachable_peer(e.to_string()),
                CallError::Refused(why) => unreachable_peer(format!("refused: {why}")),
                CallError::Garbled(why) => unreachable_peer(format!("garbled answer: {why}")),
            })
    }
}

/// An error after which openraft waits for its backoff before it tries again.
fn unreachable_peer(why: String) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(why))
}

fn unexpected() -> RpcError {
    unreachable_peer("the answer is to another request".to_owned())
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotBytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        if self.peers.quiet.load(Ordering::Acquire) {
            return Err(unreachable_peer("silent: no majority answers".to_owned()));
        }
        // openraft asks for the heartbeat interval here, which is less than a slow disk needs for one sync;
        // heartbeats have that limit anyway, around this call.
        let deadline = self.peers.append_deadline;
        match self
            .ask(Request::Append(rpc), RPCTypes::AppendEntries, deadline)
            .await?
        {
            Reply::Append(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self
            .ask(Request::Vote(rpc), RPCTypes::Vote, option.hard_ttl())
            .await?
        {
            Reply::Vote(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self
            .ask(Request::PreVote(rpc), RPCTypes::Vote, option.hard_ttl())
            .await?
        {
            Reply::Vote(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let body = Request::Snapshot {
            vote,
            meta: snapshot.meta,
            state: snapshot.snapshot,
        };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            reply = self.ask(body, RPCTypes::InstallSnapshot, SNAPSHOT_DEADLINE) => match reply? {
                Reply::Snapshot(answer) => Ok(answer),
                _ => Err(unexpected().into()),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        match self
            .ask(
                Request::Transfer(req),
                RPCTypes::TransferLeader,
                option.hard_ttl(),
            )
            .await?
        {
            Reply::Transfer(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}
