//! From facts and opinions to ODOWN, and from ODOWN to the proposal of a failover. One per node, for all groups.
//!
//! ```text
//! facts of own monitors --> own opinion --(on change, and each second)--> peers
//! own + peers' opinions --tally--> ODOWN (every node) --raft_leader only--> propose OpenFailover
//! ```
//!
//! * ODOWN is soft: evaluated on every input, ends when the opinions do. It needs the agreement of this node too, or
//!   that the others have agreed for a while without it (a node that is alone with its view is outvoted).
//! * Only the raft_leader, in touch with a majority, proposes. At most one plan per group is open; failed attempts back
//!   off from 0.1 to 5 s. Nothing waits 2 x failover-timeout (sentinel.c `sentinelStartFailoverIfNeeded` does).
//! * A failover is held back, with a reason that the admin API shows, while a replica certainly still receives from
//!   the master, or while nobody sees a replica that could be promoted.
//! * Replicas that the master lists and the log does not know are proposed by the raft_leader until it knows them.

mod core;
mod foreign;
mod lineage;
mod open;
mod opinion;
mod tilt;
mod types;

pub use self::core::QuorumCore;
pub use tilt::TiltTimes;
pub use types::{GroupSoft, Hold, QuorumEffect, QuorumInput};
