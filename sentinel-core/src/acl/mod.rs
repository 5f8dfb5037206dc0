//! Access control: who may run which command, and use which channel (`acl.c` of Redis 7.0).
//!
//! ```text
//! rules ("on >secret +@admin &+switch*") --User::apply--> User --User::check--> Ok | Denied
//!                                                          |
//!                                        describe: the canonical rules of ACL LIST
//! ```
//!
//! - A user has a root selector and any number of further ones; a request is allowed when one of them allows all of it.
//! - Rules name commands of this server only, as in Sentinel: `+get` is an unknown command here.
//! - Keys are parsed and shown; no command of a sentinel has keys, so they decide nothing.
//! - Passwords are kept as SHA-256 only; the hash function comes from outside ([`Policy`]).
//! - What a rule can make us remember is bounded ([`MAX_ENTRIES`]); Redis has no bound.
//!
//! Canonical rules are computed as Redis 7.0 computes them (the fewest categories that come near, then single commands);
//! commands that it does not have do not count in that choice.

mod commands;
mod describe;
mod file;
mod log;
mod rules;
mod selector;
#[cfg(test)]
mod tests;
mod user;
mod users;

pub use commands::{CATEGORIES, commands_in};
pub use file::load;
pub use log::{AclLog, Denial, LogEntry, Reason};
pub use rules::{RuleError, Unmatched, merge, parse_rules};
pub use selector::{Denied, KeyPattern, Selector};
pub use user::{Digest, Hash, Policy, User};
pub use users::{SetError, Users, is_name};

/// Most patterns, passwords, first arguments or selectors of one user or selector.
pub const MAX_ENTRIES: usize = 1024;
