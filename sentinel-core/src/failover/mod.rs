//! Makes Redis look as the log says: executes open plans, takes over plans of dead executors, and repairs whatever
//! differs at any other time. One per node, for all groups.
//!
//! Level-triggered: each input re-derives the next action from the applied plan, the facts, and what is on its way.
//! Nothing is remembered that a successor would need; it continues the same plan from the log.
//!
//! ```text
//! plan.phase   executor's work
//! Opened       fresh reports -> select -> propose Choose           (none: propose Close no-good-replica)
//! Chosen       forced: pause writes, wait for equal offsets
//!              coordinated: the master hands over by itself      (does not work out: resume writes, propose Close)
//!              promote, confirm by ROLE -> propose Switch          (unreachable: Choose the next candidate)
//! Switched     point the others at the new master, parallel-syncs at a time -> propose Close
//! no plan      raft_leader: demote a replica that is a master, re-point a replica of the wrong master
//! ```
//!
//! Invariants: a state-changing operation carries a [`Guard`] that the shell checks against the *applied* state and a
//! fresh authority before sending; `Promote` is only ever asked for the replica of an applied phase `Chosen`;
//! at most one operation per instance is on its way.
//!
//! References: sentinel.c `sentinelFailoverStateMachine`, `sentinelReconfReconfNextSlave`; DESIGN.md section 6.
//! Deviation: stock Sentinel waits for the next INFO at each step and 8 s before demoting; here the reply counts.

mod coordinated;
mod core;
mod drive;
mod reconf;
mod take_over;
mod types;
mod work;

pub use self::core::FailoverCore;
pub use types::{Conditions, Crash, FailoverEffect, FailoverInput, Guard, Operation, OperationResult};
