//! `sentinel rewrite-config yes`: keeps `sentinel.conf` as Sentinel would have written it.
//!
//! ```text
//! applied entries (status of the log) --+
//! SENTINEL CONFIG SET, FLUSHCONFIG -----+--> task --blocking thread--> config::rewritten --> file
//! ```
//!
//! - The file says what the applied state says; nothing is read from it before the next start.
//! - Nothing waits for it: entries are written together after a short pause, and not at all before the switch while a
//!   failover is open.
//! - It begins when the file's own lines have been brought to the log (`seeding`): before that, they are the news.
//! - Its lines are not an operator's edit at the next start: they are remembered (`seeding::Remembered`) before and after
//!   they are written.
//! - An operator's edit of such a line is not overwritten, except by FLUSHCONFIG: the file rests until the next start.
//!
//! References: sentinel.c `sentinelFlushConfig`; config.c `rewriteConfig`, `rewriteConfigOverwriteFile`.

mod file;
mod task;

pub use file::check_writable;
pub use task::{Requests, Rewriter, Source};
