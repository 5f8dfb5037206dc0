//! `sentinel.conf`: input, and with `sentinel rewrite-config yes` also written (DESIGN.md section 8).
//!
//! ```text
//! text --lines--> words per line --plain--> server directives at once, in file order (last one wins)
//!                                \-sentinel--> queued, applied in three rounds: global, monitor, the rest
//!
//! present text + applied state --[wanted]--> wanted lines --[rewrite]--> new text --parse--> loads again, else not written
//! ```
//!
//! Parsing is pure: [`parse`] gets the text and an [`Includes`] for `include` lines. Only [`load`] and
//! [`rewritten`] touch files. Order independence of `sentinel` lines is that of sentinel.c `loadSentinelConfigFromQueue`.
//!
//! Deviation from Sentinel: no `chdir` on `dir`; relative paths are resolved against it instead, so that several nodes
//! can live in one process.

mod acl;
mod compose;
mod journal;
mod kind;
mod known;
mod learned;
mod limits;
mod lines;
mod load;
mod log;
mod parse;
mod plain;
mod rewrite;
pub mod seed;
mod sentinel;
#[cfg(test)]
mod tests;
mod tls;
mod types;
mod wanted;

pub use acl::AclConfig;
pub use compose::{Rewritten, rewritten, was_edited};
pub(crate) use journal::journaled;
pub use learned::Learned;
pub use limits::{BufferLimits, OutputLimit};
pub use lines::{ConfigError, Includes, NoIncludes};
pub use load::{REDIS_VERSION, load, report};
pub(crate) use load::{is_executable, os_text, present_text};
pub use log::{LogFormat, LogStyle, LogTimestamps, SyslogConfig};
pub use parse::parse;
pub(crate) use seed::quoted;
pub use tls::{AuthClients, KeyPair, TlsConfig};
pub use types::{
    AdminConfig, BindAddress, Config, LogLevel, MasterConfig, ProcTitle, SentinelConfig, StaleReads,
    Supervised,
};
pub use wanted::Own;
