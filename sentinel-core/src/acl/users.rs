//! All users. `default` always exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::{RuleError, Unmatched, merge};
use super::selector::has_spaces;
use super::user::{Policy, User};

/// Why ACL SETUSER changed nothing. `Display` is Redis's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The name.
    #[error("Usernames can't contain spaces or null characters")]
    Name,
    /// A selector is not closed.
    #[error(transparent)]
    Unmatched(#[from] Unmatched),
    /// A rule was refused.
    #[error("Error in ACL SETUSER modifier '{}': {error}", String::from_utf8_lossy(.rule))]
    Rule {
        /// The rule.
        rule: Vec<u8>,
        /// Why.
        error: RuleError,
    },
}

/// Whether a user may be called so.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    !has_spaces(name)
}

/// The table of users, cheap to copy: a change makes a new table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    default: Arc<User>,
    others: BTreeMap<Vec<u8>, Arc<User>>,
    next_incarnation: u64,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            default: Arc::new(User::default_user()),
            others: BTreeMap::new(),
            next_incarnation: 1,
        }
    }
}

impl Users {
    /// The user of a client that has not said who it is.
    #[must_use]
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        if name == self.default.name() {
            Some(&self.default)
        } else {
            self.others.get(name)
        }
    }

    /// All users, by name.
    #[must_use]
    pub fn all(&self) -> Vec<&Arc<User>> {
        let mut all: Vec<&Arc<User>> = self.others.values().chain([&self.default]).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// All users as lines, as in ACL LIST and in files.
    #[must_use]
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.all().into_iter().map(|user| user.line()).collect()
    }

    /// All users as lines of sentinel.conf: as [`Self::lines`], with quotes where its tokenizer needs them.
    #[must_use]
    pub fn config_lines(&self) -> Vec<String> {
        let quoted = |word: &[u8]| {
            let word = String::from_utf8_lossy(word);
            if word.is_empty() || word.contains(['"', '\'']) {
                format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                word.into_owned()
            }
        };
        let line = |line: Vec<u8>| {
            let words = line.split(|byte| *byte == b' ').map(quoted);
            words.collect::<Vec<_>>().join(" ")
        };
        self.lines().into_iter().map(line).collect()
    }

    /// `requirepass`: the password of `default`; `None` = any.
    pub fn set_default_password(&mut self, password: Option<&[u8]>, policy: &Policy) {
        let mut user = User::clone(&self.default);
        let rule = password.map_or(b"nopass".to_vec(), |password| [b">", password].concat());
        // Cannot fail: these rules always apply.
        let _ = user.apply(b"resetpass", policy);
        let _ = user.apply(&rule, policy);
        self.default = Arc::new(user);
    }

    /// ACL SETUSER: changes a user, or makes one. All rules or none.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn set<W: AsRef<[u8]>>(&mut self, name: &[u8], words: &[W], policy: &Policy) -> Result<(), SetError> {
        if !is_name(name) {
            return Err(SetError::Name);
        }
        let rules = merge(words)?;
        let mut user = self
            .get(name)
            .map_or_else(|| User::new(name, policy), |user| User::clone(user));
        for rule in rules {
            if let Err(error) = user.apply(&rule, policy) {
                return Err(SetError::Rule { rule, error });
            }
        }
        self.put(user);
        Ok(())
    }

    /// A `user` line of sentinel.conf: as [`Self::set`], but `default` starts from nothing.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn declare<W: AsRef<[u8]>>(
        &mut self,
        name: &[u8],
        words: &[W],
        policy: &Policy,
    ) -> Result<(), SetError> {
        if name != self.default.name() {
            return self.set(name, words, policy);
        }
        let before = Arc::clone(&self.default);
        Arc::make_mut(&mut self.default).reset(policy);
        let result = self.set(name, words, policy);
        if result.is_err() {
            self.default = before;
        }
        result
    }

    /// Puts a user in the place of the one with its name.
    pub(super) fn put(&mut self, mut user: User) {
        if user.name == self.default.name {
            user.incarnation = 0;
            self.default = Arc::new(user);
            return;
        }
        user.incarnation = match self.others.get(&user.name) {
            Some(known) => known.incarnation,
            None => {
                self.next_incarnation = self.next_incarnation.saturating_add(1);
                self.next_incarnation
            }
        };
        self.others.insert(user.name.clone(), Arc::new(user));
    }

    /// ACL DELUSER: removes those that exist; how many. `None` = `default` is among them, nothing was removed.
    pub fn delete<W: AsRef<[u8]>>(&mut self, names: &[W]) -> Option<usize> {
        if names.iter().any(|name| name.as_ref() == self.default.name()) {
            return None;
        }
        let before = self.others.len();
        for name in names {
            self.others.remove(name.as_ref());
        }
        Some(before.saturating_sub(self.others.len()))
    }

    /// Takes over all users of another table (ACL LOAD); those that stay keep their connections.
    pub fn replace(&mut self, other: &Self) {
        self.others.retain(|name, _| other.others.contains_key(name));
        for user in other.all() {
            self.put(User::clone(user));
        }
    }
}
