//! Connections to the other sentinels: one port, one protocol, liveness, founding.
//!
//! ```text
//!   dial (one task per address) --\                       /--> RaftService::serve (Raft frames)
//!                                  >-- link (per connection) --> PeerPorts (opinions, liveness, events)
//!   accept (client port upgrade) -/        |              \--> founding (Found frames)
//!                                          v
//!                       roster (one task): who is who, routes, PeerView snapshots
//! ```
//!
//! * A connection starts as RESP on the client port (`SENTINEL PEER <version> <cluster-id>`), is answered `+OK`, and
//!   carries frames from there on; both sides say [`PeerHello`](sentinel_proto::peer::PeerHello) first.
//! * Connections are symmetric: requests go over the one we dialed, and over an accepted one while there is none, so
//!   that a restarted node is reached as soon as it reaches us.
//! * Heartbeats never wait behind bulk: large frames are cut into pieces with small ones in between.
//! * Every queue is bounded, a frame's length is checked before anything is reserved for it, and what a peer sends can
//!   close its own connection and nothing else.
//!
//! Who is accepted: DESIGN.md section 9. Decisions are pure and tested on their own: `directory` (who may connect,
//! whom to dial), `liveness` (s_down of sentinels), `founding` (who founds the group, and when).

mod accept;
mod dial;
mod directory;
mod founder;
pub mod founding;
mod frame;
mod link;
mod liveness;
mod roster;
mod service;
mod settings;
mod transport;

pub use accept::PeerAcceptor;
pub use directory::{Census, ListedStatus, Met};
pub use founder::{Founder, FounderSettings};
pub use frame::{FrameDecoder, FrameError};
pub use service::{FoundQuestion, PeerPorts, Peers, RaftService};
pub use settings::{PeerSecret, PeerSettings, PeerTiming};
pub use transport::PeerTransport;

#[cfg(test)]
mod address_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
