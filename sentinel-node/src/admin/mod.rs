//! HTTP and JSON on `admin-port`: what the node knows, for people, dashboards and scripts.
//!
//! | Path | Answer |
//! |---|---|
//! | `GET /v1/status` | node, Raft, sentinels, one line per master |
//! | `GET /v1/masters`, `/v1/masters/{name}` | masters; instances, opinions, plan and history of one |
//! | `GET /v1/raft`, `/v1/events?limit=` | the fields of SENTINEL RAFT STATUS; recent events |
//! | `POST /v1/masters/{name}/failover`, `.../reset` | changes: need `admin-token` |
//! | `GET /healthz`, `/readyz`, `/metrics` | for probes and Prometheus |
//!
//! Reads come from the same snapshots as RESP replies. Errors are `{"error", "remedy"}`. Passwords never
//! appear: the replies are built from types that do not hold them.

mod health;
mod metrics;
pub mod model;
mod plan;
mod routes;
mod snapshot;

pub use routes::{Admin, bind, serve};
