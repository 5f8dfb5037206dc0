//! Whether the process that answers belongs to the group: judged anew for each connection, from its first full INFO.

use std::sync::Arc;

use sentinel_proto::event::Event;
use sentinel_proto::info::{InstanceReport, ReportedRole};

use super::core::MonitorCore;
use super::types::MonitorEffect;
use crate::instance::ReplicationLink;
use crate::lineage::{Evidence, Kinship, Origin, judge};

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
    pub(super) fn review_kinship(&mut self, effects: &mut Vec<MonitorEffect>) {
        let Some(origin) = self.facts.origin.clone() else {
            self.facts.kinship = Kinship::Unknown;
            return;
        };
        let is_master = self.assignment.role == ReportedRole::Master;
        // The committed master is what the group made it, unless this node itself saw it replaced by something else.
        let adopted = is_master && self.member_run.is_none();
        self.facts.kinship = judge(&Evidence {
            origin: &origin,
            report: self.facts.report.as_ref(),
            was_member: adopted || self.member_run.as_ref() == Some(&origin.run_id),
            group: &self.assignment.group,
            lineage: &self.assignment.lineage,
            names: &self.names,
        });
        let in_place = self.facts.report.as_ref().is_some_and(|r| match r.role {
            ReportedRole::Master => is_master,
            ReportedRole::Replica => {
                let follows = r.follows.as_ref() == Some(&self.assignment.master_address);
                !is_master && follows && r.link == ReplicationLink::Up
            }
        });
        if in_place && self.facts.kinship == Kinship::Ours && self.member_run.as_ref() != Some(&origin.run_id)
        {
            self.member_run = Some(origin.run_id.clone());
        }
        if let Kinship::Foreign(sign) = self.facts.kinship {
            if self.warned_run.as_ref() != Some(&origin.run_id) {
                self.warned_run = Some(origin.run_id.clone());
                let event = Event::foreign_instance(&self.instance_ref(), sign.text());
                effects.push(MonitorEffect::Event(event));
            }
        }
    }
}
