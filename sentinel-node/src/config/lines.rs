//! From text to located words, with `include`.

use std::path::Path;

use sentinel_proto::conf::tokenize;

use super::kind::BAD_DIRECTIVE;
use super::known;

/// Files can include files; a cycle would never end. Redis has no limit and overflows its stack.
const MAX_INCLUDE_DEPTH: usize = 16;

/// A line that stops the start, reported as Redis does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {reason}")]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Number of the line, from 1.
    pub line: usize,
    /// The line as written, trimmed.
    pub raw: String,
    /// Redis's text.
    pub reason: String,
}

/// What the lines of a file refer to on disk. `pattern` is a path or a glob; a glob without a match yields no file.
pub trait Includes {
    /// Name and text of every file that matches, in order.
    ///
    /// # Errors
    /// The whole reason, as it is to be shown.
    fn read(&mut self, pattern: &str) -> Result<Vec<(String, String)>, String>;

    /// Whether a script can be executed; `path` may be relative to `dir`. Remembered texts are not checked.
    fn is_executable(&self, _dir: &Path, _path: &str) -> bool {
        true
    }

    /// A `dir` line was read: relative paths of later `include` lines are taken from there.
    fn enter(&mut self, _dir: &str) {}
}

/// For texts that must not include anything.
#[derive(Debug, Clone, Copy)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn read(&mut self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        Err(format!(
            "Fatal error, can't open config file '{pattern}': No such file or directory"
        ))
    }
}

/// One directive with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) file: String,
    pub(super) number: usize,
    pub(super) raw: String,
    /// The first one in lower case; never empty.
    pub(super) words: Vec<String>,
}

impl Line {
    pub(super) fn error(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: self.number,
            raw: self.raw.clone(),
            reason: reason.into(),
        }
    }

    /// `bind "a b"` is `bind a b`: of a directive with several values, one that has them all in it is split.
    pub(super) fn split_only_value(&mut self) {
        let [directive, value] = &self.words[..] else {
            return;
        };
        if value.contains(' ') && known::takes_several(directive) {
            let values = value.split(' ').map(str::to_owned);
            self.words = std::iter::once(directive.clone()).chain(values).collect();
        }
    }

    /// The arguments after the directive.
    pub(super) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// All directives of `text`, those of included files in their place.
pub(super) fn read_lines(
    file: &str,
    text: &str,
    includes: &mut dyn Includes,
) -> Result<Vec<Line>, ConfigError> {
    let mut lines = Vec::new();
    collect(file, text, includes, 0, &mut lines)?;
    Ok(lines)
}

fn collect(
    file: &str,
    text: &str,
    includes: &mut dyn Includes,
    depth: usize,
    lines: &mut Vec<Line>,
) -> Result<(), ConfigError> {
    let tokenized = tokenize(text).map_err(|error| ConfigError {
        file: file.to_owned(),
        line: error.number,
        raw: error.raw.clone(),
        reason: error.to_string(),
    })?;
    for line in tokenized {
        let line = Line {
            file: file.to_owned(),
            number: line.number,
            raw: line.raw,
            words: line.words,
        };
        if let [directive, dir] = &line.words[..] {
            if directive == "dir" {
                includes.enter(dir);
            }
        }
        if line.words.first().is_none_or(|first| first != "include") {
            lines.push(line);
            continue;
        }
        let [pattern] = line.args() else {
            return Err(line.error(BAD_DIRECTIVE));
        };
        if depth >= MAX_INCLUDE_DEPTH {
            return Err(line.error("files include each other too deeply"));
        }
        for (name, text) in includes.read(pattern).map_err(|reason| line.error(reason))? {
            collect(&name, &text, includes, depth.saturating_add(1), lines)?;
        }
    }
    Ok(())
}

/// C's `atoll`: leading blanks, a sign, digits; anything else is 0. Out of range saturates.
pub(super) fn lenient_number(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let mut value = 0i64;
    for digit in digits.bytes().take_while(u8::is_ascii_digit) {
        value = value
            .saturating_mul(10)
            .saturating_add(i64::from(digit.saturating_sub(b'0')));
    }
    if negative { value.saturating_neg() } else { value }
}
