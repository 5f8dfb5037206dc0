//! syslog: one datagram a message to the machine's log daemon, as the C library sends it. A daemon that is away or too slow
//! costs messages, never time.
//!
//! References: server.c `serverLogRaw`; syslog(3), RFC 3164.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use chrono::{Local, TimeZone as _};

use crate::config::{LogLevel, SyslogConfig};

use super::format::cut;
use super::sink::Message;

/// Where the daemon listens.
const SOCKET: &str = "/dev/log";
/// Another place, for tests.
const SOCKET_VARIABLE: &str = "SENTINEL_SYSLOG_SOCKET";

/// A way to the daemon.
#[derive(Debug)]
pub(super) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    ident: String,
    facility: u8,
}

impl Syslog {
    /// `None` when it is not wanted, or there are no sockets.
    pub(super) fn open(config: &SyslogConfig) -> Option<Self> {
        let path = std::env::var_os(SOCKET_VARIABLE).map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
        config.enabled.then(|| Self::to(path, config)).flatten()
    }

    fn to(path: PathBuf, config: &SyslogConfig) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self {
            socket,
            path,
            ident: config.ident.clone(),
            facility: config.facility,
        })
    }

    /// Sends one message. It is addressed anew each time: the daemon may have been restarted.
    pub(super) fn send(&self, pid: u32, message: &Message) {
        let line = self.line(pid, message);
        // Nobody is left to tell.
        let _ = self.socket.send_to(line.as_bytes(), &self.path);
    }

    fn line(&self, pid: u32, message: &Message) -> String {
        let priority = self
            .facility
            .saturating_mul(8)
            .saturating_add(severity(message.level));
        let ms = i64::try_from(message.at.0).unwrap_or(i64::MAX);
        let when = Local.timestamp_millis_opt(ms).earliest().unwrap_or_default();
        let when = when.format("%b %e %H:%M:%S");
        format!("<{priority}>{when} {}[{pid}]: {}", self.ident, cut(&message.text))
    }
}

/// Redis's `syslogLevelMap`: debug, info, notice, warning.
fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Debug => 7,
        LogLevel::Verbose => 6,
        LogLevel::Notice => 5,
        LogLevel::Warning | LogLevel::Nothing => 4,
    }
}

#[cfg(test)]
mod tests {
    use sentinel_core::time::WallTime;

    use super::*;

    fn message(text: &str) -> Message {
        Message {
            at: WallTime(1_692_272_660_854),
            level: LogLevel::Warning,
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_daemon_gets_messages_and_may_be_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let config = SyslogConfig {
            enabled: true,
            ident: "my sentinel".to_owned(),
            facility: 17,
        };
        let syslog = Syslog::to(path.clone(), &config).unwrap();
        syslog.send(7, &message("nobody listens"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.send(7, &message("+sdown\nmaster"));
        let mut bytes = [0; 256];
        let length = daemon.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(text.starts_with("<140>Aug "), "{text}");
        assert!(text.ends_with(" my sentinel[7]: +sdown master"), "{text}");
        // A daemon that does not read: this must return.
        for _ in 0..10_000 {
            syslog.send(7, &message("again"));
        }
    }
}
