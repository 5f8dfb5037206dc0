//! Inputs and effects of a monitor.

use std::collections::BTreeSet;
use std::sync::Arc;

use sentinel_proto::EvidenceClass;
use sentinel_proto::event::Event;
use sentinel_proto::info::{InstanceReport, ReportedRole};
use sentinel_proto::role::RoleReport;
use sentinel_proto::types::{HostPort, MasterName};

use crate::lineage::Lineage;
use crate::names::Names;
use crate::time::MonoTime;

/// Probes are at most this far apart, in milliseconds (Sentinel's ping period).
pub(super) const MAX_PROBE_PERIOD_MS: u64 = 1_000;
/// ... and, while something is suspect, this far.
pub(super) const SUSPECT_PROBE_PERIOD_MS: u64 = 100;
/// Never faster: a probe costs about 0.1 ms of CPU at both ends.
const MIN_PROBE_PERIOD_MS: u64 = 10;

/// Milliseconds between probes for a `down-after-milliseconds`: a tenth, so that a hang is noticed at most 10 % late.
#[must_use]
pub fn probe_period_ms(down_after_ms: u64) -> u64 {
    (down_after_ms / 10).clamp(MIN_PROBE_PERIOD_MS, MAX_PROBE_PERIOD_MS)
}

/// What the committed state says about the instance, and how closely to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Group.
    pub master: MasterName,
    /// The group's committed master.
    pub master_address: HostPort,
    /// Role this instance should have.
    pub role: ReportedRole,
    /// Config epoch of the group: a new one starts evidence afresh.
    pub config_epoch: u64,
    /// `down-after-milliseconds`.
    pub down_after_ms: u64,
    /// `crash-down-after-milliseconds`; 0 = off.
    pub crash_down_after_ms: u64,
    /// `master-reboot-down-after-period`; 0 = off.
    pub reboot_down_after_ms: u64,
    /// All addresses of the group as the log spells them, the master's among them.
    pub group: Arc<BTreeSet<HostPort>>,
    /// How its servers are told from foreign ones.
    pub lineage: Arc<Lineage>,
    /// The group is suspect or has an open plan: probe fast and poll replication state.
    pub attention: bool,
}

/// Why a link could not be made or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFailure {
    /// ECONNREFUSED, or a reset while connecting.
    Refused,
    /// EHOSTUNREACH, ENETUNREACH and the like.
    Unreachable,
    /// TCP did not connect within its deadline.
    ConnectTimeout,
    /// TCP connected, but the handshake was not answered.
    HandshakeTimeout,
    /// WRONGPASS, NOAUTH, NOPERM.
    Auth,
    /// Answered with something that is not RESP, or with an error to the handshake.
    Protocol,
    /// An established link ended.
    Closed,
}

impl LinkFailure {
    /// The evidence it is.
    #[must_use]
    pub fn class(self) -> EvidenceClass {
        match self {
            Self::Refused => EvidenceClass::Refused,
            Self::Unreachable => EvidenceClass::Unreachable,
            Self::ConnectTimeout | Self::Closed => EvidenceClass::Silent,
            Self::HandshakeTimeout => EvidenceClass::Hung,
            Self::Auth => EvidenceClass::Auth,
            Self::Protocol => EvidenceClass::ErrorReply,
        }
    }
}

impl LinkFailure {
    /// The system's text, when it refused to connect at once.
    #[must_use]
    pub fn at_once(self) -> Option<&'static str> {
        match self {
            Self::Refused => Some("Connection refused"),
            Self::Unreachable => Some("No route to host"),
            _ => None,
        }
    }
}

/// Answer to PING: `Ok` = the status text, `Err` = the error text with its code first.
pub type PingAnswer = Result<String, String>;

/// Answer to ROLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleAnswer {
    /// Not asked.
    NotAsked,
    /// NOPERM or unknown command: not asked again on this link; INFO is polled instead.
    Refused,
    /// Not usable (LOADING and the like).
    Unusable,
    /// A role.
    Role(RoleReport),
}

/// What a monitor is told.
#[derive(Debug, Clone)]
pub enum MonitorInput {
    /// The committed state or the attention changed.
    Assigned(Assignment),
    /// The probe link is up, handshake done.
    LinkUp {
        /// Of the `Connect`.
        generation: u64,
    },
    /// The probe link failed or ended.
    LinkFailed {
        /// Of the `Connect`.
        generation: u64,
        /// Why.
        failure: LinkFailure,
    },
    /// A probe was answered.
    Probed {
        /// Link it was sent on.
        generation: u64,
        /// PING.
        ping: PingAnswer,
        /// ROLE.
        role: RoleAnswer,
    },
    /// `INFO replication` arrived (on the command link, or with an operation).
    Info(Box<InstanceReport>),
    /// INFO with all sections arrived, with its text for `SENTINEL INFO-CACHE`.
    FullInfo(Box<InstanceReport>, Arc<str>),
    /// What host names resolve to changed.
    Names(Arc<Names>),
    /// ROLE arrived with an operation.
    RoleSeen(RoleReport),
    /// The answer to `KillScript`: `false` = it was not sent, for want of a majority.
    ScriptKill {
        /// Sent, whatever came of it.
        sent: bool,
    },
    /// The deadline asked for with [`super::MonitorCore::poll_timeout`] passed.
    Timer,
}

/// What a monitor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorEffect {
    /// Connect the probe link; answer with `LinkUp` or `LinkFailed`.
    Connect {
        /// To be repeated in the answers.
        generation: u64,
        /// Deadline for TCP and handshake together, in milliseconds.
        timeout_ms: u64,
    },
    /// Close the probe link.
    Disconnect,
    /// Send PING and, when `with_role`, ROLE.
    SendProbe {
        /// Of the link.
        generation: u64,
        /// Ask for the role too.
        with_role: bool,
    },
    /// Ask for INFO; `full` = all sections, else `replication` only.
    SendInfo {
        /// All sections.
        full: bool,
    },
    /// Send SCRIPT KILL, as long as a majority stands behind this node; answer with `ScriptKill`.
    KillScript,
    /// Publish.
    Event(Event),
    /// The facts changed in a way that others decide on.
    Changed,
    /// The master lists these replicas.
    ReplicasListed(Vec<HostPort>),
    /// Look up this host name, or again when that was long ago: the instance reported it.
    LookUp(String),
}

/// When something is next due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) next_probe: MonoTime,
    pub(super) next_info: MonoTime,
}
