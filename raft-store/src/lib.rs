//! The replicated log of Sentinel on Raft: openraft over redb.
//!
//! ```text
//!   node ── propose / serve / confirm_authority ──> RaftHandle ──> openraft ──> log.redb (fsync, then callback)
//!   node <── Applied (bounded, in log order) ────── state machine <── committed entries
//!   node <── Transport::call ─────────────────────── network
//! ```
//!
//! * This is the only crate that names openraft, and none of its types appears in the public API.
//! * Nothing is acknowledged before it is durable on a majority; a storage error stops the node from voting.
//! * The state machine is `sentinel_core::replicated::apply` and nothing else.
//!
//! References: Raft sections 5 and 6 (log, elections), Ongaro's thesis 6.4 (ReadIndex, lease), 9.6 (Pre-Vote).
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod checksum;
mod clock;
pub mod codec;
mod committed;
pub mod error;
pub mod facts;
pub mod handle;
pub mod identity;
mod log;
mod machine;
mod network;
mod observe;
mod propose;
mod rpc;
mod sealed;
mod serve;
pub mod settings;
mod snapshot;
pub mod status;
pub mod transport;
mod types;
mod writer;

pub use error::{FoundError, OpenError};
pub use facts::LocalFacts;
pub use handle::{Applied, Authority, Proposal, RaftHandle};
pub use identity::{DataDir, DirOptions};
pub use rpc::recode as recode_rpc;
pub use settings::RaftSettings;
pub use status::{RaftRole, RaftStatus};
pub use transport::{Transport, TransportError};
