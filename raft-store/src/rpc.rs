//! Requests and answers between the `raft-store`s of two nodes; the transport carries them as bytes.
//!
//! Every request names the group and the sender. A node answers only requests of its own group: a node of
//! another group, or one whose data directory was removed, can neither vote nor be replicated to by mistake.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use sentinel_core::replicated::{Command, Outcome};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::types::{SnapshotBytes, SnapshotMeta, TypeConfig, Vote};

/// A request with its addressing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// Group of the sender.
    pub(crate) cluster_id: u64,
    /// Node id of the sender.
    pub(crate) from: u64,
    /// What is asked.
    pub(crate) body: Request,
}

/// A request (or an answer) decoded and encoded again; `None` = the bytes are none. For tests of the decoder.
#[must_use]
pub fn recode(bytes: &[u8]) -> Option<Vec<u8>> {
    let request = codec::decode::<Envelope>(bytes).and_then(|request| codec::encode(&request));
    let reply = || codec::decode::<Reply>(bytes).and_then(|reply| codec::encode(&reply));
    request.or_else(|_| reply()).ok()
}

/// What a peer asks.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Raft AppendEntries; heartbeats too.
    Append(AppendEntriesRequest<TypeConfig>),
    /// Raft RequestVote.
    Vote(VoteRequest<TypeConfig>),
    /// Pre-Vote.
    PreVote(VoteRequest<TypeConfig>),
    /// Raft InstallSnapshot, in one piece.
    Snapshot {
        /// The sender's vote.
        vote: Vote,
        /// What the snapshot contains.
        meta: SnapshotMeta,
        /// The state.
        state: SnapshotBytes,
    },
    /// Leadership transfer.
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Propose this to the log, if the receiver is the raft_leader.
    Propose {
        /// The command.
        command: Command,
        /// Time the asker will wait.
        deadline_ms: u64,
    },
    /// Up to which index must be applied to act with authority, if the receiver is the raft_leader?
    ReadIndex {
        /// Time the asker will wait.
        deadline_ms: u64,
    },
}

/// The answer to a [`Request`].
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To [`Request::Append`].
    Append(AppendEntriesResponse<TypeConfig>),
    /// To [`Request::Vote`] and [`Request::PreVote`].
    Vote(VoteResponse<TypeConfig>),
    /// To [`Request::Snapshot`].
    Snapshot(SnapshotResponse<TypeConfig>),
    /// To [`Request::Transfer`].
    Transfer(TransferLeaderResponse<TypeConfig>),
    /// To [`Request::Propose`].
    Proposed(Proposed),
    /// To [`Request::ReadIndex`]: the index, or why not.
    ReadIndex(Result<u64, String>),
    /// The receiver does not answer such a request (now); it did nothing.
    Refused(String),
}

/// What became of a proposal at one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Proposed {
    /// Committed and applied there.
    Applied {
        /// Index of the entry.
        index: u64,
        /// What `apply` said.
        outcome: Outcome,
    },
    /// Certainly not accepted: not the raft_leader, or without a majority.
    NotAccepted {
        /// The raft_leader, as known there.
        raft_leader: Option<u64>,
    },
    /// May be committed or not.
    Unknown(String),
}
