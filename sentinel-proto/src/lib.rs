//! Vocabulary and wire formats of Sentinel on Raft.
//!
//! Pure: no sockets, no clock, no async. Everything that two processes, or a process and a client,
//! must agree on is spelled here and nowhere else; `slave` spellings, where the wire needs them,
//! stay inside this crate.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::arithmetic_side_effects)
)]

pub mod command;
pub mod conf;
pub mod event;
pub mod evidence;
pub mod glob;
pub mod hello;
pub mod info;
pub mod literal;
pub mod peer;
pub mod reply;
pub mod resp;
pub mod role;
pub mod types;

pub use event::{Event, EventName, InstanceRef, Level};
pub use evidence::EvidenceClass;
pub use types::{HostPort, MasterName, NodeId, SentinelId, WallTime};
