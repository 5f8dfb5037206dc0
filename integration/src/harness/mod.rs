//! Processes, ports, waiting and the small clients that tests are made of.

pub mod client_runtime;
pub mod cluster;
pub mod driver;
pub mod events;
pub mod http;
pub mod libraries;
pub mod located;
pub mod located_group;
pub mod lone;
pub mod ports;
pub mod process;
pub mod redis;
pub mod resp;
pub mod scenario;
pub mod sentinel;
pub mod time;
pub mod wait;
pub mod watch;
pub mod writer;

pub use cluster::{Cluster, ClusterOptions};
pub use scenario::{limit_ms, runs, scenario};
