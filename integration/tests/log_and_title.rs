//! What operators see of a process: its log in all forms, syslog, rotation, and its title.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::harness::lone::Lone;
use integration::harness::ports::Port;
use integration::harness::process::find_program;
use integration::harness::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

fn text(port: &Port, admin: &Port, more: &str) -> String {
    format!("port {}\nadmin-port {}\n{more}\n", port.number(), admin.number())
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_line_has_the_form_that_the_file_asks_for() {
    for (format, timestamps) in [
        ("legacy", "iso8601"),
        ("logfmt", "milliseconds"),
        ("json", "legacy"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
        let more = format!("log-format {format}\nlog-timestamp-format {timestamps}\nlogfile s.log");
        let mut node = Lone::on_text(folder.path(), &text(&port, &admin, &more), port.number()).unwrap();
        let pid = node.process.id();
        node.process.terminate().unwrap();
        let lines = lines(&folder.path().join("s.log"));
        assert!(lines.len() > 3, "{lines:?}");
        for line in &lines {
            let right = match format {
                "legacy" => {
                    line.starts_with(&format!("{pid}:X 20"))
                        && line.as_bytes().get(line.find('T').unwrap_or(0)) == Some(&b'T')
                }
                "logfmt" => {
                    line.starts_with(&format!("pid={pid} role=sentinel timestamp=\"1")) && line.ends_with('"')
                }
                _ => serde_json::from_str::<serde_json::Value>(line)
                    .is_ok_and(|line| line["pid"] == pid && line["role"] == "sentinel"),
            };
            assert!(right, "{format}: {line}");
        }
    }
}

#[test]
fn a_renamed_log_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let mut node = Lone::on_text(
        folder.path(),
        &text(&port, &admin, "logfile s.log"),
        port.number(),
    )
    .unwrap();
    let log = folder.path().join("s.log");
    wait_for("the log is there", PATIENCE, || {
        ensure!(lines(&log).len() > 3);
        Ok(())
    })
    .unwrap();
    std::fs::rename(&log, folder.path().join("s.log.1")).unwrap();
    node.process.terminate().unwrap();
    let after = lines(&log).join("\n");
    assert!(after.contains("bye bye"), "{after}");
}

#[test]
fn syslog_gets_the_messages_and_may_be_away() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let socket = folder.path().join("syslog");
    let more = "logfile s.log\nsyslog-enabled yes\nsyslog-ident my-sentinel\nsyslog-facility local3\n\
                sentinel monitor m 127.0.0.1 1 1";
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, text(&port, &admin, more)).unwrap();
    // Nobody listens there yet: that must not matter.
    let args = [
        format!("SENTINEL_SYSLOG_SOCKET={}", socket.display()),
        Lone::program().unwrap().display().to_string(),
        file.display().to_string(),
    ];
    let env = find_program("env").unwrap();
    let mut node = Lone::start(&env, &args, folder.path(), file, port.number()).unwrap();
    let daemon = UnixDatagram::bind(&socket).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    let pid = node.process.id();
    wait_for("it takes the setting", PATIENCE, || {
        let answer = node.ask(&["SENTINEL", "SET", "m", "parallel-syncs", "2"])?;
        ensure!(answer == "OK", "{answer}");
        Ok(())
    })
    .unwrap();
    let mut bytes = [0; 2048];
    let message = loop {
        let length = daemon.recv(&mut bytes).expect("no message about +set");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if message.contains("+set master") {
            break message;
        }
    };
    // local3 = 19, warning = 4.
    assert!(
        message.starts_with("<156>") || message.starts_with("<157>"),
        "{message}"
    );
    let end = format!(" my-sentinel[{pid}]: +set master m 127.0.0.1 1 parallel-syncs 2");
    assert!(message.ends_with(&end), "{message}");
    node.process.terminate().unwrap();
    let logged = lines(&folder.path().join("s.log")).join("\n");
    assert!(
        logged.contains("+set master m"),
        "the file has every line, too: {logged}"
    );
}

/// The first word of a process, as `ps` shows it.
fn title(pid: u32) -> Result<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let first = bytes.split(|byte| *byte == 0).next().context("no command line")?;
    Ok(String::from_utf8_lossy(first).into_owned())
}

#[test]
fn the_process_has_the_title_of_the_template() {
    for (more, expected) in [
        ("", "sentinel-node *:PORT [sentinel]"),
        ("set-proc-title no", "sentinel-node"),
        (
            "proc-title-template \"mine {port} {server-mode}\"\nbind 127.0.0.1",
            "mine PORT [sentinel]",
        ),
        ("bind 127.0.0.1", "sentinel-node 127.0.0.1:PORT [sentinel]"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (port, admin) = (Port::reserve().unwrap(), Port::reserve().unwrap());
        let mut node = Lone::on_text(folder.path(), &text(&port, &admin, more), port.number()).unwrap();
        let shown = title(node.process.id()).unwrap();
        let expected = expected.replace("PORT", &port.number().to_string());
        assert!(
            shown.ends_with(&expected),
            "{shown:?} does not end in {expected:?}"
        );
        node.process.terminate().unwrap();
    }
}
