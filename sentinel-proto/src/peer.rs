//! What sentinels say to each other after `SENTINEL PEER` upgraded a connection.
//!
//! Every frame is a 4-byte big-endian length and one encoded [`PeerFrame`]. The encoding (bincode behind a
//! version byte) lives in `raft-store::codec`; Raft RPCs travel as opaque bytes so that only that
//! crate knows openraft.
//!
//! A large frame may be cut into pieces, so that small ones (heartbeats) pass between them: [`PIECE_BIT`] in the
//! length marks a piece, [`LAST_PIECE_BIT`] the last one. At most one cut frame is under way in each direction.

use serde::{Deserialize, Serialize};

use crate::evidence::EvidenceClass;
use crate::types::{HostPort, MasterName, NodeId, SentinelId};

/// Version spoken by this build; carried in `SENTINEL PEER <version> ...`.
pub const PEER_VERSION: u32 = 1;

/// Largest frame accepted, in bytes. Checked before anything is allocated.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// In the length of a frame: this is a piece of a large frame.
pub const PIECE_BIT: u32 = 1 << 31;

/// In the length of a piece: the large frame is complete with it.
pub const LAST_PIECE_BIT: u32 = 1 << 30;

/// First frame in each direction, and again when something in it changed: who is speaking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHello {
    /// Raft identity of the speaker.
    pub node: NodeId,
    /// `myid` of the speaker.
    pub myid: SentinelId,
    /// Group the speaker belongs to; `None` before founding.
    pub cluster_id: Option<u64>,
    /// `announce-ip`; `None` = use the address the connection comes from.
    pub announce_host: Option<String>,
    /// `announce-port`, else `port`: where the speaker accepts clients and peers.
    pub announce_port: u16,
    /// The address under which the speaker reached (or was reached by) the listener: tells a node its own address.
    pub dialed: Option<HostPort>,
    /// Whether the speaker holds a Raft log already.
    pub initialised: bool,
    /// Random number of this run of the process: tells a connection to ourselves (same node, same boot) from a
    /// copied data directory (same node, other boot).
    pub boot: u64,
}

/// One node's opinion of one group's master. Soft state: pushed on change, refreshed each second, expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Group.
    pub master: MasterName,
    /// The address judged; an opinion about another address than the committed one is ignored.
    pub address: HostPort,
    /// Config epoch of that address: opinions of an earlier one are ignored.
    pub config_epoch: u64,
    /// Subjectively down here.
    pub down: bool,
    /// Last evidence.
    pub class: EvidenceClass,
    /// Milliseconds since this class was first seen in a row.
    pub class_age_ms: u64,
    /// Consecutive refused probes (for `crash-down-after-milliseconds`).
    pub refused_count: u32,
    /// Milliseconds since the last acceptable reply; `None` = never in this role.
    pub silent_ms: Option<u64>,
    /// Replicas of the group that the speaker reaches and could promote: who could execute a failover.
    pub promotable_replicas: u32,
}

/// Payload of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerBody {
    /// Identity; first frame in both directions.
    Hello(PeerHello),
    /// Liveness of the connection; echoed.
    Ping,
    /// Echo of a ping.
    Pong,
    /// All opinions that changed, or all of them each second.
    Opinions(Vec<Opinion>),
    /// A request for `raft-store` (Raft RPC, forwarded proposal, authority check); opaque here.
    Raft(#[serde(with = "as_bytes")] Vec<u8>),
    /// The answer to it.
    RaftReply(#[serde(with = "as_bytes")] Vec<u8>),
    /// The answer to any request that is not served (yet): nothing was done.
    Refused(String),
    /// Founding: "I am about to found this group with these members; do you agree?" Asked twice: first everybody
    /// is asked without obligation, then, when all agreed, with `binding`.
    Found {
        /// Identity of the group to be.
        cluster_id: u64,
        /// All its members.
        members: Vec<(NodeId, SentinelId, HostPort)>,
        /// The listener stores the group's identity before it agrees, and never agrees to another group again.
        binding: bool,
    },
    /// The answer: `None` = agreed, else the reason.
    FoundReply(Option<String>),
    /// Closes the connection with a reason that the other side logs.
    Goodbye(String),
}

/// A frame: `id` pairs a request with its reply, 0 for one-way messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFrame {
    /// Request number chosen by the requester; the reply repeats it.
    pub id: u64,
    /// Content.
    pub body: PeerBody,
}

/// Bytes as one piece instead of element by element: a snapshot has megabytes of them.
mod as_bytes {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}
