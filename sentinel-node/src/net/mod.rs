//! Connections to Redis servers: connect, authenticate, probe, command. No decisions. Also what all connections of the
//! node are made of: [`stream::Stream`] and [`outgoing::Outgoing`].
//!
//! Each instance has two connections with a task each, on the thread of the actors, so that a probe never queues behind
//! INFO or a failover command. The tasks live until their [`link::LinkHandle`] is dropped.

mod command;
mod complaint;
mod connect;
mod handover;
pub mod hello;
pub mod link;
mod operate;
pub mod outgoing;
mod probe;
mod race;
mod reply;
pub mod stream;
