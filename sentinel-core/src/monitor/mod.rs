//! Watches one instance: when to connect, probe and ask for INFO, what the answers mean, and whether the instance is
//! subjectively down.
//!
//! ```text
//!            Connect             LinkUp              SendProbe / Probe
//!   Waiting ---------> Connecting ------> Up (probe every down-after/10, at most 1 s apart)
//!      ^  retry 0, 100 ms ..   | failed     | closed, or a probe unanswered for down-after/2
//!      +-----------------------+------------+
//! ```
//!
//! * The silence clock runs from the first probe without an acceptable answer, or, with no probe pending on a broken
//!   link, from the last acceptable answer (sentinel.c `sentinelCheckSubjectivelyDown`). SDOWN fires at the exact
//!   deadline, not at a tick.
//! * Evidence starts afresh when the instance's committed role or config epoch changes, so a new master is never
//!   judged by what was seen of it before.
//! * Time during which this process itself did not run is not silence of the instance: the clock is moved by the gap.
//! * Addresses that the instance reports are brought into the spelling of the log: see [`crate::names`].
//! * `auth` evidence never counts as down, and silence is counted from the last refusal: who refuses is there;
//!   `busy` has a deadline of its own; an early SDOWN by `refused` needs `crash-down-after-milliseconds`.
//!
//! Deviation from Sentinel: probes carry ROLE beside PING, so that a role change is seen at once, not by the next INFO.

mod access;
mod busy;
mod core;
mod judge;
mod kinship;
mod periods;
mod reports;
mod silence;
mod spelling;
mod types;

pub use self::core::MonitorCore;
pub use judge::{Cause, Judgement, judge};
pub use periods::Periods;
pub use types::{
    Assignment, LinkFailure, MonitorEffect, MonitorInput, PingAnswer, RoleAnswer, probe_period_ms,
};
