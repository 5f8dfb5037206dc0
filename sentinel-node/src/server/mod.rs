//! The RESP server: what redis-cli and every client library talk to.
//!
//! ```text
//! listen -> accept loop -> connection task --words--> dispatch (pure) --+-> Frame
//!                             |      ^                                  +-> control operation (async)
//!                             |      +-- Delivery <- pubsub hub         +-> connection's own business
//!                             +-- SENTINEL PEER: the stream goes to the PeerAcceptor
//! ```
//!
//! - All of it runs on one thread ([`ClientThread`]); what waits for the disk or the network beyond the client is a task
//!   elsewhere.
//! - Requests of one connection are answered in order; a batch of pipelined requests is answered with one write.
//! - Reads never wait: they are answered from [`NodeView`](crate::view::NodeView) in the connection's task.
//! - Memory: an idle connection holds no buffer; a connection that does not read its replies is not read from;
//!   a subscriber that does not read is closed (bounded queue in the hub).
//! - Nothing that a client sends can end the process: protocol errors end the connection.
//!
//! References: networking.c `processInputBuffer`, `clientAcceptHandler`; sentinel.c `sentinelCommand`.

mod acl;
mod auth;
mod clients;
mod connection;
mod context;
mod control;
mod dispatch;
pub(crate) mod info;
pub(crate) mod instances;
mod listen;
mod memo;
mod open_files;
mod parameters;
mod pause;
mod pool;
mod rates;
mod sentinel;
mod session;
mod set;
mod sockets;
mod stale;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use auth::same as same_secret;
pub use clients::{ClientInfo, Clients};
pub use context::{Context, Counters, NoPeers, Settings};
pub use listen::{Bound, serve};
pub use open_files::{OpenFiles, raise_open_files};
pub use parameters::Parameters;
pub use thread::ClientThread;
