//! A whole rewrite of the file at hand: what other files bring, the new text, and the proof that it loads again.

use sentinel_core::replicated::State;

use super::lines::{Line, read_lines};
use super::load::FileIncludes;
use super::parse::parse;
use super::rewrite::{rewrite, words_of};
use super::seed;
use super::types::Config;
use super::wanted::{self, Own, content};

/// A new text for the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The text.
    pub text: String,
    /// What [`Config::seed_lines`] will say of it.
    pub seed_lines: String,
}

impl std::fmt::Debug for Rewritten {
    /// Passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewritten").finish_non_exhaustive()
    }
}

/// Rewrites `present`, the text of `config.path` at this moment. Reads included files.
///
/// # Errors
/// Why the result would not load at the next start: nothing must be written then.
pub fn rewritten(config: &Config, present: &str, own: &Own<'_>, state: &State) -> Result<Rewritten, String> {
    let name = config.path.display().to_string();
    // What cannot be read any more becomes a comment; an included file that is gone has nothing to say.
    let all = read_lines(&name, present, &mut FileIncludes::default()).unwrap_or_default();
    let included = all.into_iter().filter(|line| line.file != name).map(words);
    let elsewhere: Vec<Vec<String>> = included
        .chain(config.extra.lines().filter_map(words_of))
        .collect();
    let text = rewrite(present, &content(present, &elsewhere, own, state));
    let whole = format!("{text}\n{}", config.extra);
    let again = parse(&name, &whole, &mut FileIncludes::default()).map_err(|error| {
        format!(
            "the new text would not load: line {}: {}",
            error.line, error.reason
        )
    })?;
    Ok(Rewritten {
        seed_lines: seed::to_lines(&again.masters),
        text,
    })
}

fn words(line: Line) -> Vec<String> {
    line.words
}

/// Whether somebody else changed a line that this node writes.
#[must_use]
pub fn was_edited(known: &str, present: &str) -> bool {
    wanted::owned_lines(known) != wanted::owned_lines(present)
}
