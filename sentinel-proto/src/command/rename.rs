//! `rename-command`: other names for a sentinel's own commands, or none.
//!
//! As in Redis (config.c) only the word that clients send changes: errors, COMMAND and ACL rules keep the original
//! names, and a command is looked up in COMMAND INFO by the word that works.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::table::{CommandSpec, TABLE, find};
use super::{full_name, resolve, subcommand};
use crate::reply::ErrorReply;

/// The `rename-command` lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renames {
    /// Original names that no longer work.
    hidden: BTreeSet<&'static str>,
    /// New name in lower case to original name.
    names: BTreeMap<String, &'static str>,
}

impl Renames {
    /// The table as it is.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            hidden: BTreeSet::new(),
            names: BTreeMap::new(),
        }
    }

    /// True without any `rename-command` line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    /// One line; an empty `new` removes the command.
    ///
    /// # Errors
    /// Redis's text.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<(), &'static str> {
        let spec = self
            .find(old.as_bytes())
            .ok_or("No such command in rename-command")?;
        if self.names.remove(&old.to_ascii_lowercase()).is_none() {
            self.hidden.insert(spec.name);
        }
        if new.is_empty() {
            return Ok(());
        }
        if self.find(new.as_bytes()).is_some() {
            return Err("Target command name already exists");
        }
        self.names.insert(new.to_ascii_lowercase(), spec.name);
        Ok(())
    }

    /// The command that `word` selects, without case.
    #[must_use]
    pub fn find(&self, word: &[u8]) -> Option<&'static CommandSpec> {
        if self.is_empty() {
            return find(TABLE, word);
        }
        let lower = String::from_utf8_lossy(word).to_ascii_lowercase();
        if let Some(name) = self.names.get(&lower) {
            return find(TABLE, name.as_bytes());
        }
        find(TABLE, word).filter(|spec| !self.hidden.contains(spec.name))
    }

    /// [`super::lookup`] with these names.
    ///
    /// # Errors
    /// Unknown command, unknown subcommand, wrong count.
    pub fn lookup(&self, words: &[Bytes]) -> Result<&'static CommandSpec, ErrorReply> {
        resolve(self.find(words.first().map_or(&b""[..], |word| word)), words)
    }

    /// As [`Self::lookup`], for any count of words.
    #[must_use]
    pub fn named(&self, words: &[Bytes]) -> Option<&'static CommandSpec> {
        subcommand(self.find(words.first().map_or(&b""[..], |word| word)), words).ok()
    }

    /// [`super::find_by_full_name`] with these names.
    #[must_use]
    pub fn find_by_full_name(&self, name: &str) -> Option<&'static CommandSpec> {
        full_name(name, |word| self.find(word.as_bytes()))
    }

    /// All commands that can be called.
    pub fn commands(&self) -> impl Iterator<Item = &'static CommandSpec> {
        let callable =
            |name: &str| !self.hidden.contains(name) || self.names.values().any(|named| *named == name);
        TABLE.iter().filter(move |spec| callable(spec.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Bytes> {
        text.split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect()
    }

    #[test]
    fn commands_answer_to_their_new_names_only() {
        let mut renames = Renames::none();
        let all = renames.commands().count();
        renames.rename("CLIENT", "Kunde").unwrap();
        renames.rename("ping", "").unwrap();
        assert_eq!(renames.lookup(&words("KUNDE LIST")).unwrap().name, "client|list");
        assert!(renames.lookup(&words("client list")).is_err() && renames.lookup(&words("PING")).is_err());
        let error = renames.lookup(&words("kunde foo")).unwrap_err().to_string();
        assert_eq!(error, "ERR unknown subcommand 'foo'. Try KUNDE HELP.");
        let error = renames.lookup(&words("kunde")).unwrap_err().to_string();
        assert_eq!(error, "ERR wrong number of arguments for 'client' command");
        assert_eq!(renames.commands().count(), all - 1);
        assert!(renames.find_by_full_name("client|list").is_none());
        assert_eq!(
            renames.find_by_full_name("kunde|list").unwrap().name,
            "client|list"
        );
    }

    #[test]
    fn what_cannot_be_renamed_is_said_as_redis_does() {
        let mut renames = Renames::none();
        assert_eq!(
            renames.rename("config", ""),
            Err("No such command in rename-command")
        );
        assert_eq!(
            renames.rename("ping", "INFO"),
            Err("Target command name already exists")
        );
        // There and back again.
        renames.rename("info", "i").unwrap();
        renames.rename("i", "info").unwrap();
        assert_eq!(renames.find(b"Info").unwrap().name, "info");
    }
}
