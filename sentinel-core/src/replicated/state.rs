//! The replicated state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sentinel_proto::types::{HostPort, MasterName, NodeId, SentinelId, WallTime};
use serde::{Deserialize, Serialize};

use super::plan::{ClosedPlan, Plan};
use crate::lineage::Lineage;

/// Finished plans kept per group.
pub const HISTORY_LENGTH: usize = 16;

/// Everything that the sentinels agree on. Cloning is cheap: groups are shared until changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Index of the last applied command.
    pub last_applied: u64,
    /// Sentinel's `current-epoch`: the highest failover or config epoch ever used.
    pub current_epoch: u64,
    /// Sentinels of this group by Raft identity.
    pub members: BTreeMap<NodeId, Member>,
    /// Monitored masters.
    pub groups: BTreeMap<MasterName, Arc<Group>>,
}

impl State {
    /// The groups that differ from those of an earlier state. Groups are shared until changed, so this compares pointers:
    /// an equal one that was rebuilt (a snapshot) counts as changed.
    pub fn groups_changed_since(&self, before: &Self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values().filter(|group| {
            let old = before.groups.get(&group.name);
            !old.is_some_and(|old| Arc::ptr_eq(old, group))
        })
    }
}

/// A sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Identity shown to clients.
    pub myid: SentinelId,
    /// Where clients and peers reach it.
    pub address: HostPort,
}

/// A master with its replicas and options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: MasterName,
    /// Log index of the `Monitor` command: tells a group that was removed and added again from the first one.
    pub incarnation: u64,
    /// Options as set by the file and `SENTINEL SET`.
    pub options: GroupOptions,
    /// The committed master address: what `get-master-addr-by-name` answers.
    pub address: HostPort,
    /// Epoch of that address; 0 = as configured, never failed over.
    pub config_epoch: u64,
    /// Known replicas by address; never contains `address`.
    pub replicas: BTreeMap<HostPort, KnownReplica>,
    /// The open failover, if any.
    pub plan: Option<Plan>,
    /// Finished failovers, oldest first, at most [`HISTORY_LENGTH`].
    pub history: VecDeque<ClosedPlan>,
    /// How servers of this group are told from foreign ones.
    pub lineage: Arc<Lineage>,
}

/// What is replicated about a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownReplica {
    /// When it was committed, by the proposer's clock.
    pub since: WallTime,
}

/// Per-master options, validated when the command is built and again by `apply`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOptions {
    /// `quorum` argument of `sentinel monitor`: sentinels that must agree for ODOWN. At least 1.
    pub odown_quorum: u32,
    /// `down-after-milliseconds`, > 0.
    pub down_after_ms: u64,
    /// `failover-timeout`, > 0.
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`, > 0.
    pub parallel_syncs: u32,
    /// `auth-user`; used only together with a password.
    pub auth_user: Option<String>,
    /// `auth-pass`.
    pub auth_pass: Option<String>,
    /// `crash-down-after-milliseconds`; 0 = off.
    pub crash_down_after_ms: u64,
    /// `replica-witness`: replicas that still receive data hold a failover back.
    pub replica_witness: bool,
    /// `notification-script`.
    pub notification_script: Option<String>,
    /// `client-reconfig-script`.
    pub client_reconfig_script: Option<String>,
    /// `master-reboot-down-after-period`; 0 = off.
    pub master_reboot_down_after_ms: u64,
    /// `rename-command`, upper-case original to the name used on data nodes.
    pub rename_commands: BTreeMap<String, String>,
}

impl Group {
    /// Whether the master or a replica has this address.
    #[must_use]
    pub fn has_server(&self, address: &HostPort) -> bool {
        self.address == *address || self.replicas.contains_key(address)
    }
}

impl GroupOptions {
    /// Sentinel's defaults with the given quorum argument.
    #[must_use]
    pub fn with_quorum(odown_quorum: u32) -> Self {
        Self {
            odown_quorum,
            down_after_ms: 30_000,
            failover_timeout_ms: 180_000,
            parallel_syncs: 1,
            auth_user: None,
            auth_pass: None,
            crash_down_after_ms: 0,
            replica_witness: true,
            notification_script: None,
            client_reconfig_script: None,
            master_reboot_down_after_ms: 0,
            rename_commands: BTreeMap::new(),
        }
    }
}

impl std::fmt::Debug for GroupOptions {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupOptions")
            .field("odown_quorum", &self.odown_quorum)
            .field("down_after_ms", &self.down_after_ms)
            .field("failover_timeout_ms", &self.failover_timeout_ms)
            .field("parallel_syncs", &self.parallel_syncs)
            .field("auth_user", &self.auth_user)
            .field("auth_pass", &self.auth_pass.as_ref().map(|_| "******"))
            .field("crash_down_after_ms", &self.crash_down_after_ms)
            .finish_non_exhaustive()
    }
}

/// One changed option, as `SENTINEL SET` or an edited line of the file gives it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptionChange {
    /// `quorum`.
    OdownQuorum(u32),
    /// `down-after-milliseconds`.
    DownAfterMs(u64),
    /// `failover-timeout`.
    FailoverTimeoutMs(u64),
    /// `parallel-syncs`.
    ParallelSyncs(u32),
    /// `auth-user`; `None` = unset.
    AuthUser(Option<String>),
    /// `auth-pass`; `None` = unset.
    AuthPass(Option<String>),
    /// `crash-down-after-milliseconds`; 0 = off.
    CrashDownAfterMs(u64),
    /// `replica-witness`.
    ReplicaWitness(bool),
    /// `notification-script`; `None` = unset.
    NotificationScript(Option<String>),
    /// `client-reconfig-script`; `None` = unset.
    ClientReconfigScript(Option<String>),
    /// `master-reboot-down-after-period`; 0 = off.
    MasterRebootDownAfterMs(u64),
    /// `rename-command OLD NEW`; equal names (without case) undo it.
    RenameCommand(String, String),
}

impl OptionChange {
    /// Name and value(s) as the `+set` event shows them; passwords as `******`.
    #[must_use]
    pub fn event_text(&self) -> String {
        let text = |v: &Option<String>| v.clone().unwrap_or_default();
        match self {
            Self::OdownQuorum(n) => format!("quorum {n}"),
            Self::DownAfterMs(n) => format!("down-after-milliseconds {n}"),
            Self::FailoverTimeoutMs(n) => format!("failover-timeout {n}"),
            Self::ParallelSyncs(n) => format!("parallel-syncs {n}"),
            Self::AuthUser(v) => format!("auth-user {}", text(v)),
            Self::AuthPass(_) => "auth-pass ******".to_owned(),
            Self::CrashDownAfterMs(n) => format!("crash-down-after-milliseconds {n}"),
            Self::ReplicaWitness(b) => {
                format!("replica-witness {}", if *b { "yes" } else { "no" })
            }
            Self::NotificationScript(v) => format!("notification-script {}", text(v)),
            Self::ClientReconfigScript(v) => format!("client-reconfig-script {}", text(v)),
            Self::MasterRebootDownAfterMs(n) => format!("master-reboot-down-after-period {n}"),
            Self::RenameCommand(a, b) => format!("rename-command {a} {b}"),
        }
    }
}

impl std::fmt::Debug for OptionChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.event_text())
    }
}
