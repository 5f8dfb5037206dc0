//! Instance descriptions (`sentinel.c: addReplySentinelRedisInstance`): field names, order, and conditions.
//!
//! Every value is a bulk string, numbers too: typed clients depend on it. The position of a field matters
//! as well: element 33 of the flat form of a master's description is the value of `num-other-sentinels`.

use std::fmt;

use crate::info::ReportedRole;
use crate::resp::Frame;
use crate::types::HostPort;

/// Type word of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstanceKind {
    /// `master`.
    #[default]
    Master,
    /// `slave`.
    Replica,
    /// `sentinel`.
    Sentinel,
}

/// The field `flags`: `Display` gives the comma-separated list in Sentinel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Type word; always there.
    pub kind: InstanceKind,
    /// `s_down`.
    pub s_down: bool,
    /// `o_down` (masters).
    pub o_down: bool,
    /// `disconnected`: a needed link is missing.
    pub disconnected: bool,
    /// `master_down` (sentinels): it reported the master as down.
    pub master_down: bool,
    /// `failover_in_progress` (masters): node-redis refuses a sentinel that shows it.
    pub failover_in_progress: bool,
    /// `promoted` (replicas).
    pub promoted: bool,
    /// `reconf_sent` (replicas).
    pub reconf_sent: bool,
    /// `reconf_inprog` (replicas).
    pub reconf_inprog: bool,
    /// `reconf_done` (replicas).
    pub reconf_done: bool,
    /// `force_failover` (masters).
    pub force_failover: bool,
    /// `coordinated_failover` (masters).
    pub coordinated_failover: bool,
    /// `script_kill_sent`.
    pub script_kill_sent: bool,
    /// `master_reboot` (masters).
    pub master_reboot: bool,
}

impl Flags {
    /// Only the type word: a healthy, connected instance.
    #[must_use]
    pub fn of(kind: InstanceKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.s_down, "s_down"),
            (self.o_down, "o_down"),
            (self.kind == InstanceKind::Master, "master"),
            (self.kind == InstanceKind::Replica, "slave"),
            (self.kind == InstanceKind::Sentinel, "sentinel"),
            (self.disconnected, "disconnected"),
            (self.master_down, "master_down"),
            (self.failover_in_progress, "failover_in_progress"),
            (self.promoted, "promoted"),
            (self.reconf_sent, "reconf_sent"),
            (self.reconf_inprog, "reconf_inprog"),
            (self.reconf_done, "reconf_done"),
            (self.force_failover, "force_failover"),
            (self.coordinated_failover, "coordinated_failover"),
            (self.script_kill_sent, "script_kill_sent"),
            (self.master_reboot, "master_reboot"),
        ];
        let mut separator = "";
        for (_, word) in words.iter().filter(|(set, _)| *set) {
            write!(f, "{separator}{word}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// What all three kinds have in common. Ages in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSummary {
    /// `name`: of the master; `ip:port` of a replica; the id of a sentinel.
    pub name: String,
    /// `ip` and `port`.
    pub address: HostPort,
    /// `runid`: empty until known; a sentinel's id.
    pub run_id: String,
    /// `flags`; `s_down`, `o_down` and `failover_in_progress` are also set by the fields that go with them.
    pub flags: Flags,
    /// `link-pending-commands`.
    pub link_pending_commands: u64,
    /// `link-refcount`: 1; of a sentinel the number of masters that share its link.
    pub link_refcount: u64,
    /// `last-ping-sent`: age of the oldest unanswered probe, 0 = none.
    pub last_ping_sent_ms: u64,
    /// `last-ok-ping-reply`: age of the last acceptable reply.
    pub last_ok_ping_reply_ms: u64,
    /// `last-ping-reply`: age of the last reply of any kind.
    pub last_ping_reply_ms: u64,
    /// `s-down-time`: for how long subjectively down; `None` = it is not.
    pub s_down_ms: Option<u64>,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
}

/// One element of `SENTINEL MASTERS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterDescription {
    /// Common fields.
    pub summary: InstanceSummary,
    /// `failover-state`; `None` = no failover runs here, and the field is left out.
    pub failover_state: Option<&'static str>,
    /// `o-down-time`; `None` = it is not objectively down.
    pub o_down_ms: Option<u64>,
    /// `info-refresh`: age of the last INFO, 0 = never.
    pub info_refresh_ms: u64,
    /// `role-reported`.
    pub role_reported: ReportedRole,
    /// `role-reported-time`: age of that role.
    pub role_reported_ms: u64,
    /// `config-epoch`.
    pub config_epoch: u64,
    /// `num-slaves`: all known ones.
    pub num_replicas: usize,
    /// `num-other-sentinels`.
    pub num_other_sentinels: usize,
    /// `quorum`.
    pub odown_quorum: u32,
    /// `failover-timeout`.
    pub failover_timeout_ms: u64,
    /// `parallel-syncs`.
    pub parallel_syncs: u32,
    /// `notification-script`, when set.
    pub notification_script: Option<String>,
    /// `client-reconfig-script`, when set.
    pub client_reconfig_script: Option<String>,
}

/// One element of `SENTINEL REPLICAS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// Common fields.
    pub summary: InstanceSummary,
    /// `info-refresh`: age of the last INFO, 0 = never.
    pub info_refresh_ms: u64,
    /// `role-reported`.
    pub role_reported: ReportedRole,
    /// `role-reported-time`: age of that role.
    pub role_reported_ms: u64,
    /// `master-link-down-time`, 0 = up.
    pub master_link_down_ms: u64,
    /// `master-link-status`: `ok` or `err`.
    pub master_link_up: bool,
    /// `master-host` and `master-port`; `None` = not known yet (`?` and 0).
    pub master: Option<HostPort>,
    /// `slave-priority`.
    pub priority: i64,
    /// `slave-repl-offset`.
    pub repl_offset: u64,
    /// `replica-announced`.
    pub announced: bool,
}

/// One element of `SENTINEL SENTINELS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelDescription {
    /// Common fields.
    pub summary: InstanceSummary,
    /// `last-hello-message`: age of the last sign of life.
    pub last_hello_ms: u64,
    /// `voted-leader`: the executor that it stands for; `None` = `?`.
    pub voted_executor: Option<String>,
    /// `voted-leader-epoch`.
    pub voted_epoch: u64,
}

/// Field/value pairs under construction.
struct Fields(Vec<(Frame, Frame)>);

impl Fields {
    fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name.into(), Frame::bulk(value)));
    }

    fn number(&mut self, name: &'static str, value: impl fmt::Display) {
        self.0.push((name.into(), Frame::bulk_number(value)));
    }

    fn optional(&mut self, name: &'static str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// The fields up to `down-after-milliseconds`, with those that only masters have in between.
    fn start(
        summary: &InstanceSummary,
        failover_state: Option<&'static str>,
        o_down_ms: Option<u64>,
    ) -> Self {
        let mut flags = summary.flags;
        flags.s_down |= summary.s_down_ms.is_some();
        flags.o_down |= o_down_ms.is_some();
        flags.failover_in_progress |= failover_state.is_some();
        let mut fields = Self(Vec::with_capacity(24));
        fields.text("name", summary.name.as_str());
        fields.text("ip", summary.address.host.as_str());
        fields.number("port", summary.address.port);
        fields.text("runid", summary.run_id.as_str());
        fields.number("flags", flags);
        fields.number("link-pending-commands", summary.link_pending_commands);
        fields.number("link-refcount", summary.link_refcount);
        fields.optional("failover-state", failover_state);
        fields.number("last-ping-sent", summary.last_ping_sent_ms);
        fields.number("last-ok-ping-reply", summary.last_ok_ping_reply_ms);
        fields.number("last-ping-reply", summary.last_ping_reply_ms);
        fields.optional("s-down-time", summary.s_down_ms);
        fields.optional("o-down-time", o_down_ms);
        fields.number("down-after-milliseconds", summary.down_after_ms);
        fields
    }

    fn reported(&mut self, info_refresh_ms: u64, role: ReportedRole, since_ms: u64) {
        self.number("info-refresh", info_refresh_ms);
        self.text("role-reported", role.wire());
        self.number("role-reported-time", since_ms);
    }
}

impl From<&MasterDescription> for Frame {
    fn from(master: &MasterDescription) -> Self {
        let mut fields = Fields::start(&master.summary, master.failover_state, master.o_down_ms);
        fields.reported(
            master.info_refresh_ms,
            master.role_reported,
            master.role_reported_ms,
        );
        fields.number("config-epoch", master.config_epoch);
        fields.number("num-slaves", master.num_replicas);
        fields.number("num-other-sentinels", master.num_other_sentinels);
        fields.number("quorum", master.odown_quorum);
        fields.number("failover-timeout", master.failover_timeout_ms);
        fields.number("parallel-syncs", master.parallel_syncs);
        fields.optional("notification-script", master.notification_script.as_deref());
        fields.optional("client-reconfig-script", master.client_reconfig_script.as_deref());
        Self::Map(fields.0)
    }
}

impl From<&ReplicaDescription> for Frame {
    fn from(replica: &ReplicaDescription) -> Self {
        let mut fields = Fields::start(&replica.summary, None, None);
        fields.reported(
            replica.info_refresh_ms,
            replica.role_reported,
            replica.role_reported_ms,
        );
        let master = replica.master.as_ref();
        let status = if replica.master_link_up { "ok" } else { "err" };
        fields.number("master-link-down-time", replica.master_link_down_ms);
        fields.text("master-link-status", status);
        fields.text("master-host", master.map_or("?", |master| &master.host));
        fields.number("master-port", master.map_or(0, |master| master.port));
        fields.number("slave-priority", replica.priority);
        fields.number("slave-repl-offset", replica.repl_offset);
        fields.number("replica-announced", u8::from(replica.announced));
        Self::Map(fields.0)
    }
}

impl From<&SentinelDescription> for Frame {
    fn from(sentinel: &SentinelDescription) -> Self {
        let mut fields = Fields::start(&sentinel.summary, None, None);
        fields.number("last-hello-message", sentinel.last_hello_ms);
        fields.text("voted-leader", sentinel.voted_executor.as_deref().unwrap_or("?"));
        fields.number("voted-leader-epoch", sentinel.voted_epoch);
        Self::Map(fields.0)
    }
}
