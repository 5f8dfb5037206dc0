//! The verdict on one instance.

use sentinel_proto::EvidenceClass;
use sentinel_proto::info::ReportedRole;

use super::types::Assignment;
use crate::instance::InstanceFacts;
use crate::time::MonoTime;

/// `-BUSY` means that the server works: it gets at least this long (three times Redis's default busy threshold) ...
const BUSY_PATIENCE_MS: u64 = 15_000;
/// Refused connects needed for an early SDOWN.
pub(super) const CRASH_REFUSED_COUNT: u32 = 3;

/// Why an instance is subjectively down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No acceptable answer for down-after.
    Silence,
    /// Refused for crash-down-after.
    Crash,
    /// A master that reports to be a replica for down-after.
    WrongRole,
    /// A master that restarted and is not ready after `master-reboot-down-after-period`.
    Reboot,
}

/// A verdict, and when it could change by the passing of time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// `Some` = subjectively down.
    pub down: Option<Cause>,
    /// The next deadline; `None` = only an input can change the verdict.
    pub next: Option<MonoTime>,
}

/// Judges by the facts. Total; changes nothing. Silence counts `own_delay_ms` later: so long an answer may take within this
/// process.
#[must_use]
pub fn judge(facts: &InstanceFacts, assignment: &Assignment, own_delay_ms: u64, now: MonoTime) -> Judgement {
    let mut deadlines = Vec::with_capacity(4);
    if let Some(since) = facts.silent_since.filter(|_| facts.class != EvidenceClass::Auth) {
        let patience = match facts.class {
            EvidenceClass::Busy => assignment.down_after_ms.max(BUSY_PATIENCE_MS),
            _ => assignment.down_after_ms,
        };
        deadlines.push((since.plus(patience).plus(own_delay_ms), Cause::Silence));
        let crashed = facts.class == EvidenceClass::Refused && facts.refused_count >= CRASH_REFUSED_COUNT;
        if crashed && assignment.crash_down_after_ms > 0 {
            deadlines.push((
                facts.class_since.plus(assignment.crash_down_after_ms),
                Cause::Crash,
            ));
        }
    }
    if assignment.role == ReportedRole::Master {
        if let Some(since) = facts
            .rebooting_since
            .filter(|_| assignment.reboot_down_after_ms > 0)
        {
            deadlines.push((since.plus(assignment.reboot_down_after_ms), Cause::Reboot));
        }
        if let Some(report) = facts.report.as_ref().filter(|r| r.role == ReportedRole::Replica) {
            deadlines.push((report.role_since.plus(assignment.down_after_ms), Cause::WrongRole));
        }
    }
    match deadlines.iter().find(|(deadline, _)| *deadline <= now) {
        Some((_, cause)) => Judgement {
            down: Some(*cause),
            next: None,
        },
        None => Judgement {
            down: None,
            next: deadlines.iter().map(|(deadline, _)| *deadline).min(),
        },
    }
}
