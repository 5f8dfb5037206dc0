//! Measurements: failovers split into their parts, and address queries.

pub mod failover;
pub mod queries;
pub mod stats;
