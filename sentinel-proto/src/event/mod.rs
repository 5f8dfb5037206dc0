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
    subject: Subject,
}

/// The addresses in a payload: they may be shown as names or as IPs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// None.
    Plain,
    /// `<instance>`, and what follows it.
    Instance(InstanceRef, String),
    /// `<master> ip <host> port <port> for <id>`.
    AddressSwitch(InstanceRef, HostPort, SentinelId),
    /// `<name> <old host> <old port> <new host> <new port>`.
    Switch(MasterName, HostPort, HostPort),
}

impl Subject {
    fn payload(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Instance(instance, rest) if rest.is_empty() => Some(instance.to_string()),
            Self::Instance(instance, rest) => Some(format!("{instance} {rest}")),
            Self::AddressSwitch(master, address, id) => Some(format!(
                "{master} ip {} port {} for {id}",
                address.host, address.port
            )),
            Self::Switch(master, old, new) => Some(format!(
                "{master} {} {} {} {}",
                old.host, old.port, new.host, new.port
            )),
        }
    }
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
            subject: Subject::Plain,
        }
    }

    fn of(name: EventName, subject: Subject, master: &MasterName) -> Self {
        let payload = subject.payload().unwrap_or_default();
        Self {
            subject,
            ..Self::new(name, payload, Some(master))
        }
    }

    /// The same with other spellings of all addresses in it.
    #[must_use]
    pub fn respelled(self, spell: &dyn Fn(&HostPort) -> HostPort) -> Self {
        let subject = match self.subject {
            Subject::Plain => Subject::Plain,
            Subject::Instance(instance, rest) => Subject::Instance(instance.respelled(spell), rest),
            Subject::AddressSwitch(master, address, id) => {
                Subject::AddressSwitch(master.respelled(spell), spell(&address), id)
            }
            Subject::Switch(master, old, new) => Subject::Switch(master, spell(&old), spell(&new)),
        };
        Self {
            payload: subject.payload().unwrap_or(self.payload),
            subject,
            ..self
        }
    }

    /// Any event whose payload is just the instance: most of the catalogue.
    #[must_use]
    pub fn about(name: EventName, instance: &InstanceRef) -> Self {
        Self::with(name, instance, "")
    }

    fn with(name: EventName, instance: &InstanceRef, rest: &str) -> Self {
        let subject = Subject::Instance(instance.clone(), rest.to_owned());
        Self::of(name, subject, instance.master_name())
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
        let subject = Subject::AddressSwitch(master.clone(), address.clone(), id.clone());
        Self::of(EventName::SentinelAddressSwitch, subject, master.master_name())
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
        let subject = Subject::Switch(master.clone(), old.clone(), new.clone());
        Self::of(EventName::SwitchMaster, subject, master)
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
