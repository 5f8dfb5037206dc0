//! Sentinel's events: names, levels and payloads, byte for byte.
//!
//! An event is logged as `NAME PAYLOAD`, published on the channel called like it (except debug events),
//! and, when it is a warning about an instance, given to the notification script.
//! Clients parse the payloads by splitting at single spaces: nothing here may change.

mod instance;
mod name;

use std::fmt;

pub use instance::InstanceRef;
pub use name::{EventName, Level};

use crate::info::ReportedRole;
use crate::types::{HostPort, MasterName, SentinelId};

/// One event, ready to log and publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which one; also the channel.
    pub name: EventName,
    /// What follows the name in the log, and the message on the channel.
    pub payload: String,
    /// Severity; debug events are logged but not published.
    pub level: Level,
    /// The group whose notification script may be called; `None` for events without an instance.
    pub master: Option<MasterName>,
}

impl fmt::Display for Event {
    /// The log line's text: `+sdown master m 127.0.0.1 6379`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.payload)
    }
}

impl Event {
    fn new(name: EventName, payload: String, master: Option<&MasterName>) -> Self {
        Self {
            name,
            payload,
            level: name.level(),
            master: master.cloned(),
        }
    }

    /// Any event whose payload is just the instance: most of the catalogue.
    #[must_use]
    pub fn about(name: EventName, instance: &InstanceRef) -> Self {
        Self::new(name, instance.to_string(), Some(instance.master_name()))
    }

    fn with(name: EventName, instance: &InstanceRef, rest: &str) -> Self {
        Self::new(name, format!("{instance} {rest}"), Some(instance.master_name()))
    }

    /// True when subscribers get it.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.level != Level::Debug
    }

    /// True when the master's notification script is called for it.
    #[must_use]
    pub fn calls_notification_script(&self) -> bool {
        self.level == Level::Warning && self.master.is_some()
    }

    /// `+monitor`: at start for each master, and after `SENTINEL MONITOR`.
    #[must_use]
    pub fn monitor(master: &InstanceRef, odown_quorum: u32) -> Self {
        Self::with(EventName::Monitor, master, &format!("quorum {odown_quorum}"))
    }

    /// `+set`: one applied pair of `SENTINEL SET`. The caller hides passwords, see [`Event::HIDDEN_VALUE`].
    #[must_use]
    pub fn set(master: &InstanceRef, option: &str, values: &[&str]) -> Self {
        let rest = format!("{option} {}", values.join(" "));
        Self::with(EventName::Set, master, &rest)
    }

    /// What `+set` shows instead of a password.
    pub const HIDDEN_VALUE: &str = "******";

    /// `+sentinel-address-switch`: a known id at a new address.
    #[must_use]
    pub fn sentinel_address_switch(master: &InstanceRef, address: &HostPort, id: &SentinelId) -> Self {
        let rest = format!("ip {} port {} for {id}", address.host, address.port);
        Self::with(EventName::SentinelAddressSwitch, master, &rest)
    }

    /// `+sentinel-address-update`: the same, copied to `count` other groups.
    #[must_use]
    pub fn sentinel_address_update(sentinel: &InstanceRef, count: usize) -> Self {
        let rest = format!("{count} additional matching instances");
        Self::with(EventName::SentinelAddressUpdate, sentinel, &rest)
    }

    /// `+role-change` when the reported role agrees with the committed one, else `-role-change`.
    #[must_use]
    pub fn role_change(instance: &InstanceRef, reported: ReportedRole, agrees: bool) -> Self {
        let name = if agrees {
            EventName::RoleChange
        } else {
            EventName::RoleChangeWrong
        };
        let rest = format!("new reported role is {}", reported.wire());
        Self::with(name, instance, &rest)
    }

    /// `+odown`: `agreeing` sentinels of at least `odown_quorum`.
    #[must_use]
    pub fn odown(master: &InstanceRef, agreeing: usize, odown_quorum: u32) -> Self {
        let rest = format!("#quorum {agreeing}/{odown_quorum}");
        Self::with(EventName::Odown, master, &rest)
    }

    /// `+new-epoch`: the current epoch rose, for a failover of `master`.
    #[must_use]
    pub fn new_epoch(master: &MasterName, current_epoch: u64) -> Self {
        Self::new(EventName::NewEpoch, current_epoch.to_string(), Some(master))
    }

    /// `+vote-for-leader`: the executor of a failover epoch was committed.
    #[must_use]
    pub fn vote_for_leader(master: &MasterName, executor: &SentinelId, failover_epoch: u64) -> Self {
        Self::new(
            EventName::VoteForLeader,
            format!("{executor} {failover_epoch}"),
            Some(master),
        )
    }

    /// `+switch-master`: the event that clients follow. Five words, no type word.
    #[must_use]
    pub fn switch_master(master: &MasterName, old: &HostPort, new: &HostPort) -> Self {
        Self::new(
            EventName::SwitchMaster,
            format!("{master} {} {} {} {}", old.host, old.port, new.host, new.port),
            Some(master),
        )
    }

    /// `+foreign-instance` (ours): the server is left alone, because of `sign`; what the operator can do about it.
    #[must_use]
    pub fn foreign_instance(instance: &InstanceRef, sign: &str) -> Self {
        let rest = format!(
            "#{sign}: it is not touched. If it belongs here, let it follow the master by hand (REPLICAOF); else \
             give it another address, then SENTINEL RESET"
        );
        Self::with(EventName::ForeignInstance, instance, &rest)
    }

    /// `+foreign-sentinel` (ours): it is not believed; what the operator can do about it.
    #[must_use]
    pub fn foreign_sentinel(sentinel: &InstanceRef) -> Self {
        let rest = "#not of this group: its messages are ignored, but it may fail this master over by itself. Stop it, \
                    or its watch of this master";
        Self::with(EventName::ForeignSentinel, sentinel, rest)
    }

    /// `+tilt`.
    #[must_use]
    pub fn tilt_entered() -> Self {
        Self::new(EventName::Tilt, "#tilt mode entered".to_owned(), None)
    }

    /// `-tilt`.
    #[must_use]
    pub fn tilt_exited() -> Self {
        Self::new(EventName::TiltEnd, "#tilt mode exited".to_owned(), None)
    }

    /// `-script-error`; signal 99 and exit status 0 mean that the fork failed.
    #[must_use]
    pub fn script_error(path: &str, signal: i32, exit_status: i32) -> Self {
        let payload = format!("{path} {signal} {exit_status}");
        Self::new(EventName::ScriptError, payload, None)
    }

    /// `-script-timeout`.
    #[must_use]
    pub fn script_timeout(path: &str, pid: u32) -> Self {
        Self::new(EventName::ScriptTimeout, format!("{path} {pid}"), None)
    }

    /// `+script-child` (debug).
    #[must_use]
    pub fn script_started(pid: u32) -> Self {
        Self::new(EventName::ScriptChild, pid.to_string(), None)
    }

    /// `-script-child` (debug).
    #[must_use]
    pub fn script_ended(pid: u32, exit_status: i32, signal: i32) -> Self {
        let payload = format!("{pid} {exit_status} {signal}");
        Self::new(EventName::ScriptChildEnd, payload, None)
    }

    /// `-cmd-link-reconnection` or `-pubsub-link-reconnection` (debug).
    #[must_use]
    pub fn link_failed(instance: &InstanceRef, pubsub: bool, reason: &str) -> Self {
        let name = if pubsub {
            EventName::PubsubLinkReconnection
        } else {
            EventName::CmdLinkReconnection
        };
        Self::with(name, instance, &format!("#{reason}"))
    }
}

#[cfg(test)]
mod tests;
