//! `daemonize`: leaving the terminal.
//!
//! Redis forks. A process with threads must not, and a fork needs unsafe code, so this starts itself once more instead,
//! before there is any thread: the child begins a session of its own, the parent ends with status 0. Whatever can be
//! wrong with the file was found, and said on stderr, before that.
//!
//! References: server.c `main`, `daemonize`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::config::Config;
use crate::supervise::supervisor;
use crate::title;

/// Tells the child that it is the one in the background; taken from the environment of scripts.
pub(crate) const MARK: &str = "SENTINEL_IN_BACKGROUND";
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
    let mut child = Command::new(std::env::current_exe()?);
    title::give(config, &mut child);
    // A pipe only where it has something to say: what is at 0 is what scripts get.
    let input = if stdin.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    };
    let mut child = child
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that reads no further lines may have closed it.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    Ok(Process::Ends)
}
