//! The `sentinel.conf` of the system's packages runs unchanged: in the background, with a pid file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::ports::Port;
use integration::harness::process::tail;
use integration::harness::resp::Client;
use integration::harness::sentinel::Program;
use integration::harness::wait::wait_for;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

/// Debian's, where it cannot be read here.
const STOCK: &str = "protected-mode no\nport 26379\ndaemonize yes\npidfile /run/sentinel/redis-sentinel.pid\n\
logfile /var/log/redis/redis-sentinel.log\ndir /var/lib/redis\nsentinel monitor mymaster 127.0.0.1 6379 2\n\
sentinel down-after-milliseconds mymaster 30000\nacllog-max-len 128\nsentinel parallel-syncs mymaster 1\n\
sentinel failover-timeout mymaster 180000\nsentinel deny-scripts-reconfig yes\nSENTINEL resolve-hostnames no\n\
SENTINEL announce-hostnames no\nSENTINEL master-reboot-down-after-period mymaster 0\n";

/// Every line as it is, but for ports and paths.
fn stock_file(dir: &Path) -> String {
    let text = std::fs::read_to_string("/etc/redis/sentinel.conf").unwrap_or_else(|_| STOCK.to_owned());
    let moved = |line: &str| match line.split(' ').next() {
        Some("pidfile") => format!("pidfile {}/sentinel.pid", dir.display()),
        Some("logfile") => format!("logfile {}/sentinel.log", dir.display()),
        Some("dir") => format!("dir {}", dir.display()),
        _ => line.to_owned(),
    };
    text.lines().map(|line| moved(line) + "\n").collect()
}

/// Started with a port on standard input; the process that runs, by its pid file.
fn start(program: &Path, dir: &Path, port: u16, admin: u16) -> Result<u32> {
    let file = dir.join("sentinel.conf");
    std::fs::write(&file, stock_file(dir))?;
    let mut starter = Command::new(program)
        .arg(&file)
        .args(["--admin-port", &admin.to_string(), "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut pipe = starter.stdin.take().context("no pipe")?;
    writeln!(pipe, "port {port}")?;
    drop(pipe);
    let status = starter.wait()?;
    ensure!(status.success(), "the starting process ended with {status}");
    let pid = wait_for("there is a pid file", PATIENCE, || {
        let text = std::fs::read_to_string(dir.join("sentinel.pid"))?;
        Ok(text.trim().parse::<u32>()?)
    })?;
    ensure!(pid != starter.id(), "the pid file names the starting process");
    Ok(pid)
}

/// Session and terminal of a process.
fn session(pid: u32) -> Result<(u32, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .context("stat")?
        .1
        .split_whitespace()
        .collect();
    Ok((
        fields.get(3).context("session")?.parse()?,
        fields.get(4).context("terminal")?.parse()?,
    ))
}

fn answers(pid: u32, port: u16) -> Result<()> {
    wait_for("it answers PING", PATIENCE, || {
        let reply = Client::connect(port, Duration::from_secs(2))?.command(&["PING"])?;
        ensure!(reply.text()? == "PONG", "PING was answered {reply}");
        Ok(())
    })?;
    ensure!(
        session(pid)? == (pid, 0),
        "it has no session of its own: {:?}",
        session(pid)?
    );
    let mut client = Client::connect(port, Duration::from_secs(2))?;
    let info = client.command(&["INFO", "server"])?.text()?;
    ensure!(
        info.contains(&format!("process_id:{pid}\r\n")),
        "another process answers: {info}"
    );
    Ok(())
}

fn stops(dir: &Path, pid: u32) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(pid)?).context("no process has the number 0")?;
    kill_process(process, Signal::TERM)?;
    wait_for("it ends and takes its pid file away", PATIENCE, || {
        ensure!(!dir.join("sentinel.pid").exists(), "the pid file is there");
        // Whoever adopted the process may not have collected it yet.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(stat.is_empty() || stat.contains(") Z "), "it runs: {stat}");
        Ok(())
    })
}

#[test]
fn the_stock_file_runs_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let Program::Ours(program) = Program::built_here().unwrap() else {
        panic!("not ours");
    };
    let pid = start(&program, dir.path(), port.number(), admin.number());
    let outcome = pid.and_then(|pid| {
        let answered = answers(pid, port.number());
        stops(dir.path(), pid).and(answered)
    });
    if let Err(reason) = outcome {
        let log = tail(&dir.path().join("sentinel.log"), 30);
        panic!("{reason:#}\n{log}\nREPRODUCE WITH: cargo test -p integration --test stock_file");
    }
}
