//! What client queries read: immutable snapshots, each with one writer, swapped atomically.
//!
//! | Snapshot | Writer | Source |
//! |---|---|---|
//! | [`NodeView::state`] | gateway | applied log |
//! | [`NodeView::instances`] | supervisor (the map), each monitor (its entry) | probes |
//! | [`NodeView::groups`] | quorum (ODOWN, opinions), failover actor through it | opinions, plans |
//! | [`NodeView::peers`] | peers | connections to the other sentinels |
//! | [`NodeView::scripts`] | the script queue | scripts waiting and running |
//! | [`NodeView::script_paths`] | the start of the process | the file |
//! | [`NodeView::names`] | the table of names | lookups |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
pub use sentinel_core::instance::ReportedRole;
use sentinel_core::replicated::State;
use sentinel_core::scripts::ScriptJob;
use sentinel_core::time::MonoTime;
use sentinel_proto::peer::Opinion;
use sentinel_proto::{EvidenceClass, HostPort, MasterName, NodeId, SentinelId};

use crate::names::Resolver;
use crate::scripts::ScriptPaths;
use crate::tuning::Tuning;

/// Key of an instance: its group and its address.
pub type InstanceKey = (MasterName, HostPort);

/// All snapshots of this process. One exists; it is shared by `Arc`.
#[derive(Debug)]
pub struct NodeView {
    /// This node's Raft identity.
    pub node: NodeId,
    /// This node's `myid`.
    pub myid: SentinelId,
    /// Applied state.
    pub state: ArcSwap<State>,
    /// Instances, as their monitors see them.
    pub instances: ArcSwap<BTreeMap<InstanceKey, Arc<ArcSwap<InstanceView>>>>,
    /// Per-group soft state.
    pub groups: ArcSwap<BTreeMap<MasterName, Arc<GroupView>>>,
    /// The other sentinels.
    pub peers: ArcSwap<BTreeMap<NodeId, Arc<PeerView>>>,
    /// Scripts waiting and running, oldest first.
    pub scripts: ArcSwap<Vec<ScriptJob>>,
    /// Which scripts may be run here.
    pub script_paths: ArcSwap<ScriptPaths>,
    /// In touch with a Raft majority (see `sentinel stale-reads`).
    pub has_majority: AtomicBool,
    /// When TILT was entered, in [`MonoTime`] milliseconds; 0 = not in TILT.
    pub tilt_since: AtomicU64,
    /// Times that TILT was entered.
    pub total_tilt: AtomicU64,
    /// Times that SENTINEL DEBUG changes.
    pub tuning: Arc<Tuning>,
    /// Host names.
    pub names: Resolver,
}

impl NodeView {
    /// An empty view.
    #[must_use]
    pub fn new(node: NodeId, myid: SentinelId, state: Arc<State>) -> Self {
        Self {
            node,
            myid,
            state: ArcSwap::new(state),
            instances: ArcSwap::default(),
            groups: ArcSwap::default(),
            peers: ArcSwap::default(),
            scripts: ArcSwap::default(),
            script_paths: ArcSwap::default(),
            has_majority: AtomicBool::new(false),
            tilt_since: AtomicU64::new(0),
            total_tilt: AtomicU64::new(0),
            tuning: Arc::default(),
            names: Resolver::default(),
        }
    }

    /// Whether this node is in TILT.
    #[must_use]
    pub fn in_tilt(&self) -> bool {
        self.tilt_since.load(Ordering::Acquire) != 0
    }

    /// The snapshot of one instance, `None` while it has no monitor.
    #[must_use]
    pub fn instance(&self, master: &MasterName, address: &HostPort) -> Option<Arc<InstanceView>> {
        let map = self.instances.load();
        map.get(&(master.clone(), address.clone()))
            .map(|cell| cell.load_full())
    }
}

/// One instance as its monitor sees it. Times are monotonic; readers turn them into ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// Address probed.
    pub address: HostPort,
    /// All needed links are up.
    pub connected: bool,
    /// Requests without a reply.
    pub pending: u32,
    /// When the oldest unanswered probe was sent; `None` = none pending.
    pub ping_pending_since: Option<MonoTime>,
    /// Last acceptable reply; starts as the time of creation, as in Sentinel.
    pub last_ok: MonoTime,
    /// Last reply of any kind.
    pub last_reply: MonoTime,
    /// Since when subjectively down; `None` = up.
    pub sdown_since: Option<MonoTime>,
    /// Last evidence.
    pub class: EvidenceClass,
    /// First of the present row of that class.
    pub class_since: MonoTime,
    /// Role last reported.
    pub role: ReportedRole,
    /// Since when that role is reported.
    pub role_since: MonoTime,
    /// When the last INFO arrived; `None` = never.
    pub info_at: Option<MonoTime>,
    /// Raw text of that INFO.
    pub info_text: Option<Arc<str>>,
    /// `run_id`; empty until known.
    pub run_id: String,
    /// Replica: link to its master is up.
    pub master_link_up: bool,
    /// Replica: how long that link has been down, in milliseconds, as last reported.
    pub master_link_down_ms: u64,
    /// Replica: the master it follows; `None` until known.
    pub follows: Option<HostPort>,
    /// Replica: `slave_priority`.
    pub priority: u32,
    /// Replication offset (a replica's `slave_repl_offset`, a master's `master_repl_offset`).
    pub offset: u64,
    /// Replica: `replica_announced`.
    pub announced: bool,
    /// Master: restarted and not yet ready (`master_reboot`).
    pub rebooting: bool,
    /// Told to kill its script (`script_kill_sent`).
    pub script_kill_sent: bool,
    /// Replica: `reconf_sent`, `reconf_inprog` or `reconf_done`, while a plan runs; executor only.
    pub reconf_flag: Option<&'static str>,
}

/// Soft state of a group at this node.
#[derive(Debug, Clone, Default)]
pub struct GroupView {
    /// Since when objectively down; `None` = not.
    pub odown_since: Option<MonoTime>,
    /// Why ODOWN does not lead to a failover right now (replica witness, no majority, ...); `None` = nothing holds.
    pub hold: Option<String>,
    /// This node executes the open plan: `failover-state` of SENTINEL MASTER.
    pub executing: Option<&'static str>,
    /// The open plan was forced by SENTINEL FAILOVER.
    pub forced: bool,
    /// The open plan was asked for by SENTINEL FAILOVER ... COORDINATED.
    pub coordinated: bool,
    /// Last opinion of each sentinel, this one included, with the time it arrived.
    pub opinions: BTreeMap<NodeId, (Opinion, MonoTime)>,
}

/// Another sentinel.
#[derive(Debug, Clone)]
pub struct PeerView {
    /// Its Raft identity.
    pub node: NodeId,
    /// Its `myid`.
    pub myid: SentinelId,
    /// Where clients and peers reach it.
    pub address: HostPort,
    /// A connection is up and said hello.
    pub connected: bool,
    /// Oldest unanswered ping; `None` = none pending.
    pub ping_pending_since: Option<MonoTime>,
    /// Last pong (or hello); starts at creation.
    pub last_ok: MonoTime,
    /// Last opinions frame: shown as `last-hello-message`.
    pub last_opinions: MonoTime,
    /// Subjectively down since.
    pub sdown_since: Option<MonoTime>,
}
