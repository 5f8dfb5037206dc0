//! The state machine of one monitor.

use std::collections::BTreeSet;
use std::sync::Arc;

use sentinel_proto::EvidenceClass;
use sentinel_proto::event::{Event, EventName, InstanceRef};
use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::HostPort;

use super::judge::judge;
use super::periods::Periods;
use super::reports::classify;
use super::types::{Assignment, LinkFailure, MonitorEffect, MonitorInput, PingAnswer, RoleAnswer, Schedule};
use crate::instance::InstanceFacts;
use crate::names::Names;
use crate::time::MonoTime;

/// Pause between connects to an instance that went away less than a minute ago.
const RECONNECT_MS: u64 = 100;
/// ... and to one that has been away for longer.
const RECONNECT_SLOW_MS: u64 = 250;
const RECONNECT_SLOW_AFTER_MS: u64 = 60_000;
/// A wrong password does not become right by hurry.
const RECONNECT_AUTH_MS: u64 = 1_000;
/// In TILT no verdict changes; this often is looked whether it is over.
const TILT_POLL_MS: u64 = 100;

/// After this long the replicas have copied the emptiness: there is nothing left to save.
const EMPTIED_MS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Waiting { retry_at: MonoTime },
    Connecting,
    Up,
}

/// See the module's description.
#[derive(Debug)]
pub struct MonitorCore {
    pub(super) facts: InstanceFacts,
    pub(super) assignment: Assignment,
    /// The role last heard, or given since: as in Sentinel, where a switch makes a new entry.
    role_taken: ReportedRole,
    pub(super) periods: Periods,
    pub(super) in_tilt: bool,
    assigned_at: MonoTime,
    pub(super) link: Link,
    pub(super) kill_not_before: MonoTime,
    /// `-cmd-link-reconnection` was said since the link was last up.
    said_failing: bool,
    pub(super) generation: u64,
    /// Oldest probe without an acceptable answer; survives reconnects.
    pub(super) pending_since: Option<MonoTime>,
    /// When the probe that is on its way on the present link was sent.
    pub(super) in_flight: Option<MonoTime>,
    pub(super) role_refused: bool,
    /// Failures since a probe was last answered.
    pub(super) failures: u32,
    pub(super) schedule: Schedule,
    pub(super) listed: Vec<HostPort>,
    pub(super) names: Arc<Names>,
    /// The replicas that the instance lists, and the master that it follows, as it spells them.
    pub(super) listed_raw: Vec<HostPort>,
    pub(super) followed_raw: Option<HostPort>,
    /// Host names that were reported in this step.
    pub(super) reported_hosts: BTreeSet<String>,
    pub(super) last_reply: MonoTime,
    /// Until when it refused our credentials: who says no is there.
    pub(super) last_refusal: MonoTime,
    pub(super) info_at: Option<MonoTime>,
    pub(super) info_text: Option<Arc<str>>,
    pub(super) announced: bool,
    /// `run_id` of the last process that was seen in its place in the group.
    pub(super) member_run: Option<String>,
    /// Since when the process is judged foreign.
    pub(super) foreign_since: Option<MonoTime>,
    /// `run_id` of the last foreign process that was warned of.
    pub(super) warned_run: Option<String>,
    /// All of INFO is wanted once: the link is new, and who answers may be another process than before, or something is
    /// wrong with the master, and what this server holds decides what is done.
    wants_all: bool,
    /// Wake-up asked for last, to notice stalls.
    pub(super) expected_wake: Option<MonoTime>,
    pub(super) last_step: MonoTime,
    /// How late wake-ups are at present.
    pub(super) lag_ms: u64,
}

impl MonitorCore {
    /// A monitor that connects at its first timer.
    #[must_use]
    pub fn new(address: HostPort, assignment: Assignment, now: MonoTime) -> Self {
        Self {
            facts: InstanceFacts::new(address, now),
            role_taken: assignment.role,
            assignment,
            periods: Periods::default(),
            in_tilt: false,
            assigned_at: now,
            link: Link::Waiting { retry_at: now },
            kill_not_before: now,
            said_failing: false,
            generation: 0,
            pending_since: None,
            in_flight: None,
            role_refused: false,
            failures: 0,
            schedule: Schedule {
                next_probe: now,
                next_info: now,
            },
            listed: Vec::new(),
            names: Arc::default(),
            listed_raw: Vec::new(),
            followed_raw: None,
            reported_hosts: BTreeSet::new(),
            last_reply: now,
            last_refusal: now,
            info_at: None,
            info_text: None,
            announced: true,
            member_run: None,
            foreign_since: None,
            warned_run: None,
            wants_all: true,
            expected_wake: None,
            last_step: now,
            lag_ms: 0,
        }
    }

    /// Takes one input at `now`.
    pub fn step(&mut self, now: MonoTime, input: MonitorInput, effects: &mut Vec<MonitorEffect>) {
        let before = self.facts.clone();
        let timer = matches!(input, MonitorInput::Timer);
        self.forgive_stall(now, timer);
        match input {
            MonitorInput::Assigned(assignment) => {
                let respell = assignment.group != self.assignment.group;
                self.assign(assignment, now);
                if respell {
                    self.take_names(Arc::clone(&self.names), effects);
                }
            }
            MonitorInput::LinkUp { generation } if generation == self.generation => self.link_up(now),
            MonitorInput::LinkFailed { generation, failure } if generation == self.generation => {
                self.announce_failure(failure, effects);
                self.link_failed(failure, now);
            }
            MonitorInput::Probed {
                generation,
                ping,
                role,
            } if generation == self.generation => {
                self.probed(&ping, role, now, effects);
            }
            MonitorInput::Info(report) => {
                self.note_origin(&report, false);
                self.informed(&report, now, effects);
            }
            MonitorInput::FullInfo(report, text) => {
                self.info_at = Some(now);
                self.wants_all = false;
                self.info_text = Some(text);
                self.announced = report.replica_announced.unwrap_or(true);
                self.note_origin(&report, true);
                self.informed(&report, now, effects);
            }
            MonitorInput::RoleSeen(role) => self.role_seen(role, now, effects),
            MonitorInput::ScriptKill { sent } => self.script_kill(sent, now),
            MonitorInput::Names(names) => self.take_names(names, effects),
            MonitorInput::LinkUp { .. }
            | MonitorInput::LinkFailed { .. }
            | MonitorInput::Probed { .. }
            | MonitorInput::Timer => {}
        }
        self.review_kinship(now, effects);
        // What else is known does not make an answer late: that is for the timer, which looks for answers first.
        let may_judge = timer || !self.is_answer_overdue(now);
        if may_judge {
            self.act(now, effects);
        }
        self.update_silence(now);
        self.kill_script(now, effects);
        if may_judge {
            self.judge(now, effects);
        }
        self.announce_role(now, effects);
        let reported = std::mem::take(&mut self.reported_hosts);
        effects.extend(reported.into_iter().map(MonitorEffect::LookUp));
        if self.facts != before {
            effects.push(MonitorEffect::Changed);
        }
        self.expected_wake = self.poll_timeout(now);
        self.last_step = now;
    }

    /// When to be called with [`MonitorInput::Timer`] next; always in the future or now.
    #[must_use]
    pub fn poll_timeout(&self, now: MonoTime) -> Option<MonoTime> {
        let link = match self.link {
            Link::Waiting { retry_at } => Some(retry_at),
            Link::Connecting => None,
            Link::Up => match self.in_flight {
                Some(sent) => Some(sent.plus(self.abandon_after_ms())),
                None => Some(self.schedule.next_probe),
            },
        };
        let info = (self.link == Link::Up).then_some(self.schedule.next_info);
        let suspicion = self
            .silence_start()
            .filter(|_| self.facts.silent_since.is_none())
            .map(|since| since.plus(self.suspicion_ms()));
        let verdict = match self.facts.sdown_since {
            _ if self.in_tilt => Some(now.plus(TILT_POLL_MS)),
            Some(_) => None,
            None => {
                let judgement = judge(&self.facts, &self.assignment, self.own_delay_ms(), now);
                judgement.down.map(|_| now).or(judgement.next)
            }
        };
        [link, info, suspicion, verdict]
            .into_iter()
            .flatten()
            .min()
            .map(|t| t.max(now))
    }

    fn assign(&mut self, assignment: Assignment, now: MonoTime) {
        let afresh = assignment.role != self.assignment.role
            || assignment.config_epoch != self.assignment.config_epoch
            || assignment.master_address != self.assignment.master_address;
        let hurry = assignment.attention && !self.assignment.attention;
        if assignment.role != self.assignment.role {
            self.role_taken = assignment.role;
        }
        self.assignment = assignment;
        if afresh {
            self.assigned_at = now;
            self.facts.sdown_since = None;
            self.facts.last_ok = now;
            self.facts.silent_since = None;
            self.facts.class_since = now;
            self.facts.refused_count = 0;
            self.facts.emptied_since = None;
            self.facts.rebooting_since = None;
            self.facts.script_kill_sent = false;
            self.pending_since = self.pending_since.map(|_| now);
            self.listed.clear();
            if let Some(report) = &mut self.facts.report {
                report.role_since = now;
            }
        }
        self.wants_all |= hurry;
        if hurry || afresh {
            self.schedule = Schedule {
                next_probe: now,
                next_info: now,
            };
            if let Link::Waiting { retry_at } = &mut self.link {
                *retry_at = (*retry_at).min(now.plus(RECONNECT_MS));
            }
        }
    }

    fn link_up(&mut self, now: MonoTime) {
        self.link = Link::Up;
        self.facts.connected = true;
        self.said_failing = false;
        self.in_flight = None;
        self.role_refused = false;
        self.forget_origin();
        self.wants_all = true;
        self.schedule = Schedule {
            next_probe: now,
            next_info: now,
        };
    }

    fn link_failed(&mut self, failure: LinkFailure, now: MonoTime) {
        let was_up = self.link == Link::Up;
        self.facts.connected = false;
        self.in_flight = None;
        if !was_up || failure != LinkFailure::Closed {
            self.observe(failure.class(), now);
        }
        if failure == LinkFailure::Refused {
            self.facts.refused_count = self.facts.refused_count.saturating_add(1);
        }
        if failure == LinkFailure::Auth {
            self.pending_since = None;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = match failure {
            // The first try after a loss is made at once: a restarted or killed link costs no detection time.
            LinkFailure::Closed if was_up && self.failures <= 1 => 0,
            LinkFailure::Auth => RECONNECT_AUTH_MS,
            _ => self.reconnect_ms(now),
        };
        self.link = Link::Waiting {
            retry_at: now.plus(pause),
        };
    }

    /// Sentinel's debug event, once until the link is up again.
    fn announce_failure(&mut self, failure: LinkFailure, effects: &mut Vec<MonitorEffect>) {
        if let Some(reason) = failure.at_once().filter(|_| !self.said_failing) {
            self.said_failing = true;
            let event = Event::link_failed(&self.instance_ref(), false, reason);
            effects.push(MonitorEffect::Event(event));
        }
    }

    fn reconnect_ms(&self, now: MonoTime) -> u64 {
        if now.ms_since(self.facts.last_ok) > RECONNECT_SLOW_AFTER_MS {
            return RECONNECT_SLOW_MS;
        }
        match self.assignment.crash_down_after_ms {
            0 => RECONNECT_MS,
            crash => (crash / 4).clamp(10, RECONNECT_MS),
        }
    }

    fn probed(
        &mut self,
        ping: &PingAnswer,
        role: RoleAnswer,
        now: MonoTime,
        effects: &mut Vec<MonitorEffect>,
    ) {
        self.in_flight = None;
        self.failures = 0;
        self.last_reply = now;
        let class = classify(ping);
        if self.facts.class == EvidenceClass::Loading && class == EvidenceClass::Alive {
            // Now it can be said what it has loaded.
            self.schedule.next_info = now;
        }
        self.observe(class, now);
        let emptied = self.facts.emptied_since;
        self.facts.emptied_since = emptied.filter(|since| now.ms_since(*since) < EMPTIED_MS);
        match class {
            EvidenceClass::Alive | EvidenceClass::Loading => {
                self.facts.last_ok = now;
                self.pending_since = None;
                self.facts.script_kill_sent = false;
            }
            EvidenceClass::Auth => self.pending_since = None,
            _ => {}
        }
        // Sentinel: only a real PONG, neither LOADING nor MASTERDOWN, ends a reboot.
        if class == EvidenceClass::Alive && ping.is_ok() {
            self.facts.rebooting_since = None;
        }
        match role {
            RoleAnswer::Role(role) => self.role_seen(role, now, effects),
            RoleAnswer::Refused => self.role_refused = true,
            RoleAnswer::NotAsked | RoleAnswer::Unusable => {}
        }
    }

    pub(super) fn observe(&mut self, class: EvidenceClass, now: MonoTime) {
        // Between two refusals nothing was asked: what comes after the last one starts a new silence.
        if [class, self.facts.class].contains(&EvidenceClass::Auth) {
            self.last_refusal = now;
        }
        if self.facts.class != class {
            self.facts.class = class;
            self.facts.class_since = now;
        }
        if class != EvidenceClass::Refused {
            self.facts.refused_count = 0;
        }
    }

    /// Connects, probes, asks for INFO, abandons a link that does not answer: whatever is due.
    fn act(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        let stuck = self
            .in_flight
            .is_some_and(|sent| now >= sent.plus(self.abandon_after_ms()));
        if self.link == Link::Up && stuck {
            // It may be the connection that is dead, not the instance: try another one while the clock runs on.
            self.observe(EvidenceClass::Hung, now);
            self.facts.connected = false;
            self.in_flight = None;
            self.link = Link::Waiting { retry_at: now };
            effects.push(MonitorEffect::Disconnect);
        }
        match self.link {
            Link::Waiting { retry_at } if retry_at <= now => {
                self.link = Link::Connecting;
                self.generation = self.generation.saturating_add(1);
                let timeout_ms = self.abandon_after_ms().clamp(100, 2_000);
                effects.push(MonitorEffect::Connect {
                    generation: self.generation,
                    timeout_ms,
                });
            }
            Link::Up => self.ask(now, effects),
            Link::Waiting { .. } | Link::Connecting => {}
        }
    }

    fn ask(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        if self.in_flight.is_none() && self.schedule.next_probe <= now {
            self.in_flight = Some(now);
            self.pending_since = self.pending_since.or(Some(now));
            self.schedule.next_probe = now.plus(self.period_ms());
            let with_role = !self.role_refused;
            effects.push(MonitorEffect::SendProbe {
                generation: self.generation,
                with_role,
            });
        }
        if self.schedule.next_info <= now {
            let due = self
                .info_at
                .is_none_or(|at| now.ms_since(at) >= self.periods.info_ms);
            let stranger = self.facts.origin.is_none();
            let full = due || self.wants_all || stranger || !self.watching();
            self.schedule.next_info = now.plus(self.info_period_ms());
            effects.push(MonitorEffect::SendInfo { full });
        }
    }

    fn watching(&self) -> bool {
        self.assignment.attention || self.role_refused
    }

    /// A probe that is unanswered for this long makes the instance suspect.
    pub(super) fn suspicion_ms(&self) -> u64 {
        self.period_ms().clamp(50, self.assignment.down_after_ms.max(50))
    }

    fn abandon_after_ms(&self) -> u64 {
        (self.assignment.down_after_ms / 2)
            .max(20)
            .saturating_add(self.own_delay_ms())
    }

    fn judge(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        if self.in_tilt {
            return;
        }
        let verdict = judge(&self.facts, &self.assignment, self.own_delay_ms(), now);
        let name = match (verdict.down, self.facts.sdown_since) {
            (Some(_), None) => {
                self.facts.sdown_since = Some(now);
                EventName::Sdown
            }
            (None, Some(_)) => {
                self.facts.sdown_since = None;
                EventName::SdownEnd
            }
            _ => return,
        };
        effects.push(MonitorEffect::Event(Event::about(name, &self.instance_ref())));
    }

    /// A role that differs from the one last heard, or from the one that it was given since.
    fn announce_role(&mut self, now: MonoTime, effects: &mut Vec<MonitorEffect>) {
        let Some(report) = self.facts.report.as_ref().filter(|r| r.at == now) else {
            return;
        };
        let is = report.role;
        if self.role_taken != is {
            self.role_taken = is;
            let agrees = is == self.assignment.role;
            let event = Event::role_change(&self.instance_ref(), is, agrees);
            effects.push(MonitorEffect::Event(event));
        }
    }

    pub(super) fn instance_ref(&self) -> InstanceRef {
        let Assignment {
            master,
            master_address,
            role,
            ..
        } = &self.assignment;
        match role {
            ReportedRole::Master => InstanceRef::master(master, &self.facts.address),
            ReportedRole::Replica => InstanceRef::replica(&self.facts.address, master, master_address),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
