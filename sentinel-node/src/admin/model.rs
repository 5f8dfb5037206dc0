//! The JSON of the admin API. Also read back by `sentinel-node status`.
//!
//! Ages and durations are milliseconds before now; `at` is milliseconds since the Unix epoch.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The answering node.
    pub node: Node,
    /// Fields of SENTINEL RAFT STATUS.
    pub raft: serde_json::Map<String, serde_json::Value>,
    /// All sentinels, this one first.
    pub sentinels: Vec<Sentinel>,
    /// All masters by name.
    pub masters: Vec<MasterSummary>,
}

/// The answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `myid`.
    pub myid: String,
    /// Raft identity, as text: it needs 64 bits.
    pub node_id: String,
    /// Version of this program.
    pub version: String,
    /// Since the start.
    pub uptime_ms: u64,
    /// In touch with a Raft majority.
    pub has_majority: bool,
    /// For how long in TILT; null = not.
    pub tilt_ms: Option<u64>,
    /// Index of the last applied log entry.
    pub last_applied: u64,
    /// Highest failover or config epoch.
    pub current_epoch: u64,
}

/// A sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// `myid`.
    pub myid: String,
    /// Raft identity.
    pub node_id: String,
    /// Where clients and peers reach it.
    pub address: String,
    /// The answering node itself.
    pub this: bool,
    /// Connected.
    pub connected: bool,
    /// Subjectively down.
    pub s_down: bool,
    /// Age of its last sign of life; null = never, or this node.
    pub last_seen_ms: Option<u64>,
}

/// One line about a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterSummary {
    /// Name.
    pub name: String,
    /// `ok`, `sdown` or `odown`.
    pub status: String,
    /// Committed address.
    pub address: String,
    /// Epoch of that address; 0 = as configured.
    pub config_epoch: u64,
    /// Known replicas.
    pub replicas: usize,
    /// Replicas with a working link to the master.
    pub replicas_attached: usize,
    /// Sentinels, this one included.
    pub sentinels: usize,
    /// Sentinels that must agree for ODOWN.
    pub odown_quorum: u32,
    /// Sentinels with a fresh opinion that it is down.
    pub agreeing: usize,
    /// Phase of the open plan; null = none.
    pub plan_phase: Option<String>,
}

/// `GET /v1/masters/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// The line of the overview.
    #[serde(flatten)]
    pub summary: MasterSummary,
    /// Why ODOWN does not lead to a failover right now; null = nothing holds it.
    pub hold: Option<String>,
    /// Options, without passwords.
    pub options: Options,
    /// The master, then its replicas, as this node sees them.
    pub instances: Vec<Instance>,
    /// What each sentinel thinks of the master.
    pub opinions: Vec<Opinion>,
    /// By what a server of this group is told from one of others.
    pub lineage: Lineage,
    /// The open plan.
    pub plan: Option<Plan>,
    /// Finished plans, latest first.
    pub history: Vec<ClosedPlan>,
}

/// What the log knows of a group's data and servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Replication ids that its masters had, the newest last.
    pub replication_ids: Vec<String>,
    /// Configuration files that its servers run from; one may be empty.
    pub config_files: Vec<String>,
}

/// Options of a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `quorum`.
    pub odown_quorum: u32,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// `crash-down-after-milliseconds`; 0 = off.
    pub crash_down_after_ms: u64,
    /// `failover-timeout`.
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`.
    pub parallel_syncs: u32,
    /// `replica-witness`.
    pub replica_witness: bool,
    /// `auth-user`.
    pub auth_user: Option<String>,
    /// A password is set.
    pub auth_pass_set: bool,
}

/// One Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `master` or `slave`: what it should be.
    pub role: String,
    /// Address.
    pub address: String,
    /// Flags as in SENTINEL MASTER.
    pub flags: String,
    /// Last evidence, `unknown` without a monitor.
    pub evidence: String,
    /// For how long this evidence.
    pub evidence_ms: u64,
    /// Age of the last acceptable reply; null = no monitor.
    pub last_ok_ms: Option<u64>,
    /// For how long subjectively down; null = up.
    pub s_down_ms: Option<u64>,
    /// Role that it reports.
    pub role_reported: String,
    /// Age of the last INFO; null = never.
    pub info_ms: Option<u64>,
    /// Run id, empty until known.
    pub run_id: String,
    /// Replication offset.
    pub offset: u64,
    /// Bytes behind the master, as far as both offsets are known; null for the master.
    pub lag_bytes: Option<u64>,
    /// Replica: link to its master is up.
    pub link_up: Option<bool>,
    /// Replica: the master it follows.
    pub follows: Option<String>,
    /// Replica: `slave_priority`.
    pub priority: Option<u32>,
}

/// One sentinel's opinion of the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// `myid` of the sentinel; its Raft identity when it is no member any more.
    pub sentinel: String,
    /// It says: down.
    pub down: bool,
    /// About which address.
    pub address: String,
    /// Evidence.
    pub evidence: String,
    /// For how long, when it was sent.
    pub evidence_ms: u64,
    /// Milliseconds since an acceptable reply, when it was sent; null = never.
    pub silent_ms: Option<u64>,
    /// Refused probes in a row.
    pub refused_count: u32,
    /// Replicas that it reaches and could promote.
    pub promotable_replicas: u32,
    /// Age of the opinion.
    pub age_ms: u64,
}

/// A failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Unique number; becomes the config epoch of the new address.
    pub failover_epoch: u64,
    /// `odown`, `forced` or `coordinated`.
    pub cause: String,
    /// Sentinels that agreed, for `odown`.
    pub agreeing: Option<u32>,
    /// `myid` of the executor.
    pub executor: String,
    /// 1, more after a take-over.
    pub executor_generation: u32,
    /// Address before.
    pub from: String,
    /// Chosen replica.
    pub to: Option<String>,
    /// `opened`, `chosen` or `switched`.
    pub phase: String,
    /// What the sentinels had seen when the plan was opened.
    pub evidence: Vec<Evidence>,
    /// Replicas that were not chosen, with the reason.
    pub refused: Vec<Refusal>,
    /// Replicas whose promotion failed.
    pub failed: Vec<String>,
    /// When it began: wall clock of the first step.
    pub started_at: Option<u64>,
    /// Steps with milliseconds since the first one.
    pub timeline: Vec<Step>,
}

/// Evidence noted in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `myid` of the observer.
    pub observer: String,
    /// What it saw.
    pub evidence: String,
    /// For how long.
    pub age_ms: u64,
}

/// A replica that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its address.
    pub replica: String,
    /// Why.
    pub reason: String,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Name.
    pub step: String,
    /// Milliseconds since the first step.
    pub offset_ms: u64,
}

/// A finished failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// How it ended.
    pub outcome: String,
    /// What may be lost at most; null = unknown.
    pub loss_bound_bytes: Option<u64>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Wall clock.
    pub at: u64,
    /// Name, `+sdown`.
    pub name: String,
    /// Payload.
    pub payload: String,
    /// `verbose`, `notice` or `warning`.
    pub level: String,
}

/// `GET /healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok` or `not ready`.
    pub status: String,
    /// Why not.
    pub reasons: Vec<String>,
}

/// Any error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}
