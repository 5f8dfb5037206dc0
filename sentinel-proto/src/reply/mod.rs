//! Typed replies and their frames, byte for byte those of Redis Sentinel.
//!
//! | Module | Replies |
//! |---|---|
//! | `error` | [`ErrorReply`]: every error text but those of `acl` |
//! | `acl` | refusals and errors of access control |
//! | `instance` | MASTERS, MASTER, REPLICAS, SENTINELS |
//! | `sentinel` | the other SENTINEL subcommands |
//! | `session` | HELLO, ROLE, PING, CLIENT LIST |
//! | `pubsub` | confirmations and messages |
//! | `info` | INFO |
//! | `commands` | COMMAND |
//! | `help` | HELP lists |

pub mod acl;
mod arguments;
pub mod commands;
mod error;
pub mod help;
pub mod info;
mod instance;
pub mod pubsub;
pub mod sentinel;
pub mod session;

pub use error::ErrorReply;
pub use instance::{
    Flags, InstanceKind, InstanceSummary, MasterDescription, ReplicaDescription, SentinelDescription,
};

#[cfg(test)]
mod tests;
