//! `daemonize` and `supervised`: leaving the terminal, and telling a service manager that the start is over.
//!
//! Redis forks. A process with threads must not, and a fork needs unsafe code, so this starts itself once more instead,
//! before there is any thread: the child begins a session of its own, the parent ends with status 0. Whatever can be
//! wrong with the file was found, and said on stderr, before that.
//!
//! References: server.c `main`, `daemonize`, `redisIsSupervised`, `redisCommunicateSystemd`.

use std::ffi::OsStr;
use std::io::Write as _;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::config::{Config, Supervised};

/// Tells the child that it is the one in the background.
const MARK: &str = "SENTINEL_IN_BACKGROUND";
/// Where a process in the background leaves its id unless `pidfile` says otherwise.
const DEFAULT_PIDFILE: &str = "/var/run/sentinel-node.pid";

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The one that runs.
    Runs,
    /// The one that has started the other and has to end.
    Ends,
}

/// Goes to the background if the configuration asks for it. `stdin` is what was read from standard input already.
///
/// # Errors
/// When the process in the background cannot be started.
pub fn enter(config: &mut Config, stdin: &str) -> std::io::Result<Process> {
    // A service manager that waits for this process must not see it leave.
    if !config.daemonize || supervisor(config.supervised).is_some() {
        return Ok(Process::Runs);
    }
    if std::env::var_os(MARK).is_some() {
        // Fails only where this process leads a group already, which is as good.
        let _ = rustix::process::setsid();
        config
            .pidfile
            .get_or_insert_with(|| PathBuf::from(DEFAULT_PIDFILE));
        return Ok(Process::Runs);
    }
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that reads no further lines may have closed it.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    Ok(Process::Ends)
}

/// The service manager that started this process, as far as the file allows one.
fn supervisor(supervised: Supervised) -> Option<&'static str> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match supervised {
        Supervised::Upstart | Supervised::Auto if is_set("UPSTART_JOB") => Some("upstart"),
        Supervised::Systemd | Supervised::Auto if is_set("NOTIFY_SOCKET") => Some("systemd"),
        _ => None,
    }
}

/// Tells systemd that clients are served from here on, if it asked to be told.
pub fn say_ready(supervised: Supervised) {
    if supervisor(supervised) != Some("systemd") {
        return;
    }
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = notify(&socket, b"STATUS=Ready to accept connections\nREADY=1\n") {
        tracing::warn!("systemd supervision requested, but it cannot be told: {error}");
    }
}

/// One datagram; a leading `@` stands for the zero byte of an abstract name.
fn notify(socket: &OsStr, text: &[u8]) -> std::io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(|_| ())
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
}
