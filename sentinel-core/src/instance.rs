//! What is known of one Redis instance at this node: facts, not judgements.

use std::sync::Arc;

use sentinel_proto::EvidenceClass;
pub use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::HostPort;
use serde::{Deserialize, Serialize};

use crate::lineage::{Kinship, Origin};
use crate::time::MonoTime;

/// State of a replica's link to its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReplicationLink {
    /// ROLE `connected`, INFO `master_link_status:up`.
    Up,
    /// In the middle of a synchronisation.
    Syncing,
    /// Anything else.
    Down,
}

/// The last report of an instance about itself, from ROLE and INFO together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Role.
    pub role: ReportedRole,
    /// Since when this role has been reported without a break.
    pub role_since: MonoTime,
    /// Replica: the master it follows; `None` for a master.
    pub follows: Option<HostPort>,
    /// Replica: its link to that master; [`ReplicationLink::Down`] for a master.
    pub link: ReplicationLink,
    /// Replica: milliseconds its link has been down, as last reported by INFO.
    pub link_down_ms: u64,
    /// Replica: seconds since the last data from its master, as last reported by INFO; `None` = unknown.
    pub last_io_s: Option<u64>,
    /// When that INFO arrived.
    pub last_io_at: MonoTime,
    /// Offset: `slave_repl_offset` or `master_repl_offset`, in bytes.
    pub offset: u64,
    /// When that offset was reported; 0 = not since the link to the master went down. ROLE does not tell the offset of
    /// a replica whose link is down (it says -1), INFO does.
    pub offset_at: MonoTime,
    /// When role and link were last reported.
    pub at: MonoTime,
}

/// Everything known of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// Address.
    pub address: HostPort,
    /// The probe link is up.
    pub connected: bool,
    /// Subjectively down since; `None` = up.
    pub sdown_since: Option<MonoTime>,
    /// Since when there is no acceptable answer; `None` = answering.
    pub silent_since: Option<MonoTime>,
    /// Last acceptable reply (creation or role change counts as one, as in Sentinel).
    pub last_ok: MonoTime,
    /// Last evidence.
    pub class: EvidenceClass,
    /// First of the present row of that class.
    pub class_since: MonoTime,
    /// Consecutive refused connects.
    pub refused_count: u32,
    /// Last report; `None` until the first.
    pub report: Option<Report>,
    /// `slave_priority` (default 100).
    pub priority: u32,
    /// `run_id`; empty until known.
    pub run_id: String,
    /// Replica: has not been in sync with a master since it started, and held no key at the last full INFO: there is
    /// nothing in it that could be saved by promoting it.
    pub is_blank: bool,
    /// Keys at the last full INFO; `None` = not known.
    pub keys: Option<u64>,
    /// Master: came back from a restart without any key, at this time. Replicas that still have data keep it only for
    /// the seconds until they copy the emptiness.
    pub emptied_since: Option<MonoTime>,
    /// Master: restarted at this time and has not answered PONG since (flag `master_reboot`); only with
    /// `master-reboot-down-after-period`.
    pub rebooting_since: Option<MonoTime>,
    /// Was told to kill its script, and has not answered properly since (flag `script_kill_sent`).
    pub script_kill_sent: bool,
    /// Where the data of the process that answers comes from; `None` = not known yet.
    pub origin: Option<Arc<Origin>>,
    /// Whether that is this group.
    pub kinship: Kinship,
}

impl InstanceFacts {
    /// An instance of which nothing is known.
    #[must_use]
    pub fn new(address: HostPort, now: MonoTime) -> Self {
        Self {
            address,
            connected: false,
            sdown_since: None,
            silent_since: None,
            last_ok: now,
            class: EvidenceClass::Unknown,
            class_since: now,
            refused_count: 0,
            report: None,
            priority: 100,
            run_id: String::new(),
            is_blank: false,
            keys: None,
            emptied_since: None,
            rebooting_since: None,
            script_kill_sent: false,
            origin: None,
            kinship: Kinship::Unknown,
        }
    }

    /// The reported role; `None` until the first report.
    #[must_use]
    pub fn role(&self) -> Option<ReportedRole> {
        self.report.as_ref().map(|r| r.role)
    }

    /// Connected, not subjectively down, and nothing pending for longer than `patience_ms`.
    #[must_use]
    pub fn is_reachable(&self, now: MonoTime, patience_ms: u64) -> bool {
        self.connected
            && self.sdown_since.is_none()
            && self
                .silent_since
                .is_none_or(|since| now.ms_since(since) <= patience_ms)
    }
}
