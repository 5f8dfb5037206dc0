//! The binary's arguments and its first errors.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sentinel-node"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_and_help_end_at_once() {
    assert!(text(&run(&["--version"]).stdout).starts_with("Sentinel on Raft v="));
    assert!(text(&run(&["-h"]).stdout).contains("sentinel.conf"));
    let status = run(&["status", "--help"]);
    assert!(status.status.success() && text(&status.stdout).contains("--watch"));
}

#[test]
fn a_configuration_file_is_mandatory() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let log = text(&output.stdout);
    assert!(
        log.contains(" # Sentinel needs config file on disk to save state. Exiting..."),
        "{log}"
    );
    let output = run(&["/nonexistent/sentinel.conf"]);
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "Fatal error, can't open config file '/nonexistent/sentinel.conf': No such file or directory\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn a_broken_line_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.conf");
    std::fs::write(&path, "port 26379\nsentinel monitor m 127.0.0.1 6379 0\n").unwrap();
    let path = path.to_str().unwrap();
    let output = run(&[path, "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n\
             >>> 'sentinel monitor m 127.0.0.1 6379 0'\nQuorum must be 1 or greater.\n({path})\n"
        )
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn status_of_a_sentinel_that_does_not_run_says_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = run(&["status", "--admin", &address]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("Connection refused") && error.contains("--admin"),
        "{error}"
    );
}
