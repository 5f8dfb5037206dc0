//! From the snapshots to instance descriptions: MASTERS, MASTER, REPLICAS, SENTINELS and address queries.
//!
//! - A healthy, connected master shows exactly `master`.
//! - `failover_in_progress` and `failover-state` only at the executing node: node-redis refuses a sentinel
//!   that shows them.
//! - An instance whose monitor has not published anything yet shows `disconnected`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::{ArcSwap, Guard};
use sentinel_core::replicated::{Group, Phase, State};
use sentinel_core::time::MonoTime;
use sentinel_proto::info::ReportedRole as WireRole;
use sentinel_proto::reply::{
    Flags, InstanceKind, InstanceSummary, MasterDescription, ReplicaDescription, SentinelDescription,
};
use sentinel_proto::{HostPort, MasterName, NodeId};

use crate::config::StaleReads;
use crate::scripts::ScriptKind;
use crate::view::{GroupView, InstanceKey, InstanceView, NodeView, PeerView, ReportedRole};

use super::stale::may_name;

/// Redis's default `replica-priority`, shown until the first report.
const DEFAULT_PRIORITY: i64 = 100;

/// One consistent look at the snapshots, taken once per request.
pub(crate) struct Reader<'a> {
    pub(crate) view: &'a NodeView,
    pub(crate) state: Guard<Arc<State>>,
    instances: Guard<Arc<BTreeMap<InstanceKey, Arc<ArcSwap<InstanceView>>>>>,
    groups: Guard<Arc<BTreeMap<MasterName, Arc<GroupView>>>>,
    peers: Guard<Arc<BTreeMap<NodeId, Arc<PeerView>>>>,
    pub(crate) now: MonoTime,
    has_majority: bool,
    stale_reads: StaleReads,
}

/// The answer of `get-master-addr-by-name`; `None` = null array. By far the most frequent request: it looks at the applied
/// state only, unless this node is on its own.
pub(super) fn master_address(view: &NodeView, stale_reads: StaleReads, name: &str) -> Option<HostPort> {
    let state = view.state.load();
    let group = state.groups.get(name)?;
    let may_name = view.has_majority.load(Ordering::Relaxed)
        || may_name(
            stale_reads,
            false,
            view.instance(&group.name, &group.address).as_deref(),
        );
    may_name.then(|| view.names.shown(&group.address))
}

impl<'a> Reader<'a> {
    pub(crate) fn new(view: &'a NodeView, now: MonoTime, stale_reads: StaleReads) -> Self {
        Self {
            view,
            state: view.state.load(),
            instances: view.instances.load(),
            groups: view.groups.load(),
            peers: view.peers.load(),
            now,
            has_majority: view.has_majority.load(Ordering::Relaxed),
            stale_reads,
        }
    }

    pub(crate) fn has_majority(&self) -> bool {
        self.has_majority
    }

    /// A group by its name as it came over the wire.
    pub(crate) fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.state.groups.get(name)
    }

    pub(crate) fn group_view(&self, group: &Group) -> Option<&Arc<GroupView>> {
        self.groups.get(&group.name)
    }

    pub(crate) fn peer(&self, node: NodeId) -> Option<&Arc<PeerView>> {
        self.peers.get(&node)
    }

    pub(crate) fn instance(&self, group: &Group, address: &HostPort) -> Option<Arc<InstanceView>> {
        self.instances
            .get(&(group.name.clone(), address.clone()))
            .map(|cell| cell.load_full())
    }

    fn age(&self, since: MonoTime) -> u64 {
        self.now.ms_since(since)
    }

    /// Whether this node may name the group's master, see [`may_name`].
    pub(crate) fn may_name(&self, group: &Group) -> bool {
        // The usual case without a look at the monitor.
        self.has_majority
            || may_name(
                self.stale_reads,
                false,
                self.instance(group, &group.address).as_deref(),
            )
    }

    /// An address as clients are told it.
    pub(crate) fn shown(&self, address: &HostPort) -> HostPort {
        self.view.names.shown(address)
    }

    /// Members other than this node.
    pub(crate) fn other_sentinels(&self) -> usize {
        let others = self.state.members.keys().filter(|node| **node != self.view.node);
        others.count()
    }

    /// This node and the other members that are not subjectively down.
    pub(crate) fn usable_sentinels(&self) -> usize {
        let usable = |node: &NodeId| {
            *node != self.view.node && self.peer(*node).is_none_or(|peer| peer.sdown_since.is_none())
        };
        let others = self.state.members.keys().filter(|node| usable(node)).count();
        others.saturating_add(1)
    }

    fn summary(
        &self,
        kind: InstanceKind,
        name: String,
        group: &Group,
        address: &HostPort,
    ) -> InstanceSummary {
        let view = self.instance(group, address);
        let mut flags = Flags::of(kind);
        flags.disconnected = view.as_ref().is_none_or(|view| !view.connected);
        flags.s_down = view.as_ref().is_some_and(|view| view.sdown_since.is_some());
        flags.script_kill_sent = view.as_ref().is_some_and(|view| view.script_kill_sent);
        flags.master_reboot = view.as_ref().is_some_and(|view| view.rebooting);
        InstanceSummary {
            name,
            address: self.shown(address),
            run_id: view.as_ref().map_or_else(String::new, |view| view.run_id.clone()),
            flags,
            link_pending_commands: view.as_ref().map_or(0, |view| u64::from(view.pending)),
            link_refcount: 1,
            last_ping_sent_ms: view
                .as_ref()
                .and_then(|view| view.ping_pending_since)
                .map_or(0, |since| self.age(since)),
            last_ok_ping_reply_ms: view.as_ref().map_or(0, |view| self.age(view.last_ok)),
            last_ping_reply_ms: view.as_ref().map_or(0, |view| self.age(view.last_reply)),
            s_down_ms: view
                .as_ref()
                .and_then(|view| view.sdown_since)
                .map(|since| self.age(since)),
            down_after_ms: group.options.down_after_ms,
        }
    }

    /// The path that this node runs.
    fn script(&self, kind: ScriptKind, group: &Group) -> Option<String> {
        let paths = self.view.script_paths.load();
        paths.path(kind, &group.name, &self.state)
    }

    pub(crate) fn master(&self, group: &Group) -> MasterDescription {
        let view = self.instance(group, &group.address);
        let soft = self.group_view(group);
        let mut summary = self.summary(
            InstanceKind::Master,
            group.name.to_string(),
            group,
            &group.address,
        );
        summary.flags.s_down |= !self.may_name(group);
        let failover_state = soft.and_then(|soft| soft.executing);
        summary.flags.o_down = soft.is_some_and(|soft| soft.odown_since.is_some());
        summary.flags.failover_in_progress = failover_state.is_some();
        summary.flags.force_failover = failover_state.is_some() && soft.is_some_and(|soft| soft.forced);
        summary.flags.coordinated_failover =
            failover_state.is_some() && soft.is_some_and(|soft| soft.coordinated);
        let (role_reported, role_reported_ms) = self.role(view.as_deref(), WireRole::Master);
        MasterDescription {
            summary,
            failover_state,
            o_down_ms: soft
                .and_then(|soft| soft.odown_since)
                .map(|since| self.age(since)),
            info_refresh_ms: self.info_age(view.as_deref()),
            role_reported,
            role_reported_ms,
            config_epoch: group.config_epoch,
            num_replicas: group.replicas.len(),
            num_other_sentinels: self.other_sentinels(),
            odown_quorum: group.options.odown_quorum,
            failover_timeout_ms: group.options.failover_timeout_ms,
            parallel_syncs: group.options.parallel_syncs,
            notification_script: self.script(ScriptKind::Notification, group),
            client_reconfig_script: self.script(ScriptKind::ClientReconfig, group),
        }
    }

    /// Replicas that announce themselves (`replica-announced yes`), by address.
    pub(crate) fn replicas(&self, group: &Group) -> Vec<ReplicaDescription> {
        let announced = |address: &&HostPort| self.instance(group, address).is_none_or(|view| view.announced);
        let addresses = group.replicas.keys().filter(announced);
        addresses.map(|address| self.replica(group, address)).collect()
    }

    /// Whether this node is promoting the replica (flag `promoted`): only its executor shows a plan, as in Sentinel.
    fn promotes(&self, group: &Group, address: &HostPort) -> bool {
        let plan = group.plan.as_ref().filter(|plan| plan.executor == self.view.node);
        plan.is_some_and(|plan| matches!(&plan.phase, Phase::Chosen { replica } if replica == address))
    }

    pub(crate) fn replica(&self, group: &Group, address: &HostPort) -> ReplicaDescription {
        let view = self.instance(group, address);
        let view = view.as_deref();
        let mut summary = self.summary(
            InstanceKind::Replica,
            self.shown(address).to_string(),
            group,
            address,
        );
        let reconf = view.and_then(|view| view.reconf_flag);
        summary.flags.promoted = self.promotes(group, address);
        summary.flags.reconf_sent = reconf == Some("reconf_sent");
        summary.flags.reconf_inprog = reconf == Some("reconf_inprog");
        summary.flags.reconf_done = reconf == Some("reconf_done");
        let (role_reported, role_reported_ms) = self.role(view, WireRole::Replica);
        ReplicaDescription {
            summary,
            info_refresh_ms: self.info_age(view),
            role_reported,
            role_reported_ms,
            master_link_down_ms: view.map_or(0, |view| view.master_link_down_ms),
            master_link_up: view.is_some_and(|view| view.master_link_up),
            master: view.and_then(|view| view.follows.clone()),
            priority: view.map_or(DEFAULT_PRIORITY, |view| i64::from(view.priority)),
            repl_offset: view.map_or(0, |view| view.offset),
            announced: true,
        }
    }

    /// Every member but this node.
    pub(crate) fn sentinels(&self, group: &Group) -> Vec<SentinelDescription> {
        let plan = group.plan.as_ref();
        let executor = plan.and_then(|plan| self.state.members.get(&plan.executor));
        let soft = self.group_view(group);
        let others = self
            .state
            .members
            .iter()
            .filter(|(node, _)| **node != self.view.node);
        others
            .map(|(node, member)| {
                let peer = self.peer(*node);
                let opinion = soft.and_then(|soft| soft.opinions.get(node));
                let mut flags = Flags::of(InstanceKind::Sentinel);
                flags.disconnected = peer.is_none_or(|peer| !peer.connected);
                flags.master_down =
                    opinion.is_some_and(|(opinion, _)| opinion.down && opinion.address == group.address);
                let pending = peer.and_then(|peer| peer.ping_pending_since);
                let last_ok_ms = peer.map_or(0, |peer| self.age(peer.last_ok));
                SentinelDescription {
                    summary: InstanceSummary {
                        name: member.myid.to_string(),
                        address: self.shown(&member.address),
                        run_id: member.myid.to_string(),
                        flags,
                        link_pending_commands: u64::from(pending.is_some()),
                        link_refcount: u64::try_from(self.state.groups.len()).unwrap_or(u64::MAX),
                        last_ping_sent_ms: pending.map_or(0, |since| self.age(since)),
                        last_ok_ping_reply_ms: last_ok_ms,
                        last_ping_reply_ms: last_ok_ms,
                        s_down_ms: peer
                            .and_then(|peer| peer.sdown_since)
                            .map(|since| self.age(since)),
                        down_after_ms: group.options.down_after_ms,
                    },
                    last_hello_ms: peer.map_or(0, |peer| self.age(peer.last_opinions)),
                    voted_executor: executor.map(|member| member.myid.to_string()),
                    voted_epoch: plan.map_or(0, |plan| plan.failover_epoch),
                }
            })
            .collect()
    }

    fn role(&self, view: Option<&InstanceView>, expected: WireRole) -> (WireRole, u64) {
        view.map_or((expected, 0), |view| {
            let role = match view.role {
                ReportedRole::Master => WireRole::Master,
                ReportedRole::Replica => WireRole::Replica,
            };
            (role, self.age(view.role_since))
        })
    }

    fn info_age(&self, view: Option<&InstanceView>) -> u64 {
        view.and_then(|view| view.info_at).map_or(0, |at| self.age(at))
    }
}
