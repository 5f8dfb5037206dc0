//! A service manager that watches this process: what it is told, and when.
//!
//! systemd gets `READY=1` once clients are served, `STATUS=` when that changes, `STOPPING=1`, and, where the unit has a
//! `WatchdogSec=`, `WATCHDOG=1` twice in that time. The latter only while all parts of the process answer: the runtime,
//! which runs the task that sends it, and the threads of the actors and of the clients, which are asked each time. A process that is stuck is
//! killed and started again by systemd, and safety comes from the log.
//!
//! References: server.c `redisIsSupervised`, `redisCommunicateSystemd`; sd_notify(3), sd_watchdog_enabled(3).

use std::ffi::{OsStr, OsString};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Supervised;
use crate::view::NodeView;

/// How often the status line is looked at where there is no watchdog.
const STATUS_PERIOD: Duration = Duration::from_secs(5);

/// Asks threads for a sign of life.
pub type Pulse = Box<dyn Fn() -> oneshot::Receiver<()> + Send>;

/// The service manager that started this process, as far as the file allows one; shown by INFO.
#[must_use]
pub fn supervisor(supervised: Supervised) -> Option<&'static str> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match supervised {
        Supervised::Upstart | Supervised::Auto if is_set("UPSTART_JOB") => Some("upstart"),
        Supervised::Systemd | Supervised::Auto if is_set("NOTIFY_SOCKET") => Some("systemd"),
        _ => None,
    }
}

/// The socket of systemd.
#[derive(Debug, Clone)]
pub struct Systemd {
    socket: OsString,
    /// Half of `WatchdogSec=`.
    watchdog: Option<Duration>,
}

impl Systemd {
    /// `None` = systemd did not start this process, or the file does not allow it.
    #[must_use]
    pub fn from_environment(supervised: Supervised) -> Option<Self> {
        if supervisor(supervised) != Some("systemd") {
            if supervised == Supervised::Systemd {
                tracing::warn!(
                    "systemd supervision error: NOTIFY_SOCKET not found! Going on without: only a unit with Type=notify sets it"
                );
            }
            return None;
        }
        let text = |name: &str| std::env::var(name).ok();
        Some(Self {
            socket: std::env::var_os("NOTIFY_SOCKET")?,
            watchdog: watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id()),
        })
    }

    /// Clients are served from here on.
    pub fn say_ready(&self) {
        if let Err(error) = notify(&self.socket, b"STATUS=Ready to accept connections\nREADY=1\n") {
            tracing::warn!("systemd supervision requested, but it cannot be told: {error}");
        }
    }

    /// The process is about to end.
    pub fn say_stopping(&self) {
        // Best effort, as everything below: systemd sees the end of the process in any case.
        let _ = notify(&self.socket, b"STATUS=Stopping\nSTOPPING=1\n");
    }

    /// Tells systemd how things are until `stop`.
    pub async fn watch(self, pulse: Pulse, view: Arc<NodeView>, stop: CancellationToken) {
        let period = self.watchdog.unwrap_or(STATUS_PERIOD);
        let mut shown = String::new();
        let mut silent = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.say_stopping(),
                () = tokio::time::sleep(period) => {}
            }
            let answers = matches!(tokio::time::timeout(period, pulse()).await, Ok(Ok(())));
            if !answers && !silent {
                tracing::warn!(
                    "The actors or the clients' thread do not answer; the watchdog of systemd is not told that this process lives"
                );
            }
            silent = !answers;
            let mut text = String::new();
            if answers && self.watchdog.is_some() {
                text.push_str("WATCHDOG=1\n");
            }
            let status = status(&view);
            if answers && status != shown {
                text.push_str(&format!("STATUS={status}\n"));
                shown = status;
            }
            if !text.is_empty() {
                let _ = notify(&self.socket, text.as_bytes());
            }
        }
    }
}

/// One line for `systemctl status`.
fn status(view: &NodeView) -> String {
    let majority = if view.has_majority.load(Ordering::Relaxed) {
        "in touch with a majority of the sentinels"
    } else {
        "NOT in touch with a majority of the sentinels"
    };
    let masters = view.state.load().groups.len();
    format!("Ready to accept connections; masters monitored: {masters}; {majority}")
}

/// Half of the watchdog's time, if it is for this process.
fn watchdog(usec: Option<String>, pid: Option<String>, me: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(me)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec / 2))
}

/// One datagram; a leading `@` stands for the zero byte of an abstract name.
fn notify(socket: &OsStr, text: &[u8]) -> std::io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A service manager that does not read must not hold this process up.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(text, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_over_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        notify(path.as_os_str(), b"READY=1\n").unwrap();
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1\n");
        assert!(notify(OsStr::new("/nonexistent/notify"), b"READY=1\n").is_err());
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(watchdog(some("2000000"), None, 7), Some(Duration::from_secs(1)));
        assert_eq!(
            watchdog(some("2000000"), some("7"), 7),
            Some(Duration::from_secs(1))
        );
        assert_eq!(watchdog(some("2000000"), some("8"), 7), None);
        assert_eq!(watchdog(some("0"), None, 7), None);
        assert_eq!(watchdog(None, some("7"), 7), None);
    }
}
