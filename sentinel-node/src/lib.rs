//! The process: configuration file, actors, links to Redis, RESP server, admin server, CLI.
//!
//! ```text
//! thread "main"   multi-thread tokio runtime: raft, peer and client connections, admin server
//! thread "actors" one actix System: monitors, quorum, failover, peers, gateway, hub, supervisor
//! ```
//!
//! Client reads never go through an actor: they read [`view::NodeView`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod acl;
pub mod actors;
pub mod admin;
pub mod background;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod events;
pub mod front;
pub mod handover;
pub mod log;
pub mod names;
pub mod net;
pub mod peers;
pub mod ports;
pub mod pubsub;
pub mod rewriting;
pub mod run;
pub mod scripts;
pub mod seeding;
pub mod server;
pub mod signals;
mod successor;
pub mod supervise;
pub mod title;
pub mod tls;
pub mod tuning;
pub mod view;
