//! The content of the Raft log: state, commands and their deterministic application.
//!
//! ```text
//! Command --apply(&mut State, index)--> Outcome + Vec<Change>
//!
//! plan of a group:   (none) --Open--> Opened --Choose--> Chosen --Switch--> Switched --Close--> (none, history)
//!                                        \________________/ Close(abandoned)
//!                                         any phase: Reassign (another executor, next generation)
//! ```
//!
//! Invariants (DESIGN.md section 6):
//! * at most one open plan per group; `failover_epoch` never repeats; epochs never fall;
//! * one address per `config_epoch`;
//! * `apply` is synchronous, total and deterministic: time and choices are in the command;
//! * a stale or contradicting command is `Outcome::Rejected`, never an error, and changes nothing.
//!
//! References: sentinel.c `sentinelFailoverSwitchToPromotedSlave`, `sentinelVoteLeader`; Raft section 5.3.

pub mod apply;
mod apply_group;
pub mod apply_import;
pub mod change;
pub mod command;
pub mod plan;
pub mod state;

pub use apply::apply;
pub use change::Change;
pub use command::{Command, Outcome, Rejection};
pub use plan::{ClosedPlan, EvidenceNote, Phase, Plan, PlanCause, PlanOutcome, Refusal, RefusalReason, Step};
pub use state::{Group, GroupOptions, KnownReplica, Member, OptionChange, State};
