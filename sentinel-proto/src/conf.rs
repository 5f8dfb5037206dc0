//! The tokenizer of configuration files (`config.c: loadServerConfigFromString`). What the words mean is
//! decided elsewhere.

use crate::resp::split_words;

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// As written, without blanks at its ends: what error reports repeat.
    pub raw: String,
    /// At least one; the first in lower case.
    pub words: Vec<String>,
}

/// Why a file cannot be used. `Display` is the reason; Redis reports it with number and text of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct LineError {
    /// What is wrong with it.
    pub reason: &'static str,
    /// Counted from 1.
    pub number: usize,
    /// As written, without blanks at its ends.
    pub raw: String,
}

/// Splits the text of a file into lines and words; comments and blank lines are left out.
///
/// # Errors
/// The first line with unbalanced quotes, or with a word that is not UTF-8.
pub fn tokenize(text: impl AsRef<[u8]>) -> Result<Vec<Line>, LineError> {
    let mut lines = Vec::new();
    for (index, line) in text.as_ref().split(|byte| *byte == b'\n').enumerate() {
        let number = index.saturating_add(1);
        let line = trim(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let raw = String::from_utf8_lossy(line).into_owned();
        let refused = |reason| LineError {
            reason,
            number,
            raw: raw.clone(),
        };
        let words = split_words(line).ok_or_else(|| refused("Unbalanced quotes in configuration line"))?;
        let words: Result<Vec<String>, _> = words.into_iter().map(String::from_utf8).collect();
        let mut words = words.map_err(|_| refused("values must be UTF-8"))?;
        if let Some(first) = words.first_mut() {
            first.make_ascii_lowercase();
            lines.push(Line { number, raw, words });
        }
    }
    Ok(lines)
}

/// The bytes that Redis trims: blank, tab, CR, LF.
fn trim(mut line: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while let [first, rest @ ..] = line {
        if !blank(first) {
            break;
        }
        line = rest;
    }
    while let [rest @ .., last] = line {
        if !blank(last) {
            break;
        }
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_numbered_and_split() {
        let text = "# comment\r\n\r\nport 26379\r\n\tSENTINEL Monitor m 127.0.0.1 6379 2 # no comment\n\
                    sentinel auth-pass m \"a \\\"b\\\" \\x41\"\nrequirepass \"\"";
        let lines = tokenize(text).unwrap();
        let words: Vec<(usize, Vec<&str>)> = lines
            .iter()
            .map(|line| (line.number, line.words.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            words,
            [
                (3, vec!["port", "26379"]),
                (
                    4,
                    vec![
                        "sentinel",
                        "Monitor",
                        "m",
                        "127.0.0.1",
                        "6379",
                        "2",
                        "#",
                        "no",
                        "comment"
                    ]
                ),
                (5, vec!["sentinel", "auth-pass", "m", "a \"b\" A"]),
                (6, vec!["requirepass", ""]),
            ]
        );
        assert_eq!(lines[1].raw, "SENTINEL Monitor m 127.0.0.1 6379 2 # no comment");
    }

    #[test]
    fn open_quotes_name_their_line() {
        let error = tokenize("port 1\n  user \"a\r\n").unwrap_err();
        assert_eq!((error.number, error.raw.as_str()), (2, "user \"a"));
        assert_eq!(error.to_string(), "Unbalanced quotes in configuration line");
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(text: Vec<u8>) {
            if let Ok(lines) = tokenize(&text) {
                prop_assert!(lines.iter().all(|line| !line.words.is_empty()));
            }
        }
    }
}
