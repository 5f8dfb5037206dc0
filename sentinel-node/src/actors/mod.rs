//! The actors: thin shells of the cores in `sentinel-core`, all on one actix System thread.
//!
//! A handler reads the clock once, steps its core, and runs the effects. Nothing blocks here, no actor asks another,
//! and only [`supervisor`] holds addresses; the others hold recipients of the messages they emit.

pub mod failover;
pub mod gateway;
pub mod messages;
pub mod monitor;
pub mod peers;
pub mod proposals;
pub mod quorum;
pub mod start;
pub mod supervisor;
mod timer;
