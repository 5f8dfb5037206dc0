//! Every decision of Sentinel on Raft, as pure functions and clock-free state machines.
//!
//! ```text
//! observe (monitor) -> decide (this crate) -> commit (raft-store) -> reconcile (this crate's effects)
//! ```
//!
//! No clock, no IO, no async, no randomness: time and every choice come in as arguments.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod acl;
pub mod failover;
#[cfg(test)]
mod fixture;
pub mod instance;
pub mod lineage;
pub mod monitor;
pub mod names;
pub mod odown;
mod proposing;
pub mod quorum;
pub mod replicated;
pub mod scripts;
pub mod select;
pub mod settle;
pub mod time;
