//! What a node answers its peers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::raft::{AppendEntriesResponse, VoteRequest};

use crate::clock::now;
use crate::codec;
use crate::handle::Inner;
use crate::rpc::{Envelope, Reply, Request};
use crate::types::{Snapshot, TypeConfig};

impl Inner {
    /// Decodes a request, lets it be answered, and encodes the answer.
    pub(crate) async fn serve(&self, request: &[u8]) -> Vec<u8> {
        let reply = match codec::decode::<Envelope>(request) {
            Ok(envelope) => self.admit(envelope).await,
            Err(e) => Reply::Refused(format!("request: {e}")),
        };
        let encoded = codec::encode(&reply)
            .or_else(|e| codec::encode(&Reply::Refused(format!("the answer cannot be encoded: {e}"))));
        // An empty answer is refused by the decoder of the other side.
        encoded.unwrap_or_default()
    }

    async fn admit(&self, envelope: Envelope) -> Reply {
        let own = self.cluster_id.load(Ordering::Acquire);
        if own == 0 {
            return Reply::Refused("this node belongs to no group yet".to_owned());
        }
        if envelope.cluster_id != own {
            return Reply::Refused(format!(
                "this node belongs to group {own:016x}, not to {:016x}",
                envelope.cluster_id
            ));
        }
        if envelope.from == self.me.0 {
            return Reply::Refused(
                "the sender has the same node id: its data directory is a copy".to_owned(),
            );
        }
        self.peers.heard(envelope.from);
        self.answer(envelope.from, envelope.body).await
    }

    async fn answer(&self, from: u64, request: Request) -> Reply {
        match request {
            Request::Append(rpc) => match self.raft.append_entries(rpc).await {
                Ok(answer) => {
                    if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                        self.heard_leader.send_replace(Some((from, now())));
                    }
                    Reply::Append(answer)
                }
                Err(e) => Reply::Refused(e.to_string()),
            },
            Request::Vote(rpc) => match self.may_vote(&rpc) {
                Ok(()) => match self.raft.vote(rpc).await {
                    Ok(answer) => Reply::Vote(answer),
                    Err(e) => Reply::Refused(e.to_string()),
                },
                Err(why) => Reply::Refused(why),
            },
            Request::PreVote(rpc) => match self.may_vote(&rpc) {
                Ok(()) => match self.raft.pre_vote(rpc).await {
                    Ok(answer) => Reply::Vote(answer),
                    Err(e) => Reply::Refused(e.to_string()),
                },
                Err(why) => Reply::Refused(why),
            },
            Request::Snapshot { vote, meta, state } => {
                match self
                    .raft
                    .install_full_snapshot(
                        vote,
                        Snapshot {
                            meta,
                            snapshot: state,
                        },
                    )
                    .await
                {
                    Ok(answer) => {
                        if answer.vote == vote {
                            self.heard_leader.send_replace(Some((from, now())));
                        }
                        Reply::Snapshot(answer)
                    }
                    Err(e) => Reply::Refused(e.to_string()),
                }
            }
            Request::Transfer(rpc) => match self.raft.handle_transfer_leader(rpc).await {
                Ok(answer) => Reply::Transfer(answer),
                Err(e) => Reply::Refused(e.to_string()),
            },
            Request::Propose { command, deadline_ms } => Reply::Proposed(
                self.propose_here(command, Duration::from_millis(deadline_ms))
                    .await,
            ),
            Request::ReadIndex { deadline_ms } => {
                Reply::ReadIndex(self.read_index(Duration::from_millis(deadline_ms)).await)
            }
        }
    }

    /// A node that has just started may have confirmed a raft_leader that still relies on it; a transfer is
    /// authorised by that raft_leader itself.
    fn may_vote(&self, rpc: &VoteRequest<TypeConfig>) -> Result<(), String> {
        match self.no_votes_until {
            Some(until) if now() < until && !rpc.leadership_transfer => {
                Err("just started, waiting until the last quorum lease has run out".to_owned())
            }
            _ => Ok(()),
        }
    }
}
