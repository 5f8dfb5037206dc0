//! Whether the process that answers belongs to the group: judged anew for each connection, from its first full INFO.

use std::sync::Arc;

use sentinel_proto::event::Event;
use sentinel_proto::info::{InstanceReport, ReportedRole};

use super::core::MonitorCore;
use super::types::MonitorEffect;
use crate::instance::ReplicationLink;
use crate::lineage::{Evidence, Kinship, Origin, judge};
use crate::time::MonoTime;

/// A server is left alone at once; said is it after this long: a node that just started may not have applied yet what
/// made the server one of the group, milliseconds.
const WARN_AFTER_MS: u64 = 1_000;

impl MonitorCore {
    /// A new connection: it may lead to another process than the last.
    pub(super) fn forget_origin(&mut self) {
        self.facts.origin = None;
        self.facts.kinship = Kinship::Unknown;
    }

    /// INFO; `full` = with all sections.
    pub(super) fn note_origin(&mut self, info: &InstanceReport, full: bool) {
        if full {
            let origin = Origin::of(info, self.assignment.role);
            if origin.as_ref() != self.facts.origin.as_deref() {
                self.facts.origin = origin.map(Arc::new);
            }
        } else if let Some(origin) = &mut self.facts.origin {
            let mut newer = Origin::clone(origin);
            newer.update(info);
            if newer != **origin {
                *origin = Arc::new(newer);
            }
        }
    }

    /// Judges by what is known now, remembers members, and warns of a foreign server, once per process.
    pub(super) fn review_kinship(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        let Some(origin) = self.facts.origin.clone() else {
            self.facts.kinship = Kinship::Unknown;
            self.foreign_since = None;
            return;
        };
        let is_master = self.assignment.role == ReportedRole::Master;
        // The committed master is what the group made it, unless this node itself saw it replaced by something else.
        let adopted = is_master && self.member_run.is_none();
        let known = self.member_run.as_ref() == Some(&origin.run_id);
        let in_sync = !is_master && self.is_in_sync();
        self.facts.kinship = judge(&Evidence {
            origin: &origin,
            report: self.facts.report.as_ref(),
            is_member: adopted || known || in_sync,
            group: &self.assignment.group,
            lineage: &self.assignment.lineage,
            names: &self.names,
        });
        let role = self.facts.report.as_ref().map(|report| report.role);
        let in_place = in_sync || is_master && role == Some(ReportedRole::Master);
        if in_place && self.facts.kinship == Kinship::Ours && !known {
            self.member_run = Some(origin.run_id.clone());
        }
        let Kinship::Foreign(sign) = self.facts.kinship else {
            self.foreign_since = None;
            return;
        };
        let since = *self.foreign_since.get_or_insert(now);
        if now.ms_since(since) >= WARN_AFTER_MS && self.warned_run.as_ref() != Some(&origin.run_id) {
            self.warned_run = Some(origin.run_id.clone());
            let event = Event::foreign_instance(&self.instance_ref(), sign.text());
            effects.push(MonitorEffect::Event(event));
        }
    }

    fn is_in_sync(&self) -> bool {
        let master = &self.assignment.master_address;
        self.facts.report.as_ref().is_some_and(|report| {
            let follows = report.role == ReportedRole::Replica && report.follows.as_ref() == Some(master);
            follows && report.link == ReplicationLink::Up
        })
    }
}
