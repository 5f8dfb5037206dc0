//! Acceptance 8, at start: a broken configuration file is refused with file, line and reason, exit status 1.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use integration::harness::ports::Port;
use integration::harness::process::{Process, tail};
use integration::harness::sentinel::Program;

/// Text after the line that sets the port, the line number that must be named (0 = none), and the reason.
const CASES: [(&str, u32, &str); 10] = [
    (
        "sentinel monitor m 127.0.0.1 6379 0\n",
        2,
        "Quorum must be 1 or greater.",
    ),
    (
        "sentinel monitor m 127.0.0.1 99999 2\n",
        2,
        "Invalid port number.",
    ),
    (
        "sentinel monitor m 127.0.0.1 6379 2\nsentinel monitor m 127.0.0.1 6380 2\n",
        3,
        "Duplicate master name.",
    ),
    (
        "sentinel monitor m 127.0.0.1 6379 \"2\n",
        2,
        "Unbalanced quotes in configuration line",
    ),
    (
        "no-such-directive yes\n",
        2,
        "Bad directive or wrong number of arguments",
    ),
    (
        "sentinel no-such-thing yes\n",
        2,
        "Unrecognized sentinel configuration statement.",
    ),
    (
        "sentinel down-after-milliseconds m 1000\n",
        2,
        "No such master with specified name.",
    ),
    (
        "sentinel monitor m 127.0.0.1 6379 2\nsentinel down-after-milliseconds m 0\n",
        3,
        "negative or zero time parameter.",
    ),
    (
        "sentinel monitor m not-an-address! 6379 2\n",
        2,
        "Can't resolve instance hostname.",
    ),
    (
        "dir /nonexistent-folder-of-this-test\n",
        2,
        "No such file or directory",
    ),
];

fn program() -> Option<std::path::PathBuf> {
    match Program::from_environment().unwrap() {
        Program::Ours(path) => Some(path),
        Program::Stock => None,
    }
}

/// Runs the node on a file that it must refuse at once.
fn refused(program: &Path, folder: &Path, config: &Path) -> Output {
    let out = folder.join("out");
    let args = [config.display().to_string()];
    let mut process = Process::spawn("node", program, &args, folder, &out).unwrap();
    let status = process
        .wait_exit(Duration::from_secs(10))
        .unwrap_or_else(|reason| {
            panic!("{reason}; it printed:\n{}", tail(&out, 20));
        });
    Output {
        status,
        stdout: std::fs::read(&out).unwrap(),
        stderr: Vec::new(),
    }
}

#[test]
fn broken_files_are_refused_with_line_and_reason() {
    let Some(program) = program() else { return };
    for (text, line, reason) in CASES {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::reserve().unwrap();
        let config = folder.path().join("sentinel.conf");
        let whole = format!("port {}\n{text}", port.number());
        std::fs::write(&config, &whole).unwrap();
        let output = refused(&program, folder.path(), &config);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text:?}: {printed}");
        assert!(printed.contains(reason), "{text:?}: no {reason:?} in:\n{printed}");
        let looked_up = printed.contains("Failed to resolve hostname 'not-an-address!'");
        assert_eq!(looked_up, text.contains("not-an-address!"), "{printed}");
        let named = printed.contains(&format!("at line {line}")) || printed.contains(&format!(":{line}"));
        assert!(named, "{text:?}: line {line} is not named in:\n{printed}");
        assert_eq!(
            std::fs::read_to_string(&config).unwrap(),
            whole,
            "the file was changed"
        );
        let left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("raft"))
            .collect();
        assert!(left.is_empty(), "{text:?}: a data directory was made: {left:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = refused(&program, folder.path(), &folder.path().join("no-such.conf"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("no-such.conf"), "{printed}");
}

#[test]
fn no_file_at_all_is_an_error() {
    let Some(program) = program() else { return };
    let output = Command::new(program).stdin(Stdio::null()).output().unwrap();
    assert!(
        !output.status.success(),
        "it ended well without a configuration file"
    );
}
