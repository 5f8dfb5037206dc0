//! The file system's side: the file itself, its includes, and paths relative to `dir`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sentinel_proto::conf::tokenize;

use super::journal;
use super::learned::UNRESOLVED;
use super::lines::{ConfigError, Includes};
use super::parse::parse;
use super::types::Config;
use crate::clock::{SharedClock, SystemClock};
use crate::tls::Tls;

/// The version that error reports and INFO show: clients compare it, so it is that of the Redis whose
/// surface is reproduced.
pub const REDIS_VERSION: &str = "7.0.15";

/// Paths are relative to `dir` as last read.
#[derive(Default)]
pub(super) struct FileIncludes {
    dir: PathBuf,
}

/// `access(2)`, as Sentinel asks. A path that is not absolute is taken from `dir`, where scripts run.
pub(crate) fn is_executable(dir: &Path, path: &str) -> bool {
    !path.is_empty() && rustix::fs::access(dir.join(path), rustix::fs::Access::EXEC_OK).is_ok()
}

impl Includes for FileIncludes {
    fn read(&mut self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let paths = if pattern.contains(GLOB) {
            expand(&self.dir, Path::new(pattern))
        } else {
            vec![self.dir.join(pattern)]
        };
        paths
            .into_iter()
            .map(|path| {
                let name = path.display().to_string();
                let text = read(&path)?;
                Ok((name, text))
            })
            .collect()
    }

    fn is_executable(&self, dir: &Path, path: &str) -> bool {
        is_executable(dir, path)
    }

    fn enter(&mut self, dir: &str) {
        self.dir = self.dir.join(dir);
    }
}

const GLOB: [char; 3] = ['*', '?', '['];

/// What matches a glob, sorted, part by part of the path as `glob(3)` does.
fn expand(dir: &Path, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_path_buf()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let text = part.to_string_lossy();
        found = if text.contains(GLOB) {
            let mut matching: Vec<PathBuf> = found.iter().flat_map(|folder| entries(folder, &text)).collect();
            matching.sort();
            matching
        } else {
            found.into_iter().map(|folder| folder.join(part)).collect()
        };
    }
    found.retain(|path| path.exists());
    found
}

/// Entries of a folder whose names match.
fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let here = Path::new(".");
    let open = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(open) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.to_string_lossy();
            // As in a shell, `*` does not match hidden files.
            (!name.starts_with('.') || pattern.starts_with('.'))
                && sentinel_proto::glob::matches(pattern.as_bytes(), name.as_bytes())
        })
        .map(|name| folder.join(name))
        .collect()
}

fn read(path: &Path) -> Result<String, String> {
    read_bytes(path).and_then(|bytes| utf8(bytes).map_err(|why| cannot_open(path, &why)))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| cannot_open(path, &os_text(&error)))
}

fn cannot_open(path: &Path, reason: &str) -> String {
    format!(
        "Fatal error, can't open config file '{}': {reason}",
        path.display()
    )
}

/// The text of a file. Comments in another encoding are read as Latin-1; values must be UTF-8.
fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) if line.trim_ascii_start().starts_with(b"#") => {
                text.extend(line.iter().copied().map(char::from));
            }
            Err(_) => return Err(format!("line {} is not valid UTF-8", index.saturating_add(1))),
        }
    }
    Ok(text)
}

/// The text that the bytes of the file stand for: a rewrite in place may have been cut short.
pub(crate) fn present_text(bytes: &[u8]) -> Result<String, String> {
    match journal::recover(bytes) {
        Some(text) => Ok(text),
        None => utf8(bytes.to_vec()),
    }
}

/// The file itself, and a warning when it had to be repaired.
fn read_main(path: &Path) -> Result<(String, Option<String>), String> {
    let bytes = read_bytes(path)?;
    if let Some(text) = journal::recover(&bytes) {
        let repaired = format!(
            "{} was being rewritten when the process or the machine stopped: its text was restored",
            path.display()
        );
        return Ok((text, Some(repaired)));
    }
    let text = utf8(bytes).map_err(|why| cannot_open(path, &why))?;
    Ok((text, None))
}

/// `No such file or directory`, without Rust's `(os error 2)`.
pub(crate) fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// Reads and parses `path`; `extra` lines (command-line options) follow the file's text.
///
/// # Errors
/// The text that is to be shown on stderr before the process ends with status 1.
pub fn load(path: &Path, extra: &str) -> Result<Config, String> {
    let absolute = std::path::absolute(path).map_err(|error| os_text(&error))?;
    let (main, repaired) = read_main(&absolute)?;
    let mut text = main.clone();
    if !text.ends_with('\n') && !extra.starts_with('\n') {
        text.push('\n');
    }
    text.push_str(extra);
    let name = path.display().to_string();
    let mut config = parse(&name, &text, &mut FileIncludes::default()).map_err(|error| report(&error))?;
    config.path = absolute;
    config.main_text = main;
    extra.clone_into(&mut config.extra);
    config.warnings.extend(repaired);
    resolve_paths(&mut config).map_err(|(directive, reason)| {
        let (line, raw) = locate(&text, directive);
        report(&ConfigError {
            file: name,
            line,
            raw,
            reason,
        })
    })?;
    Ok(config)
}

/// Makes paths absolute; checks `dir` and `logfile` as Redis does when it reads them.
fn resolve_paths(config: &mut Config) -> Result<(), (&'static str, String)> {
    let dir = std::path::absolute(&config.dir).map_err(|error| ("dir", os_text(&error)))?;
    let metadata = std::fs::metadata(&dir).map_err(|error| ("dir", os_text(&error)))?;
    if !metadata.is_dir() {
        return Err(("dir", "Not a directory".to_owned()));
    }
    if let Some(logfile) = config.logfile.take() {
        let logfile = dir.join(logfile);
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&logfile)
            .map_err(|error| ("logfile", format!("Can't open the log file: {}", os_text(&error))))?;
        config.logfile = Some(logfile);
    }
    config.pidfile = config.pidfile.take().map(|pidfile| dir.join(pidfile));
    config.unixsocket = config.unixsocket.take().map(|path| dir.join(path));
    config.tls.resolve(&dir);
    config.dir = dir;
    // Once here, so that what is wrong stops the start with the line that says it.
    let clock: SharedClock = Arc::new(SystemClock::start());
    Tls::load(&config.tls, &clock).map_err(|error| (error.directive, error.reason))?;
    Ok(())
}

/// Number and text of the last line of a directive.
fn locate(text: &str, directive: &str) -> (usize, String) {
    let mut found = (0, directive.to_owned());
    for (index, raw) in text.split('\n').enumerate() {
        let raw = raw.trim();
        let first = raw.split_whitespace().next().unwrap_or_default();
        if first.eq_ignore_ascii_case(directive) {
            found = (index.saturating_add(1), raw.to_owned());
        }
    }
    found
}

/// The fatal error report of Redis.
#[must_use]
pub fn report(error: &ConfigError) -> String {
    // What Redis writes to its log at this point.
    let words = tokenize(&error.raw)
        .ok()
        .and_then(|lines| lines.into_iter().next());
    let host = words
        .filter(|_| error.reason == UNRESOLVED)
        .and_then(|line| line.words.get(3).cloned());
    let unresolved = host
        .map(|host| format!("Failed to resolve hostname '{host}'\n"))
        .unwrap_or_default();
    format!(
        "{unresolved}\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\nReading the configuration file, at line {}\n>>> '{}'\n{}\n({})",
        error.line, error.raw, error.reason, error.file
    )
}
