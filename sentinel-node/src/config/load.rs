//! The file system's side: the file itself, its includes, and paths relative to `dir`.

use std::path::{Path, PathBuf};

use super::lines::{ConfigError, Includes};
use super::parse::parse;
use super::types::Config;

/// The version that error reports and INFO show: clients compare it, so it is that of the Redis whose
/// surface is reproduced.
pub const REDIS_VERSION: &str = "7.0.15";

struct FileIncludes;

/// `access(2)`, as Sentinel asks. A path that is not absolute is taken from `dir`, where scripts run.
pub(crate) fn is_executable(dir: &Path, path: &str) -> bool {
    !path.is_empty() && rustix::fs::access(dir.join(path), rustix::fs::Access::EXEC_OK).is_ok()
}

impl Includes for FileIncludes {
    fn read(&mut self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let paths = if pattern.contains(['*', '?', '[']) {
            expand(pattern)
        } else {
            vec![PathBuf::from(pattern)]
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
}

/// Files of a glob in the last part of a path, sorted. A glob in a directory part matches nothing.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let Some(last) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(&directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // As in a shell, `*` does not match hidden files.
            (!name.starts_with('.') || last.starts_with('.'))
                && sentinel_proto::glob::matches(last.as_bytes(), name.as_bytes())
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |reason: String| {
        format!(
            "Fatal error, can't open config file '{}': {reason}",
            path.display()
        )
    };
    let bytes = std::fs::read(path).map_err(|error| cannot(os_text(&error)))?;
    String::from_utf8(bytes).map_err(|_| cannot("not valid UTF-8".to_owned()))
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
    let mut text = read(&absolute)?;
    if !extra.is_empty() {
        text.push('\n');
        text.push_str(extra);
    }
    let name = path.display().to_string();
    let mut config = parse(&name, &text, &mut FileIncludes).map_err(|error| report(&error))?;
    config.path = absolute;
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
    config.dir = dir;
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
    format!(
        "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\nReading the configuration file, at line {}\n>>> '{}'\n{}\n({})",
        error.line, error.raw, error.reason, error.file
    )
}
