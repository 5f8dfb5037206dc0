//! From words to rules: selectors in parentheses may be spread over several words.

use super::user::{Policy, User};

/// Why a rule was refused. `Display` is Redis's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No such rule.
    #[error("Syntax error")]
    Syntax,
    /// A command or category that this server does not have.
    #[error("Unknown command or category name in ACL")]
    Unknown,
    /// `~a` after `~*`.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    AfterAllKeys,
    /// `&a` after `&*`.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
         Try 'resetchannels' to start with an empty list of channels"
    )]
    AfterAllChannels,
    /// `<password` or `!hash` of a password that the user does not have.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// `#hash` or `!hash` that is no hash.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    BadHash,
    /// `+client|id|x`.
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgOfSubcommand,
    /// More than [`super::MAX_ENTRIES`] of one kind; Redis has no such limit.
    #[error("Too many patterns, passwords or selectors for one user")]
    TooMany,
}

/// A selector without its closing parenthesis: the word that opens it. `Display` is Redis's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Unmatched parenthesis in acl selector starting at '{}'.", String::from_utf8_lossy(.0))]
pub struct Unmatched(pub Vec<u8>);

/// Joins the words of each selector: `(+ping`, `~a)` is one rule.
///
/// # Errors
/// A selector is not closed.
pub fn merge<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, Unmatched> {
    let mut rules = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        let word = word.as_ref();
        open = match open.take() {
            // As in Redis, one that was open is forgotten.
            _ if word.starts_with(b"(") && !word.ends_with(b")") => Some((word, word.to_vec())),
            None => {
                rules.push(word.to_vec());
                None
            }
            Some((first, mut selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.push(selector);
                    None
                } else {
                    Some((first, selector))
                }
            }
        };
    }
    match open {
        Some((first, _)) => Err(Unmatched(first.to_vec())),
        None => Ok(rules),
    }
}

/// Makes a user from one line of rules without quotes, as in an ACL file. Any bytes: an entry for fuzzing and tests.
///
/// # Errors
/// The first rule that is refused; [`RuleError::Syntax`] for a selector that is not closed.
pub fn parse_rules(line: &[u8], policy: &Policy) -> Result<User, RuleError> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let mut user = User::new(b"fuzz", policy);
    for rule in merge(&words).map_err(|_| RuleError::Syntax)? {
        user.apply(&rule, policy)?;
    }
    Ok(user)
}
