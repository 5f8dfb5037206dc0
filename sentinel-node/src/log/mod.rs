//! The log in Redis's line format: `PID:X DD Mon YYYY HH:MM:SS.mmm L message`, local time.
//!
//! ```text
//! tracing event -> [RedisLayer] (filter) -> bounded queue -> one writer thread (format) -> stdout or logfile
//!                                                                                    \-> syslog
//! ```
//!
//! - tracing has five levels, Redis four: `TRACE` is debug `.`, `DEBUG` verbose `-`, `INFO` notice `*`,
//!   `WARN` and `ERROR` warning `#`;
//! - a slow disk or a full pipe never blocks an actor: when the queue is full lines are dropped and counted,
//!   and the next line that fits says how many;
//! - the log file is opened anew for each batch, as Redis does, so that it can be rotated by renaming it;
//! - lines of libraries only pass at level warning, with their target in front (openraft is talkative).
//!
//! Before the process ends on purpose call [`flush`], or end it with [`exit`].

mod format;
mod layer;
mod sink;
mod syslog;

pub use format::format_line;
pub use layer::{RedisLayer, level, set_level};
pub use sink::{dropped_lines, exit, flush, init};
