//! Taking in what an instance says about itself.

use sentinel_proto::EvidenceClass;
use sentinel_proto::event::{Event, EventName};
use sentinel_proto::info::{InstanceReport, ReportedRole};
use sentinel_proto::role::{ReplicaLink, RoleReport};
use sentinel_proto::types::HostPort;

use super::core::MonitorCore;
use super::types::{MonitorEffect, PingAnswer};
use crate::instance::{ReplicationLink, Report};
use crate::time::MonoTime;

impl MonitorCore {
    /// ROLE.
    pub(super) fn role_seen(&mut self, role: RoleReport, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        match role {
            RoleReport::Master { offset, replicas } => {
                self.report(ReportedRole::Master, None, ReplicationLink::Down, offset, now);
                self.list(
                    replicas.into_iter().map(|(address, _)| address).collect(),
                    effects,
                );
            }
            RoleReport::Replica { master, link, offset } => {
                let link = match link {
                    ReplicaLink::Connected => ReplicationLink::Up,
                    ReplicaLink::Sync => ReplicationLink::Syncing,
                    ReplicaLink::Connect | ReplicaLink::Connecting => ReplicationLink::Down,
                };
                self.report(ReportedRole::Replica, Some(master), link, offset, now);
            }
            RoleReport::Sentinel { .. } => self.observe(EvidenceClass::ErrorReply, now),
        }
    }

    /// INFO.
    pub(super) fn informed(
        &mut self,
        info: &InstanceReport,
        now: MonoTime,
        effects: &mut Vec<MonitorEffect>,
    ) {
        self.notice_emptiness(info, now);
        if let Some(run_id) = info.run_id.as_ref().filter(|id| **id != self.facts.run_id) {
            if !self.facts.run_id.is_empty() {
                effects.push(MonitorEffect::Event(Event::about(
                    EventName::Reboot,
                    &self.instance_ref(),
                )));
                let watched =
                    self.assignment.role == ReportedRole::Master && self.assignment.reboot_down_after_ms > 0;
                self.facts.rebooting_since = watched.then_some(now);
            }
            self.facts.run_id.clone_from(run_id);
        }
        match info.role {
            Some(ReportedRole::Master) => {
                let offset = info.master_repl_offset.unwrap_or(0);
                self.report(ReportedRole::Master, None, ReplicationLink::Down, offset, now);
                self.list(info.replicas.clone(), effects);
            }
            Some(ReportedRole::Replica) => self.informed_replica(info, now),
            None => {}
        }
    }

    /// A master that restarted empty must not stay master while a replica has data, which would copy the emptiness
    /// (5 s later with Redis's defaults). FLUSHALL is no restart, and a server that is still loading is not judged.
    fn notice_emptiness(&mut self, info: &InstanceReport, now: MonoTime) {
        let Some(keys) = info.keys.filter(|_| info.loading != Some(true)) else {
            return;
        };
        let restarted =
            !self.facts.run_id.is_empty() && info.run_id.as_ref().is_some_and(|id| *id != self.facts.run_id);
        let is_master =
            self.assignment.role == ReportedRole::Master && info.role == Some(ReportedRole::Master);
        if is_master && restarted && keys == 0 {
            self.facts.emptied_since = Some(now);
        }
        self.facts.keys = Some(keys);
    }

    fn informed_replica(&mut self, info: &InstanceReport, now: MonoTime) {
        let link = match (info.master_sync_in_progress, info.master_link_up) {
            (Some(true), _) => ReplicationLink::Syncing,
            (_, Some(true)) => ReplicationLink::Up,
            _ => ReplicationLink::Down,
        };
        let follows = match (&info.master_host, info.master_port) {
            (Some(host), Some(port)) => Some(HostPort::new(host.clone(), port)),
            _ => None,
        };
        self.report(
            ReportedRole::Replica,
            follows,
            link,
            info.slave_repl_offset.unwrap_or(-1),
            now,
        );
        self.facts.priority = info
            .slave_priority
            .and_then(|p| u32::try_from(p).ok())
            .unwrap_or(100);
        // -1: the link was never up since the process started (`repl_down_since` in Redis).
        let never_synced = info.master_link_up != Some(true) && info.master_link_down_since_s == Some(-1);
        self.facts.is_blank = never_synced && self.facts.keys == Some(0);
        if let Some(report) = &mut self.facts.report {
            let seconds = |s: Option<i64>| s.and_then(|s| u64::try_from(s).ok());
            report.link_down_ms = seconds(info.master_link_down_since_s)
                .unwrap_or(0)
                .saturating_mul(1_000);
            report.last_io_s = seconds(info.master_last_io_s);
            report.last_io_at = now;
        }
    }

    fn report(
        &mut self,
        role: ReportedRole,
        follows: Option<HostPort>,
        link: ReplicationLink,
        offset: i64,
        now: MonoTime,
    ) {
        let follows = self.followed(follows);
        let offset = u64::try_from(offset).ok();
        self.facts.is_blank &= link != ReplicationLink::Up;
        let before = self.facts.report.as_ref();
        let same = before.filter(|r| r.role == role);
        let offset_at = match (offset, same) {
            (Some(_), _) => now,
            // What was known while the link was up is not the last word.
            (None, Some(r)) if r.link == link => r.offset_at,
            (None, _) => MonoTime::default(),
        };
        self.facts.report = Some(Report {
            role,
            role_since: same.map_or(now, |r| r.role_since),
            follows,
            link,
            link_down_ms: before
                .filter(|_| link != ReplicationLink::Up)
                .map_or(0, |r| r.link_down_ms),
            last_io_s: before.and_then(|r| r.last_io_s),
            last_io_at: before.map_or(now, |r| r.last_io_at),
            offset: offset.unwrap_or_else(|| same.map_or(0, |r| r.offset)),
            offset_at,
            at: now,
        });
    }
}

/// sentinel.c `sentinelPingReplyCallback`: PONG, LOADING and MASTERDOWN are acceptable, all else counts as silence.
pub(super) fn classify(ping: &PingAnswer) -> EvidenceClass {
    match ping {
        Ok(text) if text.starts_with("PONG") => EvidenceClass::Alive,
        Ok(_) => EvidenceClass::ErrorReply,
        Err(text) => match text.split([' ', ':']).next().unwrap_or_default() {
            "LOADING" => EvidenceClass::Loading,
            "MASTERDOWN" => EvidenceClass::Alive,
            "BUSY" => EvidenceClass::Busy,
            "MISCONF" => EvidenceClass::PersistFail,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => EvidenceClass::Auth,
            _ => EvidenceClass::ErrorReply,
        },
    }
}
