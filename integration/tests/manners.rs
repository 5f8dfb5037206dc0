//! How the process behaves towards its operator and its service manager: signals, systemd and its watchdog, links named
//! redis-sentinel, limits of open files, planned ends, pauses of clients, renamed commands.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration::harness::ports::Port;
use integration::harness::resp::Client;
use integration::harness::sentinel::{GROUP, Program};
use integration::harness::wait::wait_for;
use integration::harness::{ClusterOptions, scenario};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for an answer that is not held back.
const A_MOMENT: Duration = Duration::from_millis(400);

/// Debian's file, where it cannot be read here.
const STOCK: &str = "protected-mode no\nport 26379\ndaemonize yes\npidfile /run/sentinel/redis-sentinel.pid\n\
logfile /var/log/redis/redis-sentinel.log\ndir /var/lib/redis\nsentinel monitor mymaster 127.0.0.1 6379 2\n\
sentinel down-after-milliseconds mymaster 30000\nacllog-max-len 128\nsentinel parallel-syncs mymaster 1\n\
sentinel failover-timeout mymaster 180000\nsentinel deny-scripts-reconfig yes\nSENTINEL resolve-hostnames no\n\
SENTINEL announce-hostnames no\nSENTINEL master-reboot-down-after-period mymaster 0\n";

fn program() -> Result<PathBuf> {
    match Program::built_here()? {
        Program::Ours(path) => Ok(path),
        Program::Stock => bail!("not ours"),
    }
}

/// A node on its own, with arguments and an environment.
struct Lone {
    child: Child,
    dir: tempfile::TempDir,
    port: Port,
    _admin: Port,
}

impl Lone {
    /// Starts `command` (the program, or what starts it) on a file with these lines.
    fn start(command: impl FnOnce(&Path, &Path) -> Command, lines: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (port, admin) = (Port::reserve()?, Port::reserve()?);
        let file = dir.path().join("sentinel.conf");
        let text = format!(
            "{lines}\nport {}\nadmin-port {}\ndir {here}\nlogfile sentinel.log\npidfile sentinel.pid\n",
            port.number(),
            admin.number(),
            here = dir.path().display(),
        );
        std::fs::write(&file, text)?;
        let child = command(&file, dir.path()).stdin(Stdio::null()).spawn()?;
        Ok(Self {
            child,
            dir,
            port,
            _admin: admin,
        })
    }

    fn plain(lines: &str) -> Result<Self> {
        let program = program()?;
        let started = |file: &Path, _: &Path| {
            let mut command = Command::new(program);
            command.arg(file);
            command
        };
        let mut node = Self::start(started, lines)?;
        node.wait_ping()?;
        Ok(node)
    }

    fn client(&self) -> Result<Client> {
        Client::connect(self.port.number(), Duration::from_secs(5))
    }

    fn wait_ping(&mut self) -> Result<()> {
        wait_for("it answers PING", PATIENCE, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            let reply = self.client()?.command(&["PING"])?;
            ensure!(reply.text()? == "PONG", "PING was answered {reply}");
            Ok(())
        })
    }

    fn info(&self, field: &str) -> Result<String> {
        let text = self.client()?.command(&["INFO"])?.text()?;
        let prefix = format!("{field}:");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        Ok(line.with_context(|| format!("no {field}"))?.trim_end().to_owned())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot send {signal:?}"))
    }

    fn wait_end(&mut self) -> Result<ExitStatus> {
        wait_for("it ends", PATIENCE, || self.child.try_wait()?.context("it runs"))
    }

    fn log(&self) -> String {
        let path = self.dir.path().join("sentinel.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// That these lines are in the log, in this order.
    fn logged(&self, lines: &[&str]) -> Result<()> {
        let log = self.log();
        let mut rest = log.as_str();
        for line in lines {
            let at = rest.find(line);
            let at = at.with_context(|| format!("{line:?} is not in its place in\n{log}"))?;
            rest = &rest[at..];
        }
        Ok(())
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(name: &str, body: impl FnOnce() -> Result<()>) {
    if let Err(error) = body() {
        eprintln!("FAILED: {error:#}");
        eprintln!("REPRODUCE WITH: cargo test -p integration --test manners -- --exact --nocapture {name}");
        panic!("{name} failed");
    }
}

const ALONE: &str = "sentinel monitor mymaster 127.0.0.1 6379 2";

#[test]
fn signals_end_it_as_they_end_redis_sentinel() {
    run("signals_end_it_as_they_end_redis_sentinel", || {
        let mut node = Lone::plain(ALONE)?;
        let pidfile = node.dir.path().join("sentinel.pid");
        ensure!(pidfile.exists(), "there is no pid file");
        node.signal(Signal::HUP)?;
        node.signal(Signal::PIPE)?;
        let reply = node.client()?.command(&["SENTINEL", "MYID"])?;
        ensure!(reply.text()?.len() == 40, "it was answered {reply}");
        node.signal(Signal::TERM)?;
        let status = node.wait_end()?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        ensure!(!pidfile.exists(), "the pid file is still there");
        node.logged(&[
            "Received SIGTERM scheduling shutdown...",
            "# User requested shutdown...",
            "* Removing the pid file.",
            "# Sentinel is now ready to exit, bye bye...",
        ])
    });
}

/// Scripts get the first three descriptors.
#[test]
fn a_daemon_leaves_the_terminal_with_all_descriptors() {
    run("a_daemon_leaves_the_terminal_with_all_descriptors", || {
        let program = program()?;
        let started = |file: &Path, _: &Path| {
            let mut command = Command::new(program);
            command.arg(file);
            command
        };
        let mut node = Lone::start(started, &format!("{ALONE}\ndaemonize yes"))?;
        let status = node.wait_end()?;
        ensure!(status.code() == Some(0), "the first process ended with {status}");
        let pid: i32 = wait_for("there is a pid file", PATIENCE, || {
            let text = std::fs::read_to_string(node.dir.path().join("sentinel.pid"))?;
            text.trim().parse().context("no pid")
        })?;
        let descriptors = (0..3).map(|fd| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")));
        let descriptors: Vec<_> = descriptors.collect();
        let answered = wait_for("it answers", PATIENCE, || node.info("process_id"));
        kill_process(Pid::from_raw(pid).context("pid 0")?, Signal::TERM)?;
        let answered = answered?;
        ensure!(answered == pid.to_string(), "{pid} says that it is {answered}");
        for target in descriptors {
            let target = target?;
            ensure!(target == Path::new("/dev/null"), "it holds {}", target.display());
        }
        wait_for("it ends", PATIENCE, || node.logged(&["bye bye..."]))
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    run("a_second_signal_ends_it_at_once", || {
        let mut node = Lone::plain(ALONE)?;
        // Both wait for it when it goes on.
        node.signal(Signal::STOP)?;
        node.signal(Signal::TERM)?;
        node.signal(Signal::INT)?;
        node.signal(Signal::CONT)?;
        let status = node.wait_end()?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        node.logged(&["scheduling shutdown...", "# You insist... exiting now."])
    });
}

#[test]
fn scripts_do_not_learn_how_the_process_was_started() {
    run("scripts_do_not_learn_how_the_process_was_started", || {
        let program = program()?;
        let scripts = tempfile::tempdir()?;
        let (script, seen) = (scripts.path().join("notify"), scripts.path().join("seen"));
        let text = format!(
            "#!/bin/sh\nenv > {seen}.new && mv {seen}.new {seen}\n",
            seen = seen.display()
        );
        std::fs::write(&script, text)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode)?;
        let started = |file: &Path, _: &Path| {
            let mut command = Command::new(program);
            command
                .arg(file)
                .env("SENTINEL_IN_BACKGROUND", "1")
                .env("KEPT", "yes");
            command
        };
        let dead = Port::reserve()?;
        let lines = format!(
            "sentinel monitor m 127.0.0.1 {} 1\nsentinel down-after-milliseconds m 300\n\
             sentinel notification-script m {}",
            dead.number(),
            script.display()
        );
        let mut node = Lone::start(started, &lines)?;
        node.wait_ping()?;
        let environment = wait_for("a script was run", PATIENCE, || {
            Ok(std::fs::read_to_string(&seen)?)
        })?;
        ensure!(environment.contains("KEPT=yes"), "{environment}");
        ensure!(!environment.contains("SENTINEL_IN_BACKGROUND"), "{environment}");
        Ok(())
    });
}

#[test]
fn shutdown_closes_the_connection_and_ends_it() {
    run("shutdown_closes_the_connection_and_ends_it", || {
        for words in [&["SHUTDOWN"][..], &["SHUTDOWN", "SAVE", "NOW", "FORCE"]] {
            let mut node = Lone::plain(ALONE)?;
            let reply = node.client()?.command(words);
            ensure!(reply.is_err(), "{words:?} was answered {reply:?}");
            let status = node.wait_end()?;
            ensure!(status.code() == Some(0), "it ended with {status}");
            node.logged(&["# User requested shutdown...", "bye bye..."])?;
        }
        Ok(())
    });
}

/// Every line as it is, but for ports and paths, which [`Lone::start`] adds at the end.
fn stock_lines() -> String {
    let text = std::fs::read_to_string("/etc/redis/sentinel.conf").unwrap_or_else(|_| STOCK.to_owned());
    let moved = ["pidfile", "logfile", "dir", "port"];
    let kept = |line: &&str| !moved.contains(&line.split(' ').next().unwrap_or_default());
    text.lines()
        .filter(kept)
        .map(|line| line.to_owned() + "\n")
        .collect()
}

/// The next message to systemd with this line.
fn told(systemd: &UnixDatagram, line: &str) -> Result<()> {
    wait_for(&format!("systemd is told {line}"), PATIENCE, || {
        let mut bytes = [0; 1024];
        let length = systemd.recv(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        ensure!(
            text.lines().any(|told| told.starts_with(line)),
            "it was told {text}"
        );
        Ok(())
    })
}

#[test]
fn it_runs_as_debians_service_and_pets_the_watchdog_while_it_lives() {
    run(
        "it_runs_as_debians_service_and_pets_the_watchdog_while_it_lives",
        || {
            let program = program()?;
            let sockets = tempfile::tempdir()?;
            let path = sockets.path().join("notify");
            let systemd = UnixDatagram::bind(&path)?;
            systemd.set_read_timeout(Some(PATIENCE))?;
            let started = |file: &Path, dir: &Path| {
                let link = dir.join("redis-sentinel");
                std::os::unix::fs::symlink(&program, &link).expect("a link");
                let mut command = Command::new(link);
                command
                    .arg(file)
                    .args(["--supervised", "systemd", "--daemonize", "no"]);
                command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
                command
            };
            let mut node = Lone::start(started, &stock_lines())?;
            told(&systemd, "READY=1")?;
            node.wait_ping()?;
            ensure!(
                node.info("process_supervised")? == "systemd",
                "INFO does not say so"
            );
            let pid = std::fs::read_to_string(node.dir.path().join("sentinel.pid"))?;
            ensure!(pid.trim() == node.child.id().to_string(), "another process runs");
            told(
                &systemd,
                "STATUS=Ready to accept connections; masters monitored: ",
            )?;
            told(&systemd, "WATCHDOG=1")?;
            node.signal(Signal::STOP)?;
            // What it sent before; then nothing for several periods.
            systemd.set_nonblocking(true)?;
            let mut bytes = [0; 1024];
            while systemd.recv(&mut bytes).is_ok() {}
            systemd.set_nonblocking(false)?;
            systemd.set_read_timeout(Some(Duration::from_secs(1)))?;
            ensure!(
                systemd.recv(&mut bytes).is_err(),
                "a stopped process was called alive"
            );
            node.signal(Signal::CONT)?;
            systemd.set_read_timeout(Some(PATIENCE))?;
            told(&systemd, "WATCHDOG=1")?;
            node.signal(Signal::TERM)?;
            told(&systemd, "STOPPING=1")?;
            let status = node.wait_end()?;
            ensure!(status.code() == Some(0), "it ended with {status}");
            Ok(())
        },
    );
}

/// Started by a shell that lowers the limit of open files first.
fn limited(files: u32, lines: &str) -> Result<Lone> {
    let program = program()?;
    let started = |file: &Path, _: &Path| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$1\"");
        command.arg("-c").arg(script).arg(program).arg(file);
        command
    };
    Lone::start(started, lines)
}

#[test]
fn a_low_limit_of_open_files_lowers_maxclients() {
    run("a_low_limit_of_open_files_lowers_maxclients", || {
        let mut node = limited(400, ALONE)?;
        node.wait_ping()?;
        if node
            .log()
            .contains("Increased maximum number of open files to 10264")
        {
            println!("this user may raise the limit");
            return Ok(());
        }
        ensure!(
            node.info("maxclients")? == "200",
            "maxclients {}",
            node.info("maxclients")?
        );
        node.logged(&[
            "# You requested maxclients of 10000 requiring at least 10264 max file descriptors.",
            "# Server can't set maximum open files to 10264 because of OS error: Operation not permitted.",
            "# Current maximum open files is 400. maxclients has been reduced to 200 to compensate for low ulimit. If you \
             need higher maxclients increase 'ulimit -n'.",
        ])?;
        let mut node = limited(25, ALONE)?;
        let status = node.wait_end()?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        node.logged(&["# Your current 'ulimit -n' of 25 is not enough for the server to start."])
    });
}

#[test]
fn clients_beyond_maxclients_are_refused() {
    run("clients_beyond_maxclients_are_refused", || {
        let node = Lone::plain(&format!("{ALONE}\nmaxclients 3"))?;
        let mut first = node.client()?;
        wait_for("earlier connections are gone", PATIENCE, || {
            let text = first.command(&["INFO", "clients"])?.text()?;
            ensure!(text.contains("connected_clients:1\r\n"), "{text}");
            Ok(())
        })?;
        let others = [node.client()?, node.client()?];
        let mut late = node.client()?;
        let reply = late.command(&["PING"]);
        let refused = format!("{reply:?}").contains("ERR max number of clients reached");
        ensure!(refused, "the fourth client was answered {reply:?}");
        let text = first.command(&["INFO", "stats"])?.text()?;
        ensure!(!text.contains("rejected_connections:0\r\n"), "it was not counted");
        drop(others);
        Ok(())
    });
}

#[test]
fn a_planned_end_hands_the_raft_leadership_over() {
    scenario(
        "a_planned_end_hands_the_raft_leadership_over",
        ClusterOptions::default(),
        |cluster| {
            let leader = cluster.raft_leader()?;
            let term = |index: usize, cluster: &integration::harness::Cluster| -> Result<u64> {
                let status = cluster.node(index)?.raft_status()?;
                Ok(status.get("term").context("no term")?.parse()?)
            };
            let other = (leader + 1) % 3;
            let before = term(other, cluster)?;
            let status = cluster.node_mut(leader)?.process()?.terminate()?;
            ensure!(status.code() == Some(0), "it ended with {status}");
            let count = cluster
                .node(leader)?
                .log_count("Handed the role of raft_leader over to ")?;
            ensure!(count == 1, "it did not hand its role over");
            let next = wait_for("there is another one", PATIENCE, || cluster.raft_leader())?;
            let after = term(next, cluster)?;
            println!("from term {before} to {after}");
            ensure!(after > before, "still term {after}");
            Ok(())
        },
    );
}

#[test]
fn paused_clients_wait_while_the_group_works() {
    scenario(
        "paused_clients_wait_while_the_group_works",
        ClusterOptions::default(),
        |cluster| {
            let old = cluster.master_port()?;
            let mut events = cluster.events()?;
            let mut operator = cluster.node(0)?.client()?;
            operator.command(&["CLIENT", "PAUSE", "120000"])?;
            let mut client = Client::connect(cluster.node(0)?.port(), A_MOMENT)?;
            ensure!(client.command(&["PING"]).is_err(), "it was answered");
            let admin = cluster.node(0)?.admin_port();
            let (status, _) = integration::harness::http::get(admin, "/v1/status")?;
            ensure!(status == 200, "the admin port answers {status}");
            cluster.server_at_mut(old)?.process()?.kill9()?;
            cluster.wait_new_master_at(&[1, 2], old, PATIENCE)?;
            // The paused one takes part, and tells its subscribers.
            events.wait("node 0 publishes +switch-master", PATIENCE, |event| {
                event.node == 0 && event.name == "+switch-master"
            })?;
            let reply = operator.command(&["CLIENT", "UNPAUSE"])?;
            ensure!(reply.is_ok(), "UNPAUSE was answered {reply}");
            ensure!(cluster.node(0)?.master_port()? != old, "it names the old master");
            Ok(())
        },
    );
}

#[test]
fn a_sentinel_with_renamed_commands_belongs_to_its_group() {
    scenario(
        "a_sentinel_with_renamed_commands_belongs_to_its_group",
        ClusterOptions::default(),
        |cluster| {
            let node = cluster.node_mut(2)?;
            node.process()?.terminate()?;
            node.edit_config(
                "logfile ",
                "rename-command sentinel guard\nrename-command ROLE \"\"\nlogfile ",
            )?;
            node.start()?;
            let port = node.port();
            wait_for("it is one of three usable sentinels", PATIENCE, || {
                let reply = cluster
                    .node(0)?
                    .command(&["SENTINEL", "CKQUORUM", GROUP])?
                    .text()?;
                ensure!(reply.starts_with("OK 3 usable Sentinels."), "{reply}");
                Ok(())
            })?;
            let mut client = Client::connect(port, Duration::from_secs(5))?;
            let mut error = |words: &[&str]| client.command(words).map(|reply| reply.to_string());
            ensure!(
                error(&["SENTINEL", "MYID"])?.starts_with("-ERR unknown command"),
                "SENTINEL"
            );
            ensure!(error(&["ROLE"])?.starts_with("-ERR unknown command"), "ROLE");
            let asked = ["GUARD", "GET-MASTER-ADDR-BY-NAME", GROUP];
            wait_for("it names the master", PATIENCE, || {
                let reply = Client::connect(port, Duration::from_secs(5))?.command(&asked)?;
                ensure!(reply.array()?.len() == 2, "{reply}");
                Ok(())
            })
        },
    );
}
