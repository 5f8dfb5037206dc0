//! One set of permissions: commands, keys, channels.

use std::collections::BTreeMap;

use sentinel_proto::command::CommandSpec;
use sentinel_proto::glob;

use super::MAX_ENTRIES;
use super::commands::{CommandSet, category, find, number_of, units};
use super::rules::RuleError;

/// Why a request may not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command.
    Command,
    /// The channel or pattern that is this word of the request.
    Channel(usize),
}

/// `~pattern`, `%R~pattern` or `%W~pattern`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// Glob-style pattern.
    pub pattern: Vec<u8>,
    /// Keys may be read.
    pub read: bool,
    /// Keys may be written.
    pub write: bool,
}

/// One set of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// `+@all` was the last start: the canonical rules remove from all, else they add to none.
    pub(super) starts_from_all: bool,
    pub(super) commands: CommandSet,
    /// `+command|word` of commands without subcommands, by command number.
    pub(super) first_args: BTreeMap<usize, Vec<Vec<u8>>>,
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Vec<u8>>,
}

impl Selector {
    /// Allows nothing but, where new users get them, all channels.
    pub(super) fn new(all_channels: bool) -> Self {
        Self {
            starts_from_all: false,
            commands: CommandSet::EMPTY,
            first_args: BTreeMap::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Allows everything this server has.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.allows_all_commands() && self.all_channels
    }

    /// Applies one rule.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.set_all_keys(true),
            b"resetkeys" => self.set_all_keys(false),
            b"allchannels" | b"&*" => self.set_all_channels(true),
            b"resetchannels" => self.set_all_channels(false),
            b"allcommands" | b"+@all" => self.set_all_commands(true),
            b"nocommands" | b"-@all" => self.set_all_commands(false),
            // Valkey 9.1 writes it into every file; a sentinel has no databases.
            b"alldbs" => {}
            _ => {
                return match rule {
                    [b'~', pattern @ ..] => self.add_keys(pattern, true, true),
                    [b'%', rest @ ..] => self.add_keys_with_rights(rest),
                    [b'&', pattern @ ..] => self.add_channel(pattern),
                    [b'+', b'@', name @ ..] => self.set_category(name, true),
                    [b'-', b'@', name @ ..] => self.set_category(name, false),
                    [b'+', name @ ..] => self.allow(name),
                    [b'-', name @ ..] => {
                        self.set_command(find(name).ok_or(RuleError::Unknown)?, false);
                        Ok(())
                    }
                    _ => Err(RuleError::Syntax),
                };
            }
        }
        Ok(())
    }

    fn set_all_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_all_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn set_all_commands(&mut self, all: bool) {
        self.starts_from_all = all;
        self.commands = if all { CommandSet::ALL } else { CommandSet::EMPTY };
        self.first_args.clear();
    }

    /// Also in a category, the rights of a container are those of all its subcommands.
    pub(super) fn set_command(&mut self, number: usize, allowed: bool) {
        self.commands.set(number, allowed);
        let end = units().get(number).map_or(number, |unit| unit.end);
        self.first_args.retain(|key, _| !(number..end).contains(key));
    }

    pub(super) fn set_category(&mut self, name: &[u8], allowed: bool) -> Result<(), RuleError> {
        let category = category(name).ok_or(RuleError::Unknown)?;
        for (number, unit) in units().iter().enumerate() {
            if unit.spec.categories.contains(&category) {
                self.set_command(number, allowed);
            }
        }
        Ok(())
    }

    /// `+command`, `+container|subcommand` or `+command|first-arg`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            self.set_command(find(name).ok_or(RuleError::Unknown)?, true);
            return Ok(());
        };
        let (command, word) = name.split_at(bar);
        let word = word.get(1..).unwrap_or_default();
        let number = find(command).ok_or(RuleError::Unknown)?;
        let unit = units().get(number).ok_or(RuleError::Unknown)?;
        if unit.is_subcommand {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        // Redis also takes blanks, and cannot read such a user again.
        if word.is_empty() || has_spaces(word) {
            return Err(RuleError::Syntax);
        }
        if unit.spec.subcommands.is_empty() {
            return self.add_first_arg(number, word);
        }
        self.set_command(find(name).ok_or(RuleError::Unknown)?, true);
        Ok(())
    }

    fn add_first_arg(&mut self, number: usize, word: &[u8]) -> Result<(), RuleError> {
        let words = self.first_args.entry(number).or_default();
        if !words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            push(words, word.to_vec())?;
        }
        Ok(())
    }

    fn add_keys_with_rights(&mut self, rest: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        let (mut read, mut write) = (false, false);
        let mut pattern = rest;
        while let [byte, behind @ ..] = pattern {
            pattern = behind;
            match byte.to_ascii_uppercase() {
                b'R' if !read => read = true,
                b'W' if !write => write = true,
                b'~' if read || write => break,
                _ => return Err(RuleError::Syntax),
            }
        }
        if !(read || write) {
            return Err(RuleError::Syntax);
        }
        self.add_keys(pattern, read, write)
    }

    fn add_keys(&mut self, pattern: &[u8], read: bool, write: bool) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => {
                known.read |= read;
                known.write |= write;
            }
            None => push(
                &mut self.keys,
                KeyPattern {
                    pattern: pattern.to_vec(),
                    read,
                    write,
                },
            )?,
        }
        // `%RW~*` is shown as `~*`, so it must be that: Redis takes more patterns after it, and cannot read them again.
        let is_all = |key: &KeyPattern| key.pattern == b"*" && key.read && key.write;
        if self.keys.iter().any(is_all) {
            self.set_all_keys(true);
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if self.channels.iter().any(|known| known == pattern) {
            return Ok(());
        }
        push(&mut self.channels, pattern.to_vec())
    }

    /// Whether this selector alone allows a request that the table found.
    pub(super) fn check<W: AsRef<[u8]>>(&self, spec: &CommandSpec, words: &[W]) -> Result<(), Denied> {
        if !self.allows_all_commands() && !spec.before_auth() && !self.allows_command(spec, words) {
            return Err(Denied::Command);
        }
        if self.all_channels {
            return Ok(());
        }
        for at in channel_words(spec, words.len()) {
            let Some(channel) = words.get(at) else { break };
            if !self.allows_channel(channel.as_ref(), spec.name == "psubscribe") {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    /// After `+@all`, if whatever was removed since came back: no matter in which words that was said.
    fn allows_all_commands(&self) -> bool {
        self.commands == CommandSet::ALL
    }

    fn allows_command<W: AsRef<[u8]>>(&self, spec: &CommandSpec, words: &[W]) -> bool {
        let Some(number) = number_of(spec) else {
            return false;
        };
        let first_arg = || {
            let allowed = self.first_args.get(&number)?;
            let given = words.get(1)?.as_ref();
            allowed.iter().find(|word| word.eq_ignore_ascii_case(given))
        };
        self.commands.contains(number) || first_arg().is_some()
    }

    /// A pattern to subscribe to must be one of the patterns, literally; a channel must match one.
    #[must_use]
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|allowed| {
                if is_pattern {
                    allowed == channel
                } else {
                    glob::matches(allowed, channel)
                }
            })
    }
}

/// The words of a request that are channels or patterns to be allowed. Leaving a channel is always allowed.
fn channel_words(spec: &CommandSpec, words: usize) -> std::ops::Range<usize> {
    match spec.name {
        "subscribe" | "psubscribe" => 1..words,
        "publish" => 1..2,
        _ => 0..0,
    }
}

/// C's `isspace`, and NUL.
pub(super) fn has_spaces(text: &[u8]) -> bool {
    text.iter()
        .any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

/// Adds an entry unless there are too many.
pub(super) fn push<T>(entries: &mut Vec<T>, entry: T) -> Result<(), RuleError> {
    if entries.len() >= MAX_ENTRIES {
        return Err(RuleError::TooMany);
    }
    entries.push(entry);
    Ok(())
}
